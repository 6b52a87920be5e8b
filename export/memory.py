"""How much memory a file takes where it runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from keras_transformer.export.subprocesses import run_module

MEASURED = 20  # texts


def peak_memory(path: Path, texts: Sequence[str]) -> int | None:
    """Returns by how many bytes a process grows that opens a file and runs it on the first texts, at its peak.

    One thread, a process of its own, resident memory; the libraries are loaded before. Linux only: elsewhere None.
    """
    with tempfile.TemporaryFile() as errors:
        given = json.dumps(list(texts[:MEASURED]))
        status, output = run_module("_measure_memory", [str(path.resolve())], errors, given)
    return int(output) if status == 0 else None
