"""What `runs` lists: every run of a folder, how far it came and how good it is. Read from its small files alone."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_transformer._config_sources import plain_content, read_text
from keras_transformer._files import is_building
from keras_transformer.cli.discovery import check_exists
from keras_transformer.cli.terminal import print_result
from keras_transformer.config import END_MARK
from keras_transformer.errors import UserError
from keras_transformer.training.run_directory import RunDirectory

SIGN_OF_LIFE = 120.0  # seconds: a training makes its first step sooner, and writes points of its curves more often
TRACES = ("metrics.json", "checkpoints", "model.weights.h5")  # of a run, should its config be gone


@dataclass
class RunSummary:
    """One run in a few numbers; None where there is none yet.

    Attributes:
        run: its folder.
        state: finished; running (not finished, and a process trains it); interrupted; damaged.
        task: the recipe.
        step, steps: how many updates were made, and how many it was to have.
        score, best, best_step: name of what the best weights are chosen by, its best value, and when.
        minutes: of training, evaluations included.
        tokens_per_second: target tokens, evaluations not counted.
        fault: what is wrong with a damaged one.
    """

    run: str
    state: str
    task: str | None = None
    step: int | None = None
    steps: int | None = None
    score: str | None = None
    best: float | None = None
    best_step: int | None = None
    minutes: float | None = None
    tokens_per_second: float | None = None
    fault: str | None = None


def print_runs(folder: str, as_json: bool) -> None:
    """Prints the runs of a folder as a table, or as JSON.

    Raises:
        UserError: there is no such folder.
    """
    summaries = [summary_of(path) for path in run_folders(folder)]
    if as_json:
        print_result([asdict(summary) for summary in summaries])
    elif summaries:
        print(run_table(summaries), end="")
    else:
        print(f"no runs in {folder}: `keras-transformer train RECIPE --run {os.path.join(folder, 'NAME')}` makes one")


def run_folders(folder: str) -> list[Path]:
    """Returns the runs in a folder by name: what has a config, or anything else that a training leaves.

    Raises:
        UserError: there is no such folder.
    """
    if folder == "runs" and not os.path.exists(folder):
        raise UserError("no folder 'runs' here: give the folder that holds the runs, keras-transformer runs FOLDER")
    check_exists(folder)
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"{folder}: a file, expected the folder that holds the runs")
    if _is_run(path):
        return [path]
    return sorted(child for child in path.iterdir() if child.is_dir() and _is_run(child))


def _is_run(path: Path) -> bool:
    try:
        return not is_building(path) and any((path / name).exists() for name in ("config.yaml", *TRACES))
    except PermissionError:  # it may be one
        return True


def summary_of(path: Path) -> RunSummary:
    """Returns what is known of a run; a damaged one is told, not raised."""
    try:
        return read_summary(RunDirectory(path))
    except UserError as error:
        return RunSummary(str(path), "damaged", fault=str(error).partition("\n")[0])
    except OSError as error:
        return RunSummary(str(path), "damaged", fault=f"{error.filename or path} cannot be read: {error.strerror}")


def read_summary(run: RunDirectory) -> RunSummary:
    """Returns what is known of a run.

    Raises:
        UserError: it is damaged; the message says which file and how.
    """
    config, metrics = read_config(run), read_metrics(run)
    training = config["training"]
    evaluations = metrics["evaluations"]
    last: dict[str, Any] = evaluations[-1] if evaluations else {"step": 0, "seconds": 0.0}
    best, best_step = metrics.get("best_score"), metrics.get("best_step")
    since_best = sum(entry["step"] > (best_step or 0) for entry in evaluations)
    limits = (
        (last["step"], training.get("steps")),
        (last["seconds"], None if training.get("minutes") is None else 60 * training["minutes"]),
        (since_best, training.get("patience")),
    )
    finished = any(limit is not None and value >= limit for value, limit in limits)
    return RunSummary(
        run=str(run.path),
        state="finished" if finished else "running" if _is_running(run) else "interrupted",
        task=config.get("task"),
        step=max(last["step"], run.last_checkpoint() or 0),
        steps=training.get("steps"),
        score=_name_of(best, best_step, evaluations),
        best=None if best is None else round(best, 4),
        best_step=best_step if evaluations else None,
        minutes=round(last["seconds"] / 60, 1) if evaluations else None,
        tokens_per_second=metrics.get("tokens_per_second"),
    )


def read_config(run: RunDirectory) -> dict[str, Any]:
    """Returns a run's config as plain data, `training` among it.

    Raises:
        UserError: it is missing or damaged.
    """
    if not run.config.exists():
        raise UserError(f"{run.path}: config.yaml is missing; copy it from a run with the same settings")
    if not read_text(run.config).endswith(f"\n{END_MARK}\n"):
        raise UserError(f"{run.config}: damaged: its last line should be {END_MARK!r}")
    content = plain_content(run.config)
    if not isinstance(content, dict) or not isinstance(content.get("training"), dict):
        raise UserError(f"{run.config}: damaged: it has no section `training`")
    numbers = {name: content["training"].get(name) for name in ("steps", "minutes", "patience")}
    for name, value in numbers.items():
        if not isinstance(value, (int, float, type(None))):
            raise UserError(f"{run.config}: damaged: training.{name} is {value!r}, expected a number")
    if not isinstance(content.get("task"), (str, type(None))):
        raise UserError(f"{run.config}: damaged: task is no name")
    return content


def read_metrics(run: RunDirectory) -> dict[str, Any]:
    """Returns a run's metrics; without evaluations if it has not reached its first.

    Raises:
        UserError: they are damaged, or the weights that belong to them are missing.
    """
    metrics = run.read_metrics()
    if metrics["evaluations"]:
        run.check_trained()
    return metrics


def _is_running(run: RunDirectory) -> bool:
    """Returns whether a process trains a run: it holds the run's lock; if that cannot tell, it wrote a moment ago."""
    locked = run.is_training()
    return _age(run) < SIGN_OF_LIFE if locked is None else locked


def _age(run: RunDirectory) -> float:
    """The seconds since a run was last written to."""
    times = [path.stat().st_mtime for path in (run.metrics, run.curve, run.checkpoints, run.config) if path.exists()]
    return time.time() - max(times)


def _name_of(best: float | None, step: int | None, evaluations: list[dict[str, Any]]) -> str | None:
    """Returns which of an evaluation's metrics the score is."""
    for entry in evaluations:
        if best is not None and entry["step"] == step:
            return next((name for name in scores_of(entry) if entry[name] == round(best, 5)), None)
    return None


def scores_of(entry: dict[str, Any]) -> list[str]:
    """Returns the names of the scores in an evaluation: no counts, and nothing of the training itself."""
    return [
        name
        for name, value in entry.items()
        if isinstance(value, float) and name != "seconds" and not name.startswith("train_")
    ]


def run_table(summaries: Sequence[RunSummary]) -> str:
    """Returns a table for the terminal, and below it a line for each damaged run."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("run", "task", "state"):
        table.add_column(name, overflow="fold")
    for name in ("step", "best", "at step", "minutes", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    styles = {"finished": "green", "running": "cyan", "interrupted": "yellow", "damaged": "red"}
    for run in summaries:
        step = "" if run.step is None else f"{run.step:,}" if run.steps is None else f"{run.step:,} of {run.steps:,}"
        best = "" if run.best is None else f"{run.score or ''} {run.best:.2f}".strip()
        table.add_row(
            Text(run.run),
            Text(run.task or ""),
            Text(run.state, styles[run.state]),
            step,
            Text(best),
            "" if run.best_step is None else f"{run.best_step:,}",
            "" if run.minutes is None else f"{run.minutes:,.1f}",
            "" if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}",
        )
    on_terminal = sys.stdout.isatty()
    console = Console(file=io.StringIO(), force_terminal=on_terminal, width=None if on_terminal else 160)
    console.print(table)
    for run in summaries:
        if run.fault:
            console.print(Text(run.fault), soft_wrap=True)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines()) if not on_terminal else text
