"""Runs a module of this package in a Python process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import keras_transformer


def run_module(name: str, arguments: Sequence[str], errors: IO[Any], given: str = "") -> tuple[int, str]:
    """Runs `python -m keras_transformer.export.<name>` and returns its exit status and standard output.

    Args:
        name: of the module.
        arguments: of its command line.
        errors: open file that receives its standard error.
        given: its standard input.
    """
    home = str(Path(keras_transformer.__file__).parents[1])  # wherever the parent found the package
    paths = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", f"keras_transformer.export.{name}", *arguments],
        input=given,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": paths},
    )
    return done.returncode, done.stdout
