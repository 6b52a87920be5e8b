"""What is installed: the list of packages is complete, and the wheel works away from the checkout."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import keras_transformer

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "keras_transformer": "keras_transformer",
    "recipes": "keras_transformer.recipes",
    "export": "keras_transformer.export",
}
BUILD_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def packages_on_disk() -> dict[str, str]:
    """Returns import name -> folder of every package in the three rooms."""
    found = {}
    for room, name in ROOMS.items():
        for path in sorted((ROOT / room).rglob("__init__.py")):
            if path.resolve() == path:  # not through the links keras_transformer/recipes and /export
                folder = path.parent.relative_to(ROOT)
                found[".".join([name, *folder.parts[1:]])] = folder.as_posix()
    return found


def test_setup_cfg_lists_every_package(setup_cfg: configparser.ConfigParser) -> None:
    assert setup_cfg["options"]["packages"].split() == sorted(packages_on_disk())


def test_links_stand_in_for_the_wheel_s_layout(setup_cfg: configparser.ConfigParser) -> None:
    mapped = dict(line.split(" = ") for line in setup_cfg["options"]["package_dir"].strip().splitlines())
    assert mapped == {"keras_transformer.recipes": "recipes", "keras_transformer.export": "export"}
    for name, folder in mapped.items():
        link = ROOT / name.replace(".", "/")
        assert link.is_symlink()
        assert os.readlink(link) == f"../{folder}"


def test_a_checkout_has_one_name_for_each_module() -> None:
    import keras_transformer.export
    import keras_transformer.recipes

    assert Path(keras_transformer.recipes.__file__ or "").resolve() == ROOT / "recipes" / "__init__.py"
    assert Path(keras_transformer.export.__file__ or "").resolve() == ROOT / "export" / "__init__.py"
    assert not {"recipes", "export"} & set(sys.modules)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel of a clean copy of the sources, so that nothing lands in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, copy)
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; other packages are lent by the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=True)
    site_packages = site_packages_of(folder)
    before = set(os.listdir(site_packages))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(folder)]
    done = subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(os.listdir(site_packages)) - before == {
        "keras_transformer",
        f"keras_transformer-{keras_transformer.__version__}.dist-info",
    }
    # A plain path line: the .pth files of the lending environment, an editable install among them, are not run.
    (site_packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def site_packages_of(environment: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))


def run_in(environment: Path, folder: Path, *command: str) -> str:
    """Runs a command of the environment away from the checkout and returns its standard output."""
    executable = str(environment / "bin" / command[0])
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([executable, *command[1:]], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_runs(fresh: Path, tmp_path: Path) -> None:
    assert run_in(fresh, tmp_path, "keras-transformer", "--help").startswith("usage: keras-transformer ")
    version = run_in(fresh, tmp_path, "keras-transformer", "--version")
    assert version == f"keras-transformer {keras_transformer.__version__}\n"
    assert "--run" in run_in(fresh, tmp_path, "keras-transformer", "train", "translation", "--help")


def test_the_installed_packages_import(fresh: Path, tmp_path: Path) -> None:
    names = sorted(packages_on_disk())
    code = f"""
import importlib.util, {", ".join(names)}
print({names[-1]}.__file__)
print(importlib.util.find_spec("recipes"))
"""
    file, bare = run_in(fresh, tmp_path, "python", "-c", code).splitlines()
    assert Path(file).is_relative_to(site_packages_of(fresh))
    assert bare == "None"


def test_data_files_are_installed(fresh: Path) -> None:
    """Every YAML in a package or in its `configs`, the schema, the web page, and the mark that the types are right."""
    sources = {
        f"{name.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
        for name, folder in packages_on_disk().items()
        for pattern in ("*.yaml", "configs/*.yaml", "*.schema.json", "py.typed", "web/**/*")
        for path in (ROOT / folder).glob(pattern)
        if path.is_file()
    }
    installed = site_packages_of(fresh)
    assert {"keras_transformer/py.typed", "keras_transformer/export/manifest.schema.json"} <= sources
    assert any("/configs/" in source for source in sources)
    assert {"keras_transformer/export/web/main.js", "keras_transformer/export/web/tasks/text.js"} <= sources
    assert {source for source in sources if not (installed / source).is_file()} == set()
