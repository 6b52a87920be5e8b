"""What is there: the recipes, their configs, and what a folder that the user names holds. Found on disk, not listed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from keras_transformer.errors import UserError, close_matches, close_paths

RECIPES = Path(__file__).parents[1] / "recipes"


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def recipe_names() -> list[str]:
    """Returns the tasks that have a folder below `recipes`."""
    return sorted(path.parent.name for path in RECIPES.glob("*/__init__.py"))


def check_recipe(name: str) -> None:
    """Raises a `UserError` with close matches if there is no such recipe."""
    known = recipe_names()
    if name not in known:
        raise UserError(f"no recipe {name!r}.{close_matches(name, known)} There are: {listed(known)}.")


def config_names(task: str) -> list[str]:
    """Returns the names that `--config` takes for a recipe."""
    return sorted(path.stem for path in (RECIPES / task / "configs").glob("*.yaml"))


def find_config(task: str, name: str) -> Path:
    """Returns the path of a config that is given by the name of a file in the recipe's `configs`, or by a path."""
    known = config_names(task)
    if name in known:
        return RECIPES / task / "configs" / f"{name}.yaml"
    if os.sep in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    raise UserError(
        f"--config: the recipe {task} has no config {name!r}.{close_matches(name, known)} "
        f"There are: {listed(known)}; a path of your own ends in .yaml."
    )


def task_of(run: str) -> str:
    """Returns the recipe that made a run directory, as its `config.yaml` records it under `task`.

    Raises:
        UserError: there is no such folder, it is no run directory, or its task is unknown.
    """
    from keras_transformer.config import saved_text

    check_exists(run)
    path = Path(run, "config.yaml")
    if not path.is_file():
        raise UserError(f"{run}: not a run directory: it has no config.yaml")
    task = saved_text(path, "task")
    if task not in recipe_names():
        raise UserError(f"{path}: task: expected one of {listed(recipe_names())}, got {task!r}")
    return str(task)


def is_artifact(path: str) -> bool:
    """Returns whether this is an exported model (a .tflite file or an artifact folder) or else a run directory.

    Raises:
        UserError: it is neither.
    """
    check_exists(path)
    if holds_artifact(path):
        return True
    if Path(path, "config.yaml").is_file():
        return False
    raise UserError(f"{path}: neither a run directory (no config.yaml) nor an artifact (no manifest.json)")


def holds_artifact(path: str) -> bool:
    """Returns whether an exported model is here: a .tflite file or an artifact folder."""
    return Path(path).suffix == ".tflite" or Path(path, "manifest.json").is_file()


def check_exists(path: str) -> None:
    """Raises a `UserError` with close matches if there is no such file or folder."""
    if not os.path.exists(path):
        folder = os.path.dirname(path)
        near = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        raise UserError(f"{path}: no such file or folder.{close_paths(path, near)}")
