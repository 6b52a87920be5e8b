"""Batches of one kind up to a step, and of another from there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from keras_transformer.data.batching import Batch, TokenBatches


class Stages:
    """The batches of `first`, and from a step on those of `then`; for the rest it is as `first`.

    Both count steps from the beginning of the training, so that it can be taken up at any step.

    Args:
        first: what a training begins with.
        then: what it ends with.
        step: the first step of `then`, counted from 0.

    Example:
        ```python
        batches = Stages(Seq2SeqBatches(store, ...), Seq2SeqBatches(store.first_parts(1), ...), step=9000)
        ```
    """

    def __init__(self, first: TokenBatches, then: TokenBatches, step: int):
        self.first = first
        self.then = then
        self.step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.first, name)

    def from_step(self, step: int) -> Iterator[Batch]:
        """Yields batches without end, beginning with that of `step`."""
        if step < self.step:
            yield from islice(self.first.from_step(step), self.step - step)
        yield from self.then.from_step(max(step, self.step))
