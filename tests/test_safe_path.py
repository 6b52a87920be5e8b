"""No file of the current folder, or of an artifact folder, runs in place of a library."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keras_transformer
from keras_transformer._children import child_command
from tests.export.conftest import artifact_path, run_path  # noqa: F401 (fixtures)

PACKAGE = Path(keras_transformer.__file__).parent
# runpy and what it imports come before any code of ours where Python is started by `python -m`
NAMES = ["json", "keras", "numpy", "random", "sitecustomize", "tensorflow", "usercustomize", "yaml", "zipfile"]
LIBRARIES = ["ai_edge_litert", "keras", "numpy", "rich", "sitecustomize", "tensorflow", "usercustomize", "yaml"]


def lay_traps(folder: Path, names: list[str]) -> Path:
    """Writes modules which leave a marker where they are imported."""
    for name in names:
        code = f"open({str(folder / f'{name}.marker')!r}, 'w').close()\nraise ImportError('a trap')\n"
        (folder / f"{name}.py").write_text(code)
    return folder


def sprung(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.marker"))


def every_name() -> list[str]:
    return sorted({*sys.stdlib_module_names, *LIBRARIES})


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hostile"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    return folder


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_trap_springs_where_python_is_left_alone(hostile: Path) -> None:
    lay_traps(hostile, NAMES)
    subprocess.run([sys.executable, "-c", "import yaml"], capture_output=True)
    assert sprung(hostile) == ["yaml"]


def test_a_child_has_nothing_of_the_current_folder(hostile: Path) -> None:
    lay_traps(hostile, every_name())
    assert "usage: keras-transformer" in run(child_command("keras_transformer.cli", "--help"))
    assert sprung(hostile) == []


def test_a_child_has_what_its_parent_has_on_its_path_and_the_same_package(
    tmp_path: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the package that is in the environment, where the parent has another one."""
    monkeypatch.delenv("PYTHONPATH")
    copy = tmp_path / "copy" / "keras_transformer"
    (copy / "cli").mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    (copy / "cli" / "__init__.py").write_text("")
    (copy / "cli" / "__main__.py").write_text("import json, beside, sys; print(beside.__file__, sys.argv[1:])")
    (tmp_path / "beside.py").write_text("")
    monkeypatch.setattr(keras_transformer, "__file__", str(copy / "__init__.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    lay_traps(hostile, every_name())
    monkeypatch.syspath_prepend(str(hostile))
    monkeypatch.syspath_prepend("")
    assert run(child_command("keras_transformer.cli", "a b")) == f"{tmp_path / 'beside.py'} ['a b']\n"
    assert sprung(hostile) == []


def test_the_command_run_as_a_module(hostile: Path) -> None:
    lay_traps(hostile, NAMES)
    assert "usage: keras-transformer" in run([sys.executable, "-m", "keras_transformer.cli", "--help"])
    assert sprung(hostile) == []


def test_a_benchmark_and_verify_py_in_a_hostile_artifact(
    hostile: Path,
    artifact_path: Path,  # noqa: F811
) -> None:
    shutil.copytree(artifact_path, hostile, dirs_exist_ok=True)
    lay_traps(hostile, NAMES)
    assert '"golden_equal"' in run([sys.executable, "-m", "keras_transformer.cli", "benchmark", ".", "--json"])
    assert sprung(hostile) == []
    lay_traps(hostile, every_name())
    assert "every model answers as it must" in run([sys.executable, "verify.py"])
    assert sprung(hostile) == []


@pytest.mark.slow
def test_an_export_beside_traps(hostile: Path, run_path: Path) -> None:  # noqa: F811
    lay_traps(hostile, NAMES)
    command = ["export", str(run_path), "--output", "dist", "--max-loss", "100"]
    run([sys.executable, "-m", "keras_transformer.cli", *command])
    assert sprung(hostile) == []


def test_every_child_is_started_by_one_function() -> None:
    folders = [PACKAGE, *(PACKAGE.parent / name for name in ("export", "recipes", "benchmarks"))]
    sources = [path for folder in folders for path in folder.rglob("*.py") if path.name != "_children.py"]
    modules = re.compile(r"""sys\.executable,\s*["']-m""")
    assert [str(path) for path in sources if modules.search(path.read_text(encoding="utf-8"))] == []
    package = [path for path in sources if path.parent.name != "benchmarks"]
    assert [str(path) for path in package if "sys.executable" in path.read_text(encoding="utf-8")] == []
