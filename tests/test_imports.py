"""The rooms and the one direction between them, and how little is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_transformer.cli.discovery import recipe_names

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("keras_transformer", "recipes", "export")
TENSORFLOW_HOMES = (
    "keras_transformer/_compiled.py",
    "keras_transformer/_gradients.py",
    "keras_transformer/text/",
    "keras_transformer/training/distribution.py",
    "keras_transformer/training/tensorboard.py",
    "keras_transformer/data/feed.py",
    "export/",
)


def python_files() -> list[str]:
    """Returns every module once, by its path from the root; the links between the rooms are not followed."""
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in found if path.resolve() == path]


def module_of(path: str) -> str:
    """Returns the import name: `recipes/translation/__init__.py` is `keras_transformer.recipes.translation`."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return name if name.startswith("keras_transformer") else f"keras_transformer.{name}"


def imports_of(source: str, package: str) -> Iterator[str]:
    """Yields the absolute names that a module imports, in functions and through `import_module` too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (part.value for part in ast.walk(node.args[0]) if is_text(part))


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def imports_in(path: str) -> list[str]:
    module = module_of(path)
    package = module if path.endswith("/__init__.py") else module.rpartition(".")[0]
    return list(imports_of((ROOT / path).read_text(encoding="utf-8"), package))


def enters(name: str, room: str) -> bool:
    """Returns whether an imported name lies in a room: `keras_transformer.export` or anything below it."""
    return name == room or name.startswith(f"{room}.")


FILES = python_files()


def test_the_walk_finds_the_modules() -> None:
    assert {"keras_transformer/cli/commands.py", "recipes/__init__.py", "export/__init__.py"} <= set(FILES)
    assert not any(path.startswith(("keras_transformer/recipes", "keras_transformer/export")) for path in FILES)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b, c as d", ["a.b", "c"]),
        ("from a.b import c as d, e", ["a.b.c", "a.b.e"]),
        (
            "def f():\n    from .x import y\n    from . import z\n    from ..export import w",
            ["p.q.x.y", "p.q.z", "p.export.w"],
        ),
        ("importlib.import_module('a.b'); import_module(f'a.{name}.c')", ["a.b", "a.", ".c"]),
    ],
)
def test_every_way_to_import_is_seen(source: str, found: list[str]) -> None:
    assert list(imports_of(source, "p.q")) == found


@pytest.mark.parametrize("path", FILES)
def test_imports_go_one_way(path: str) -> None:
    names = imports_in(path)
    assert not [name for name in names if enters(name, "recipes") or enters(name, "export")], "use the installed names"
    if path.startswith("keras_transformer/cli/"):
        return
    closed = [room for room in ("recipes", "export") if not path.startswith(f"{room}/")]
    assert not [name for name in names for room in closed if enters(name, f"keras_transformer.{room}")]


@pytest.mark.parametrize("path", [path for path in FILES if not path.startswith(TENSORFLOW_HOMES)])
def test_tensorflow_stays_at_home(path: str) -> None:
    homeless = ("tensorflow", "tensorflow_text", "tensorboard", "ai_edge_litert")
    assert not [name for name in imports_in(path) for room in homeless if enters(name, room)]


HEAVY = {"tensorflow", "keras", "jax", "torch", "tokenizers", "rich", "sacrebleu", "numpy"}


def heavy_after(code: str, heavy: set[str] = HEAVY) -> str:
    """Returns which heavy packages a fresh interpreter has imported after running `code`."""
    code = f"{textwrap.dedent(code)}\nimport sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_packages_import_nothing_heavy() -> None:
    """But for the layers, which Keras is to know once they are imported."""
    packages = [module_of(path) for path in FILES if path.endswith("/__init__.py") and path.startswith(ROOMS[0])]
    packages.remove("keras_transformer.layers")
    assert len(packages) > 5
    assert (
        heavy_after(f"import {', '.join([*packages, 'keras_transformer.recipes', 'keras_transformer.export'])}") == "[]"
    )


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["train", "--help"], ["predict", "--help"], ["trian"]])
def test_the_command_line_parses_without_tensorflow(argv: list[str]) -> None:
    code = f"""
        from keras_transformer.cli import build_parsers, main
        build_parsers()
        main({argv})
    """
    assert heavy_after(code) == "[]"


@pytest.mark.parametrize("task", recipe_names())
def test_fields_are_explained_and_checked_without_tensorflow(task: str) -> None:
    code = f"""
        from keras_transformer.cli import main
        assert main(["train", "{task}", "--help"]) == 0
        assert main(["train", "{task}", "--no_such_field", "3"]) == 2
    """
    assert heavy_after(code, HEAVY - {"numpy"}) == "[]"


def test_help_answers_at_once() -> None:
    """Under 0.5 s: the best of a few, for the machine may be busy."""

    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "keras_transformer.cli", "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert any(seconds() < 0.5 for _ in range(20))


START = "from keras_transformer._start import start_quickly; start_quickly()"


def test_a_command_imports_no_library_that_nobody_uses() -> None:
    """Those that Keras and TensorFlow import only if they are there; whoever asks afterwards finds them."""
    assert heavy_after("import tensorflow, keras", {"sklearn"}) == "['sklearn']", "if not, there is less to leave out"
    assert heavy_after(f"{START}; import tensorflow, keras", {"sklearn", "jax"}) == "[]"
    assert heavy_after(f"{START}; import keras, sklearn", {"sklearn", "jax"}) == "['sklearn']"


def test_a_command_that_runs_on_jax_finds_it() -> None:
    pytest.importorskip("jax")
    code = f"import os; os.environ['KERAS_BACKEND'] = 'jax'; {START}; import tensorflow, keras; keras.ops.zeros(1)"
    assert heavy_after(code, {"sklearn", "jax"}) == "['jax']"


@pytest.mark.parametrize("room", ["recipes", "export"])
def test_a_bare_import_is_refused(room: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=ROOT, capture_output=True, text=True)
    assert f"ImportError: import keras_transformer.{room}, not {room}: this folder is part of" in done.stderr
