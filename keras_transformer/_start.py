"""What makes commands start sooner."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from types import ModuleType

COLLECTED_AT = (50_000, 20, 100)  # see `gc.set_threshold`

# Libraries that parts of others import if they are there, for what no command makes use of.
LEFT_OUT = {"sklearn": ("keras.src.wrappers",), "jax": ("tensorflow.lite", "keras.src.callbacks")}


def start_quickly() -> None:
    """Has TensorFlow and Keras imported in half the time, in a process that runs a command.

    Keras imports scikit-learn for wrappers, and TensorFlow JAX to convert its models: here they do not find them.
    Whoever else imports them does. And Python looks for garbage less often: imports and graphs make objects by the
    hundred thousand, and nearly all of them stay.
    """
    gc.set_threshold(*COLLECTED_AT)
    if not any(isinstance(finder, _LeftOut) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeftOut())


class _LeftOut:
    """Says of a library that it is not there, to the part of another one that is to do without it."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name in LEFT_OUT and _importer().startswith(LEFT_OUT[name]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _importer() -> str:
    """Returns the name of the module whose import statement is under way."""
    frame = sys._getframe(2)
    while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))
