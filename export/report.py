"""Measures Keras and every exported file on the run's test split."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer.export.artifact import Artifact
from keras_transformer.export.checks import check_finite
from keras_transformer.export.gate import REFERENCE, Gate, losses
from keras_transformer.export.memory import MEASURED, peak_memory
from keras_transformer.export.progress import Steps
from keras_transformer.export.subprocesses import run_module
from keras_transformer.export.task import TaskExport
from keras_transformer.export.verify import file_answers
from keras_transformer.export.verify_folder import processor

TIMED_IN_KERAS = 20  # sentences; each builds a graph first
LISTED = 20  # differences shown for each file
KERAS = "keras"


def make_report(
    export: TaskExport,
    files: Mapping[str, Artifact],
    run: Path,
    steps: Steps,
    gate: Gate,
    asked: Collection[str],
    origin: TaskExport | None = None,
) -> dict[str, Any]:
    """Scores and times Keras and each file on the same sentences.

    Args:
        export: the run, with the examples of its test split.
        files: an opened file for each precision, float32 among them.
        run: its folder.
        steps: told of the progress.
        gate: what a precision may lose.
        asked: the precisions that are wanted.
        origin: the run that this one was trained for few bits from, if it was.

    Returns: what `report.json` holds: how it was measured, and in `results`, for "keras" and each precision asked for,
        the scores, `ms_per_sentence`, `file_bytes`; for files also `peak_memory_bytes`, `loss` (points of the headline
        less than float32), `agreement_with_float32` and `agreement_with_keras` (percent of equal answers), and
        `differences` (Keras's answer cut where the file's is), of which `ties` and the first few `shown`; and how many
        sources and answers were cut for want of room, which the scores count as they are. `gate` has `max_loss`,
        `forced`, the precisions that lose more and stay, `refused`, the same entries of those that go, and `origin`,
        the scores of that run in Keras, if there is one.

    Raises:
        ExportError: a score is no number.
        UserError: the test split is empty.
    """
    sources = [text.encode("utf-8", "surrogatepass") for text in export.texts]
    expected = export.expected(sources, steps, "Keras on the test split")
    keras = {**export.scores(expected), **_keras_time(export, run)}
    results = _of_files(export, files, sources, expected, steps)
    before = None
    if origin is not None:
        before = origin.scores(origin.expected(sources, steps, "Keras before the training for few bits"))
    for precision, loss in losses(results, export.headline, before).items():
        results[precision]["loss"] = loss
    refused = [name for name in gate.refused(results, export.headline, before) if name in asked]
    forced = refused if gate.force_precision else []
    gone = [name for name in refused if name not in forced]
    return {
        **_how(export, len(sources)),
        "results": {KERAS: keras, **{name: results[name] for name in results if name in asked and name not in gone}},
        "gate": {
            "max_loss": gate.max_loss,
            "forced": forced,
            "refused": {name: results[name] for name in gone},
            **({"origin": before} if before else {}),
        },
    }


def _of_files(
    export: TaskExport,
    files: Mapping[str, Artifact],
    sources: Sequence[bytes],
    expected: Sequence[Any],
    steps: Steps,
) -> dict[str, dict[str, Any]]:
    """Returns what is measured of each file, float32 first; `expected` are Keras's answers to the sources."""
    results = {}
    whole: list[Any] = []
    for precision, artifact in files.items():
        timed = file_answers(artifact, sources, steps, f"{precision} on the test split")
        answers = [answer for answer, _ in timed]
        for text, answer in zip(export.texts, answers, strict=True):
            check_finite(artifact.path.name, text, answer.numbers)
        whole = answers if precision == REFERENCE else whole
        unlike = export.differences(sources, expected, answers)
        results[precision] = {
            **export.scores(answers),
            "ms_per_sentence": round(1000 * float(np.median([seconds for _, seconds in timed])), 3),
            "file_bytes": artifact.path.stat().st_size,
            "peak_memory_bytes": peak_memory(artifact.path, export.texts),
            "agreement_with_float32": _agreement(export, answers, whole),
            "agreement_with_keras": round(100 * (1 - len(unlike) / len(sources)), 2),
            **export.counts(answers),
            "differences": len(unlike),
            "ties": sum(found["tie"] for found in unlike),
            "shown": unlike[:LISTED],
        }
    return results


def _how(export: TaskExport, sentences: int) -> dict[str, Any]:
    """Returns how the report was measured."""
    return {
        "task": export.task.name,
        "headline": export.headline,
        "sentences": sentences,
        **export.measured,
        "timing": f"median milliseconds a sentence, batch 1, one thread; Keras: the first {TIMED_IN_KERAS} sentences, "
        "each timed on its second call",
        "memory": f"peak of a fresh process that opens the file and runs the first {MEASURED} sentences, in bytes more "
        "than before; one thread",
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()},
    }


def _agreement(export: TaskExport, answers: Sequence[Any], whole: Sequence[Any]) -> float:
    """Returns the percentage of answers that are those of float32."""
    equal = sum(export.agree(one, other) for one, other in zip(answers, whole, strict=True))
    return round(100 * equal / len(whole), 2)


def _keras_time(export: TaskExport, run: Path) -> dict[str, Any]:
    """Returns milliseconds a sentence and the size of the weights' file. Where timing fails there is no time."""
    texts = [text for text in export.texts if text][:TIMED_IN_KERAS]
    given = json.dumps({"settings": export.settings, "texts": texts})
    with tempfile.TemporaryFile() as errors:
        status, output = run_module("_time_keras", [str(run)], errors, given)
    seconds = json.loads(output) if status == 0 else []
    return {
        "ms_per_sentence": round(1000 * float(np.median(seconds)), 3) if seconds else None,
        "file_bytes": (run / "model.weights.h5").stat().st_size,
    }
