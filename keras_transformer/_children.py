"""Python processes that run a module of this package, with nothing of the current folder on their path.

`python -m` and `python -c` put the current folder first on the path: a `numpy.py` or `random.py` that lies there, in a
folder that somebody downloaded, would run. `-P` and `PYTHONSAFEPATH` prevent that from Python 3.11 on only, and `-I`
drops `PYTHONPATH` and the packages of the user.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import keras_transformer

# `sys` is built in: until the second line is done, nothing is looked up on the path. The package is loaded from where
# the parent has it, whatever is on the path.
PROGRAM = """
import sys
sys.path[:] = [path for path in sys.path if path]
import json
module, package, paths = json.loads(sys.argv.pop(1))
sys.path += [path for path in paths if path not in sys.path]
import importlib.util
spec = importlib.util.spec_from_file_location("keras_transformer", package)
sys.modules["keras_transformer"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["keras_transformer"])
import runpy
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def child_command(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module of this package as `python -m` would, without the current folder.

    The child finds libraries where this process does: in its own standard places, `PYTHONPATH` among them, then on what
    this process has on its path besides.

    Args:
        module: its full name.
        arguments: of its command line.

    Example:
        ```python
        subprocess.run(child_command("keras_transformer.cli", "predict", "runs/mine"), input=b"A man.\\n")
        ```
    """
    here = os.path.realpath(os.curdir)
    paths = [path for path in sys.path if os.path.isabs(path) and os.path.realpath(path) != here]
    package = str(Path(keras_transformer.__file__).resolve())
    return [sys.executable, "-c", PROGRAM, json.dumps([module, package, paths]), *arguments]
