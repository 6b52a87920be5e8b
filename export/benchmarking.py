"""Measures the files of an artifact folder where they are."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer._quiet import filtered_stderr
from keras_transformer.errors import UserError
from keras_transformer.export.artifact import open_artifact
from keras_transformer.export.folder import check_folder
from keras_transformer.export.golden import golden_source
from keras_transformer.export.memory import peak_memory
from keras_transformer.export.progress import Steps


def benchmark(folder: str | os.PathLike[str], steps: Steps | None = None) -> dict[str, Any]:
    """Runs every file of an artifact folder on the golden inputs, one thread, and returns what it measured.

    Returns: `threads`, and in `precisions` for each file `load_ms`, `median_ms` and `p90_ms` (a sentence, over the
        golden inputs from the test split, or over all if there are none), `sentences`, `file_bytes`,
        `peak_memory_bytes` (see `memory.peak_memory`), and how many of the golden inputs gave just the golden bytes.

    Raises:
        UserError: this is no artifact folder, or a file in it is damaged.

    Example:
        ```python
        benchmark("dist/mine")["precisions"]["int8"]["median_ms"]
        ```
    """
    import ai_edge_litert.interpreter  # noqa: F401 (not to be part of the time that a file takes to load)

    folder, steps = Path(folder), steps or Steps()
    precisions = check_folder(folder)["precisions"]
    with filtered_stderr():  # LiteRT greets on standard error at its first run
        open_artifact(folder).run(b"")
    inputs = _read_inputs(folder / "golden.json")
    return {
        "folder": str(folder),
        "threads": 1,
        "precisions": {precision: _measure(folder, precision, inputs, steps) for precision in precisions},
    }


def _measure(folder: Path, precision: str, inputs: list[dict[str, Any]], steps: Steps) -> dict[str, Any]:
    start = time.perf_counter()
    artifact = open_artifact(folder, precision)
    artifact.run(b"")
    load_seconds = time.perf_counter() - start
    seconds, equal = [], 0
    for entry in steps.track(inputs, f"{precision} on the golden inputs"):
        source = golden_source(entry)
        start = time.perf_counter()
        answer = artifact.run(source)
        seconds.append((time.perf_counter() - start, entry["kind"] == "test"))
        equal += answer.is_golden(entry["answers"][precision])
    tested = [entry for entry in inputs if entry["kind"] == "test"] or inputs
    sources = [golden_source(entry) for entry in tested]
    timed = [one for one, is_test in seconds if is_test] or [one for one, _ in seconds]
    return {
        "load_ms": round(1000 * load_seconds, 2),
        "median_ms": round(1000 * float(np.median(timed)), 3),
        "p90_ms": round(1000 * float(np.percentile(timed, 90)), 3),
        "sentences": len(timed),
        "file_bytes": artifact.path.stat().st_size,
        "peak_memory_bytes": peak_memory(artifact.path, [source.decode("utf-8", "replace") for source in sources]),
        "golden_inputs": len(inputs),
        "golden_equal": equal,
    }


def _read_inputs(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}; export the run again") from None
