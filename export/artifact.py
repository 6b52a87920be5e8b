"""Exported files, whatever their task: opened, checked against their folder's manifest, and run on bytes.

Needs NumPy and ai-edge-litert alone.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.export.folder import check_file, file_of, read_manifest
from keras_transformer.export.folder import check_folder as check_folder
from keras_transformer.export.limits import cut_at_character
from keras_transformer.export.verify_folder import MANIFEST


class Artifact(ABC):
    """A `.tflite` file that takes text. One interpreter serves all calls: use one `Artifact` a thread.

    Args:
        path: of the file.
        num_threads: threads of the interpreter.
        interpreter: of the file, where there is one already.

    Attributes:
        signature: name of the file's main signature.
        max_source_bytes: room for a text.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1, interpreter: Any = None) -> None:
        self.path = Path(path)
        self._interpreter = interpreter or _open_interpreter(self.path, num_threads)
        self._runners: dict[str, Any] = {}
        signature = self.main_signature(self._interpreter.get_signature_list())
        if signature is None:
            raise _of_no_task(self.path)
        self.signature = signature
        self.max_source_bytes = int(self._runner(signature).get_input_details()["text"]["shape"][1])

    @classmethod
    @abstractmethod
    def main_signature(cls, signatures: Mapping[str, Mapping[str, Sequence[str]]]) -> str | None:
        """Returns the signature that this class calls, by names of inputs and outputs; None if the file has none."""

    @abstractmethod
    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns the answer to each text as text. `cut` changes nothing: a file always cuts."""

    @abstractmethod
    def run(self, source: bytes) -> Any:
        """Calls the file once: the first `max_source_bytes` of any bytes, with their number before any cut.

        Returns: the answer, which has the `numbers` that must be finite, `golden()`, what `golden.json` holds of it,
            and `is_golden(entry, tolerance)`.
        """

    def has(self, signature: str) -> bool:
        """Returns whether the file was exported with a signature."""
        return signature in self._interpreter.get_signature_list()

    def _fitting(self, number: int, text: str) -> tuple[bytes, bool]:
        """Returns the bytes of a text that fit, and whether they are not all, which is warned of."""
        source = text.encode("utf-8", "surrogatepass")
        fitting = cut_at_character(source, self.max_source_bytes)
        if len(fitting) < len(source):
            warn(
                f"text {number} has {len(source)} bytes, more than the {self.max_source_bytes} that this file takes: "
                "it was cut there",
                stacklevel=7,
            )
        return fitting, len(fitting) < len(source)

    def _source(self, source: bytes) -> dict[str, np.ndarray]:
        text = np.zeros((1, self.max_source_bytes), np.uint8)
        given = source[: self.max_source_bytes]
        text[0, : len(given)] = np.frombuffer(given, np.uint8)
        return {"text": text, "text_length": np.array([len(source)], np.int32)}

    def _runner(self, signature: str) -> Any:
        if signature not in self._runners:
            known = list(self._interpreter.get_signature_list())
            if signature not in known:
                raise UserError(
                    f"{self.path} has no signature {signature!r}; it has {', '.join(known)}: export the run with it"
                )
            self._runners[signature] = self._interpreter.get_signature_runner(signature)
        return self._runners[signature]


def warn(text: str, stacklevel: int = 6) -> None:
    """Warns whoever called the method that called the one that calls this."""
    warnings.warn(text, UserWarning, stacklevel=stacklevel)


def open_artifact(path: str | os.PathLike[str], precision: str | None = None, num_threads: int = 1) -> Artifact:
    """Opens an exported model. Needs neither TensorFlow nor Keras.

    Args:
        path: the folder that export made, or one of its `.tflite` files.
        precision: which file of a folder: "float32" or "int8"; none means float32, or what there is instead. With
            the path of a file it may not be given.
        num_threads: threads of the interpreter.

    Raises:
        UserError: there is no such file, the folder has no such precision, or a file is not as its manifest says.

    Example:
        ```python
        open_artifact("dist/mine").predict(["A man rides a bike."])
        ```
    """
    path = Path(path)
    if path.is_dir():
        manifest = read_manifest(path)
        name = file_of(manifest, path, precision or next(iter(manifest["precisions"]), "float32"))
        check_file(path, name, manifest)
        path = path / name
    elif precision is not None:
        raise UserError(f"{path} is one file: a precision ({precision}) can be chosen of a folder only")
    elif path.is_file() and path.with_name(MANIFEST).is_file():
        manifest = read_manifest(path.parent)
        if path.name in manifest["files"]:
            check_file(path.parent, path.name, manifest)
    return _opened(path, num_threads)


def _opened(path: Path, num_threads: int) -> Artifact:
    """Opens a file with the class that runs its main signature."""
    from keras_transformer.export.tasks import find_task, task_names  # they import this module

    interpreter = _open_interpreter(path, num_threads)
    signatures = interpreter.get_signature_list()
    for kind in dict.fromkeys(find_task(name).File for name in task_names()):
        if kind.main_signature(signatures) is not None:
            return kind(path, num_threads, interpreter)
    raise _of_no_task(path)


def _of_no_task(path: Path) -> UserError:
    return UserError(f"{path} takes no text as these files do: export it with keras-transformer export")


def _open_interpreter(path: Path, num_threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return Interpreter(model_path=str(path), num_threads=num_threads)
    except (ValueError, RuntimeError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} is damaged or no .tflite file: {first_line}") from None
