"""What a person sees in the terminal while a model trains."""

from __future__ import annotations

import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 30.0  # where the output is no terminal, a line now and then stands for the bar


class ProgressBar(keras.callbacks.Callback):
    """A progress bar with rate and time left; in a log file, a line every half minute.

    Args:
        start: steps made before.
        steps: steps at which training ends.
        console: where it is shown.
    """

    def __init__(self, start: int, steps: int, console: Console):
        super().__init__()
        self.step, self.steps, self.console = start, steps, console
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("training", total=steps, completed=start, shown="")
        self.last_line = time.monotonic()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.progress.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.step += 1
        logs = logs or {}
        shown = f"loss {logs.get('loss', 0):.3f}  accuracy {logs.get('token_accuracy', 0):.1%}"
        self.progress.update(self.task, completed=self.step, shown=shown)
        if not self.console.is_terminal and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.console.print(f"step {self.step}/{self.steps}  {shown}", highlight=False)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.progress.stop()
