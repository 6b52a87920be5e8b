"""Measures the files of an artifact folder where they are."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer._quiet import filtered_stderr
from keras_transformer.errors import UserError
from keras_transformer.export.artifact import open_artifact
from keras_transformer.export.folder import check_folder
from keras_transformer.export.golden import EXACT, golden_source
from keras_transformer.export.limits import cut_at_character
from keras_transformer.export.memory import peak_memory
from keras_transformer.export.progress import Steps
from keras_transformer.export.verify_folder import GOLDEN, processor

PROFILED = 5  # inputs; a profile takes every operator's time and is long
SIZED = 50  # texts of a given size


def benchmark(
    folder: str | os.PathLike[str],
    steps: Steps | None = None,
    profile: bool = False,
    operators: bool = False,
    size: int | None = None,
) -> dict[str, Any]:
    """Runs every file of an artifact folder on the golden inputs, one thread, and returns what it measured.

    Args:
        folder: that export made. All its files are checked first.
        steps: told of the progress.
        profile: whether to measure every operator of the main signature; see `profiling.profile`.
        operators: whether to count the operators of every signature and their weights; see `operators_of`.
        size: of texts to time too, in bytes; see `sized_texts`.

    Returns: `task`, `processor`, `threads`, and in `precisions` for each file `file`, `load_ms`, `median_ms` and
        `p90_ms` (a sentence, over the golden inputs from the test split, or over all if there are none), `sentences`,
        `file_bytes`, `peak_memory_bytes` (see `memory.peak_memory`), how many of the golden inputs gave just the golden
        answer, and `reported`: the score that the report has. `profile`, `operators` and `sized` (`bytes`, `texts`,
        `median_ms`, `p90_ms`), if asked for, are further entries of it.

    Raises:
        UserError: this is no artifact folder, a file in it is damaged, or takes no texts of `size` bytes.

    Example:
        ```python
        benchmark("dist/mine")["precisions"]["int8"]["median_ms"]
        ```
    """
    import ai_edge_litert.interpreter  # noqa: F401 (not to be part of the time that a file takes to load)

    folder, steps = Path(folder), steps or Steps()
    manifest = check_folder(folder)
    golden, report = _read(folder / GOLDEN, "inputs"), _read(folder / "report.json", "results")
    with filtered_stderr():  # LiteRT greets on standard error at its first run
        first = open_artifact(folder)
        first.run(b"")
    if size is not None and size > first.max_source_bytes:
        raise UserError(f"bytes is {size}, expected at most {first.max_source_bytes}, which these files have room for")
    measured = {}
    for precision, entry in manifest["precisions"].items():
        found = _measure(folder, precision, golden, steps)
        found["reported"] = _reported(report, precision)
        if size is not None:
            with steps.step(f"{precision} on texts of {size} bytes"):
                found["sized"] = _sized(folder, precision, golden, size)
        if operators:
            found["operators"] = _operators(folder / entry["file"])
        if profile:
            with steps.step(f"profile of {precision}"):
                found["profile"] = _profile(folder / entry["file"], first.signature, golden)
        measured[precision] = found
    return {
        "folder": str(folder),
        "task": manifest["task"],
        "processor": processor(),
        "threads": 1,
        "precisions": measured,
    }


def _measure(folder: Path, precision: str, golden: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
    start = time.perf_counter()
    artifact = open_artifact(folder, precision)
    artifact.run(b"")
    load_seconds = time.perf_counter() - start
    tolerance = golden.get("rules", {}).get(precision, {}).get("tolerance", EXACT)
    seconds, equal, inputs = [], 0, golden["inputs"]
    for entry in steps.track(inputs, f"{precision} on the golden inputs"):
        source = golden_source(entry)
        start = time.perf_counter()
        answer = artifact.run(source)
        seconds.append((time.perf_counter() - start, entry["kind"] == "test"))
        equal += answer.is_golden(entry["answers"][precision], tolerance)
    sources = _ordinary(golden)
    timed = [one for one, is_test in seconds if is_test] or [one for one, _ in seconds]
    return {
        "file": artifact.path.name,
        "load_ms": round(1000 * load_seconds, 2),
        **_times(timed),
        "sentences": len(timed),
        "file_bytes": artifact.path.stat().st_size,
        "peak_memory_bytes": peak_memory(artifact.path, [source.decode("utf-8", "replace") for source in sources]),
        "golden_inputs": len(inputs),
        "golden_equal": equal,
    }


def _times(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median_ms": round(1000 * float(np.median(seconds)), 3),
        "p90_ms": round(1000 * float(np.percentile(seconds, 90)), 3),
    }


def _sized(folder: Path, precision: str, golden: Mapping[str, Any], size: int) -> dict[str, Any]:
    artifact, seconds = open_artifact(folder, precision), []
    texts = sized_texts(_ordinary(golden), size, SIZED)
    for text in [texts[0], *texts]:
        start = time.perf_counter()
        artifact.run(text)
        seconds.append(time.perf_counter() - start)
    return {"bytes": size, "texts": len(texts), **_times(seconds[1:])}  # the first run takes its memory


def sized_texts(sources: Sequence[bytes], size: int, count: int) -> list[bytes]:
    """Returns texts of `size` bytes: `sources` one after the other, cut; up to three bytes less beside long characters.

    Example:
        ```python
        sized_texts([b"A bike.", b"Two."], 6, 2)  # [b"A bike", b". Two."]
        ```
    """
    stream = b" ".join(sources)
    stream = b" ".join([stream] * (1 + size * count // (len(stream) + 1)))
    texts: list[bytes] = []
    while len(texts) < count:
        texts.append(cut_at_character(stream, size))
        stream = stream[len(texts[-1]) :]
    return texts


def _ordinary(golden: Mapping[str, Any]) -> list[bytes]:
    """Returns the golden inputs of the test split, or all if there are none."""
    inputs: Sequence[Mapping[str, Any]] = golden["inputs"]
    return [golden_source(entry) for entry in [entry for entry in inputs if entry["kind"] == "test"] or inputs]


def _reported(report: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Returns the headline score of a precision, as export measured it on the test split."""
    name = report["headline"]
    return {name: report["results"].get(precision, {}).get(name)}


def _operators(path: Path) -> dict[str, Any]:
    from keras_transformer.export.flatbuffer import read_model
    from keras_transformer.export.operators import operators_of

    return operators_of(read_model(path))


def _profile(path: Path, signature: str, golden: Mapping[str, Any]) -> list[dict[str, Any]]:
    from keras_transformer.export.profiling import profile

    return profile(path, signature, _ordinary(golden)[:PROFILED])


def _read(path: Path, name: str) -> dict[str, Any]:
    """Returns what a JSON file of the folder holds, `name` among it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}; export the run again") from None
    return dict(found)
