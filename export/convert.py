"""From a SavedModel to `.tflite` files: a converter in a process of its own makes float32, the others come of that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_transformer.export import quantizing
from keras_transformer.export.checks import ExportError
from keras_transformer.export.flatbuffer import read_model, write_model
from keras_transformer.export.slimming import slim
from keras_transformer.export.subprocesses import run_module

TAIL_LINES = 200
TELLING = re.compile(r"error:|Error\b|\w+Error:|failed", re.IGNORECASE)

# int8_static is made elsewhere: it wants to know more, see `static`
REWRITES: dict[str, Callable[[Any], None]] = {
    "float16": quantizing.to_float16,
    "int8": quantizing.to_int8,
    "int4": quantizing.to_int4,
}


def convert(saved_model: Path, signatures: Sequence[str], outputs: Mapping[str, Path], log: Path) -> None:
    """Converts signatures of a SavedModel to a file for each precision; they share their weights.

    Args:
        saved_model: folder.
        signatures: of the SavedModel.
        outputs: file to write for each precision; see `precisions`.
        log: where the end of the converter's output is kept if it fails.

    Raises:
        ExportError: the converter failed, or wrote no file. The message has its most telling line.
    """
    whole = saved_model.with_name(f"{saved_model.name}.tflite")
    _run_converter(saved_model, signatures, whole, outputs, log)
    try:
        for precision, path in outputs.items():
            model = read_model(whole)
            if precision != "float32":
                REWRITES[precision](model)
            slim(model)
            write_model(model, path)
    finally:
        whole.unlink()


def _run_converter(
    saved_model: Path, signatures: Sequence[str], whole: Path, outputs: Mapping[str, Path], log: Path
) -> None:
    """Writes a float32 file; `outputs` is what the message names if that fails."""
    output = saved_model.with_name(f"{saved_model.name}.log")
    with output.open("wb") as errors:
        status, _ = run_module("_convert", [str(saved_model), ",".join(signatures), str(whole)], errors)
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    output.unlink()
    if status or not whole.is_file():
        log.write_text("\n".join(lines[-TAIL_LINES:]) + "\n", encoding="utf-8")
        names = ", ".join(path.name for path in outputs.values())
        raise ExportError(f"the conversion to {names} failed: {_telling(lines, status)}; its log: {log}")


def _telling(lines: list[str], status: int) -> str:
    """Returns the last line that says what went wrong."""
    found = [line.strip() for line in lines if TELLING.search(line)]
    return found[-1][:300] if found else f"the process ended with status {status}"
