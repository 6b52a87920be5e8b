"""Runs a module of this package in a Python process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import IO, Any

from keras_transformer._children import child_command


def run_module(name: str, arguments: Sequence[str], errors: IO[Any], given: str = "") -> tuple[int, str]:
    """Runs the module `keras_transformer.export.<name>` and returns its exit status and standard output.

    Args:
        name: of the module.
        arguments: of its command line.
        errors: open file that receives its standard error.
        given: its standard input.
    """
    done = subprocess.run(
        child_command(f"keras_transformer.export.{name}", *arguments),
        input=given,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
    )
    return done.returncode, done.stdout
