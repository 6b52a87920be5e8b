"""What a person sees while an export runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


class Steps:
    """Tells of the steps of a long task on standard error: bars in a terminal, otherwise a line for each step.

    Args:
        console: where to; default standard error.

    Example:
        ```python
        steps = Steps()
        with steps.step("SavedModel"):
            ...
        for text in steps.track(texts, "verification"):
            ...
        ```
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        """Prints a line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Shows that something runs, and when it is done how long it took."""
        start = time.monotonic()
        with self.console.status(text):
            yield
        self.say(f"{text}: {time.monotonic() - start:.1f} s")

    def track(self, items: Sequence[Item], text: str, unit: str = "") -> Iterator[Item]:
        """Yields items, with a bar that has rate and time left; `unit` is what they are, if `text` does not say it."""
        start = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        with Progress(
            TextColumn(text), *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as bar:
            task = bar.add_task(text, total=len(items), rate="")
            for done, item in enumerate(items, 1):
                yield item
                rate = done / max(time.monotonic() - start, 1e-9)
                bar.update(task, completed=done, rate=f"{rate:.1f}/s")
        seconds = time.monotonic() - start
        count, rate = f"{len(items):,} {unit}".strip(), len(items) / max(seconds, 1e-9)
        self.say(f"{text}: {count} in {seconds:.1f} s ({rate:.1f}/s)")
