"""Watches the batches on their way into training: how much of them is padding, and whether training waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class InputWatch:
    """Counts padding, and the time that training waits for a batch.

    A batch is waited for from the moment its step begins until it is made: nothing if it was ready before. What
    TensorFlow needs to hand it over, less than a millisecond, is not counted.

    Args:
        pad_id: the id of padding.

    Example:
        ```python
        watch = InputWatch(pad_id=0)
        watched = watch.watched(batches.from_step)
        data = feed(lambda: watched(step))  # and `watch.training_begins()`, `watch.step_begins()` by a callback
        watch.point(seconds=2.5)  # {"input/padding_share": 0.07, "input/wait_share": 0.0}
        ```
    """

    def __init__(self, pad_id: int = 0):
        self.pad_id = pad_id
        self.positions = self.padding = self.generation = 0
        self.made: list[float] = []  # when batches were made, and when their steps began: of those not yet told
        self.begun: list[float] = []

    def watched(self, batches: Callable[[int], Iterator[Any]]) -> Callable[[int], Iterator[Any]]:
        """Returns the same batches from a step on, `(inputs, labels)`, being watched; each iteration counts anew."""

        def watching(step: int) -> Iterator[Any]:
            self._restart()
            generation = self.generation
            for inputs, labels in batches(step):
                if generation == self.generation:  # an iteration that was left may still be read ahead of
                    self._is_made(inputs)
                yield inputs, labels

        return watching

    def training_begins(self) -> None:
        """To be called before the first step of a `fit`: TensorFlow begins a new iteration when it needs its batch."""
        self.begun = []

    def step_begins(self) -> None:
        """To be called as a step begins, before it has its batch."""
        self.begun.append(time.monotonic())

    def point(self, seconds: float) -> dict[str, float]:
        """Returns what there is to show of the last `seconds`, and begins to count anew.

        Returns: `input/padding_share` of all positions on both sides, `input/wait_share` of the seconds; neither where
            there was no batch.
        """
        positions, padding = self.positions, self.padding
        self.positions = self.padding = 0
        waited = self._waited()
        if not positions or seconds <= 0:
            return {}
        return {"input/padding_share": padding / positions, "input/wait_share": min(waited / seconds, 1.0)}

    def _restart(self) -> None:
        self.generation += 1
        self.made = []
        self.positions = self.padding = 0

    def _is_made(self, inputs: dict[str, np.ndarray]) -> None:
        self.made.append(time.monotonic())
        for ids in inputs.values():
            self.positions += ids.size
            self.padding += ids.size - int(np.count_nonzero(ids != self.pad_id))

    def _waited(self) -> float:
        """The seconds waited for the batches of the steps that began since last time."""
        count = min(len(self.made), len(self.begun))
        made, begun = self.made[:count], self.begun[:count]
        del self.made[:count], self.begun[:count]
        return sum(max(0.0, ready - wanted) for ready, wanted in zip(made, begun, strict=True))
