"""What a person sees in the terminal while a model trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 30.0  # where the output is no terminal, a line now and then stands for the bar
SECONDS_BETWEEN_READINGS = 1.0  # of loss and accuracy: each makes the host wait for the device


class ProgressBar(keras.callbacks.Callback):
    """A progress bar with rate and time left; in a log file, a line every half minute.

    Args:
        progress: its `step` is where the training stands; stands behind what counts them among the callbacks.
        steps: steps at which training ends.
        console: where it is shown.
        accuracy: name of the metric that is shown beside the loss; none if empty.
    """

    def __init__(self, progress: Any, steps: int, console: Console, accuracy: str = ""):
        super().__init__()
        self.progress, self.steps, self.console, self.accuracy = progress, steps, console, accuracy
        self.bar = Bar(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=steps, completed=progress.step, shown="", rate="")
        self.shown = ""
        self.last_line = time.monotonic()
        self.last_reading = -float("inf")

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.bar.start()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        now = time.monotonic()
        if logs and now - self.last_reading >= SECONDS_BETWEEN_READINGS:
            self.last_reading = now
            self.shown = f"loss {float(logs['loss']):.3f}"
            if self.accuracy:
                self.shown += f"  accuracy {float(logs[self.accuracy]):.1%}"
        speed = self.bar.tasks[0].speed  # of the last half minute
        rate = f"{speed:.1f} steps/s" if speed else ""
        self.bar.update(self.task, completed=self.progress.step, shown=self.shown, rate=rate)
        if not self.console.is_terminal and now - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.console.print(f"step {self.progress.step}/{self.steps}  {self.shown}", highlight=False, soft_wrap=True)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.bar.stop()
