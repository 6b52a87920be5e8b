"""What export needs to know of each task. A recipe names its task in config.yaml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from keras_transformer.errors import UserError, close_matches
from keras_transformer.scores import translation_scores
from keras_transformer.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: as in config.yaml.
        signature: of the `.tflite` file.
        does: what the model does, for the README.
        scores: function of outputs, references and whether the text is tokenised already.
        headline: the score that stands for the others in a table.
    """

    name: str
    signature: str
    does: str
    scores: Callable[[Sequence[str], Sequence[str], bool], dict[str, Any]]
    headline: str


TASKS = {
    task.name: task
    for task in [Task("translation", "translate", "translates one text at a time", translation_scores, "bleu")]
}


def read_task(run: RunDirectory) -> tuple[Task, dict[str, Any]]:
    """Returns a run's task and its config.

    Raises:
        UserError: config.yaml is damaged, or names a task that cannot be exported.
    """
    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        name = config["task"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{run.config} is damaged: {type(error).__name__}: {str(error).splitlines()[0]}") from None
    if name not in TASKS:
        raise UserError(
            f"{run.config}: no export for the task {name!r}.{close_matches(str(name), TASKS)} "
            f"There are: {', '.join(TASKS)}."
        )
    return TASKS[name], config
