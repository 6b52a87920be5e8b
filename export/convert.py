"""From a SavedModel to `.tflite` files, through a process of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_transformer.export.checks import ExportError
from keras_transformer.export.flatbuffer import read_model, write_model
from keras_transformer.export.share_embedding import share_embedding
from keras_transformer.export.subprocesses import run_module

TAIL_LINES = 200
TELLING = re.compile(r"error:|Error\b|\w+Error:|failed", re.IGNORECASE)


def convert(saved_model: Path, signatures: Sequence[str], outputs: Mapping[str, Path], log: Path) -> None:
    """Converts signatures of a SavedModel to a file for each precision; they share their weights.

    Args:
        saved_model: folder.
        signatures: of the SavedModel.
        outputs: file to write for each precision ("float32", "int8").
        log: where the end of the converter's output is kept if it fails.

    Raises:
        ExportError: the converter failed, or wrote no file. The message has its most telling line.
    """
    whole = saved_model.with_name(f"{saved_model.name}.log")
    arguments = [
        str(saved_model),
        ",".join(signatures),
        *(f"{precision}={path}" for precision, path in outputs.items()),
    ]
    with whole.open("wb") as errors:
        status, _ = run_module("_convert", arguments, errors)
    missing = [path.name for path in outputs.values() if not path.is_file()]
    lines = whole.read_text(encoding="utf-8", errors="replace").splitlines()
    whole.unlink()
    if status or missing:
        log.write_text("\n".join(lines[-TAIL_LINES:]) + "\n", encoding="utf-8")
        raise ExportError(f"the conversion to {', '.join(missing)} failed: {_telling(lines, status)}; its log: {log}")
    if "int8" in outputs:
        _share_embedding(outputs["int8"])


def _share_embedding(path: Path) -> None:
    model = read_model(path)
    if share_embedding(model):
        write_model(model, path)


def _telling(lines: list[str], status: int) -> str:
    """Returns the last line that says what went wrong."""
    found = [line.strip() for line in lines if TELLING.search(line)]
    return found[-1][:300] if found else f"the process ended with status {status}"
