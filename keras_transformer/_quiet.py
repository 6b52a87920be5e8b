"""Keeps what TensorFlow prints while it starts off the terminal.

Some of it is written before TensorFlow reads `TF_CPP_MIN_LOG_LEVEL`, by libraries that log for themselves, so that no
setting reaches it: for the time of the import, standard error goes to a file, and all but the known lines comes back.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

NOISE = re.compile(r"I\d{4} |WARNING: All log messages before absl::InitializeLog|INFO: Created TensorFlow Lite")
NO_DRIVER = "Could not find cuda drivers"  # where there is none, a failing cuInit is no news
CUDA_START = re.compile(r"E\d{4} .*cuInit")


def quiet_tensorflow() -> None:
    """Makes the coming import of TensorFlow quiet, unless it happened already or the user set a log level."""
    # a search is traced for each of a few shapes: no news to who runs a command
    logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ and "tensorflow" not in sys.modules:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Steps in once, when `tensorflow` is first imported; until then nothing is imported for it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            setattr(spec.loader, "exec_module", lambda module: _run_quietly(run, module))  # noqa: B010 (mypy)
        return spec


def _run_quietly(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    with filtered_stderr():
        run(module)
        module.config.list_physical_devices()  # looks for a GPU now, rather than noisily at the first operation


@contextmanager
def filtered_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, by C++ too; what is no known noise is written at the end."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            sys.stderr.write(without_noise(file.read().decode("utf-8", errors="replace")))


def without_noise(text: str) -> str:
    """Returns the lines that a reader can use."""
    lines = [line for line in text.splitlines(keepends=True) if not NOISE.match(line)]
    return "".join(line for line in lines if not (NO_DRIVER in text and CUDA_START.match(line)))
