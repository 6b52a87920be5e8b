"""The tasks that can be exported: a module each, whose `TASK` says what export needs to know of it.

A module has the name that a run's config.yaml has under `task`. To export runs of a new task, add one; see `task`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from keras_transformer.errors import UserError, close_matches
from keras_transformer.export.task import Task
from keras_transformer.training.run_directory import RunDirectory


def task_names() -> list[str]:
    """Returns the names of the tasks, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_task(name: str) -> Task:
    """Returns the task of a name that `task_names` has."""
    task = importlib.import_module(f"{__name__}.{name}").TASK
    assert isinstance(task, Task)
    return task


def read_task(run: RunDirectory) -> tuple[Task, dict[str, Any]]:
    """Returns a run's task and its config.

    Raises:
        UserError: config.yaml is damaged, or names a task that cannot be exported.
    """
    import yaml  # not needed to run a file

    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        name = config["task"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{run.config} is damaged: {type(error).__name__}: {str(error).splitlines()[0]}") from None
    known = task_names()
    if name not in known:
        raise UserError(
            f"{run.config}: no export for the task {name!r}.{close_matches(str(name), known)} "
            f"There are: {', '.join(known)}."
        )
    return find_task(name), config
