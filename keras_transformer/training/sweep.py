"""The learning rates of a range test; see `keras_transformer.training.range_test`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_transformer.errors import refuse_unless

FEWEST_POINTS = 20


@dataclass
class Sweep:
    """How the learning rate rises: by the same factor at every step.

    Args:
        lowest: rate of the first step.
        highest: rate of the last step, unless the loss explodes before.
        steps: how many.
    """

    lowest: float = 1e-5
    highest: float = 1.0
    steps: int = 200

    def __post_init__(self) -> None:
        refuse_unless(self.lowest > 0, "lowest", self.lowest, "more than 0")
        refuse_unless(self.highest > self.lowest, "highest", self.highest, f"more than lowest, {self.lowest:g}")
        refuse_unless(self.highest < math.inf, "highest", self.highest, "a finite number")
        refuse_unless(self.steps >= FEWEST_POINTS, "steps of the sweep", self.steps, f"{FEWEST_POINTS} or more")

    def rate(self, step: int) -> float:
        """Returns the rate of a step, counted from 0."""
        return self.lowest * (self.highest / self.lowest) ** (step / (self.steps - 1))
