"""Scores an exported file on examples of the user."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer.data.files import picked
from keras_transformer.errors import UserError
from keras_transformer.export.artifact import Artifact, open_artifact
from keras_transformer.export.folder import check_file, read_manifest
from keras_transformer.export.progress import Steps
from keras_transformer.export.task import Task
from keras_transformer.export.tasks import find_task, task_names
from keras_transformer.export.verify_folder import MANIFEST

REPORT = "report.json"


def evaluate_artifact(
    path: str | os.PathLike[str],
    data: str,
    precision: str | None = None,
    limit: int | None = None,
    steps: Steps | None = None,
    columns: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Runs an exported file on examples with references, one thread, and returns its scores.

    Args:
        path: the folder that export made, or one of its `.tflite` files.
        data: the file of examples, as training takes it.
        precision: which file of a folder; see `open_artifact`.
        limit: score only so many examples.
        steps: told of the progress.
        columns: of the file, names or numbers from 0; default as training names them where it is told nothing.

    Returns: the scores that the task has, `file`, and `ms_per_sentence`, the median.

    Raises:
        UserError: this is no exported file, or the examples cannot be used.

    Example:
        ```python
        evaluate_artifact("dist/mine", "test.tsv", "int8")["accuracy"]
        ```
    """
    artifact, steps = open_artifact(path, precision), steps or Steps()
    task = task_of_file(artifact)
    examples = task.read(data, artifact, picked(columns))[:limit]
    artifact.run(b"warm up")
    answers, seconds = [], []
    for example in steps.track(examples, artifact.path.name):
        source = example[0].encode("utf-8", "surrogatepass")
        start = time.perf_counter()
        answers.append(artifact.run(source))
        seconds.append(time.perf_counter() - start)
    scores = task.file_scores(artifact, answers, examples, _report(artifact.path.parent))
    return {**scores, "file": str(artifact.path), "ms_per_sentence": round(1000 * float(np.median(seconds)), 3)}


def task_of_file(artifact: Artifact) -> Task:
    """Returns the task whose signature a file has.

    Raises:
        UserError: there is none.
    """
    for task in map(find_task, task_names()):
        if task.signature == artifact.signature and isinstance(artifact, task.File):
            return task
    raise UserError(f"{artifact.path}: no task has the signature {artifact.signature!r}: its answers cannot be scored")


def _report(folder: Path) -> dict[str, Any]:
    """Returns what was reported when a folder was made, nothing where there is no folder, but a file alone.

    Raises:
        UserError: the folder is there, and its report is missing or damaged.
    """
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        if REPORT in manifest["files"]:
            check_file(folder, REPORT, manifest)
    try:
        return dict(json.loads((folder / REPORT).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
