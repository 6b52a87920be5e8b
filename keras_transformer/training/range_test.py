"""The learning-rate range test: how the loss goes while the rate rises from far too small to far too large.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), https://arxiv.org/abs/1506.01186, section 3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from keras_transformer.data.batching import TokenBatches
from keras_transformer.data.feed import feed
from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.objective import Objective
from keras_transformer.training.sweep import FEWEST_POINTS, Sweep
from keras_transformer.training.trainer import compile_for_training
from keras_transformer.training.updates import own_optimizer

SMOOTHING = 0.9  # share that a smoothed loss keeps of the one before
EXPLOSION = 1.1  # a smoothed loss of so many times the first one ends the test: all that was learned is lost


@dataclass
class RangeTest:
    """What a range test found.

    Attributes:
        rates, losses, smoothed: of every step; the smoothed loss is a mean with weights that fall by `SMOOTHING`.
        exploded: whether the loss exploded before the highest rate.
        suggestion: a learning rate to try as the highest of a training.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    exploded: bool
    suggestion: float


class Exponential(keras.optimizers.schedules.LearningRateSchedule):
    """The rates of a `Sweep` as a schedule."""

    def __init__(self, sweep: Sweep):
        self.sweep = sweep

    def __call__(self, step: Any) -> Any:
        growth = math.log(self.sweep.highest / self.sweep.lowest) / (self.sweep.steps - 1)
        return self.sweep.lowest * ops.exp(growth * ops.cast(step, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {"sweep": vars(self.sweep)}


def find_learning_rate(
    model: keras.Model, batches: TokenBatches, config: TrainingConfig, objective: Objective, sweep: Sweep
) -> RangeTest:
    """Trains a model while the learning rate rises, and says what rate to try.

    Args:
        model: new; its weights are of no use afterwards.
        batches: of the training data.
        config: how to train, the learning rate and its schedule apart.
        objective: what it is trained for.
        sweep: how the rate rises.

    Raises:
        UserError: the loss is no number, or explodes, before there is anything to see.

    Example:
        ```python
        sweep = Sweep(1e-5, 1.0, steps=200)
        find_learning_rate(model, batches, TrainingConfig(), TokenObjective(), sweep).suggestion
        ```
    """
    config = replace(config, schedule="constant", averaging=None, average_last=None)
    training_model = compile_for_training(model, config, objective)
    own_optimizer(training_model).learning_rate = Exponential(sweep)
    watch = _LossWatch()
    data = feed(lambda: batches.from_step(0))
    training_model.fit(data, steps_per_epoch=sweep.steps, epochs=1, callbacks=[watch], verbose=0, shuffle=False)
    if len(watch.losses) < FEWEST_POINTS:
        raise UserError(
            f"the loss exploded after {len(watch.losses)} steps, at a learning rate of "
            f"{sweep.rate(len(watch.losses)):.2g}; begin the sweep lower than {sweep.lowest:g}"
        )
    rates = [sweep.rate(step) for step in range(len(watch.losses))]
    return RangeTest(rates, watch.losses, watch.smoothed, watch.exploded, suggested_rate(rates, watch.smoothed))


class _LossWatch(keras.callbacks.Callback):
    """Notes the loss of every batch and ends the training when it explodes."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.exploded = False
        self._sum, self._weight = 0.0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        self.model.reset_metrics()  # the next loss is that of its batch alone
        self._sum = SMOOTHING * self._sum + loss
        self._weight = SMOOTHING * self._weight + 1.0
        smoothed = self._sum / self._weight
        if not math.isfinite(loss) or (self.smoothed and smoothed > EXPLOSION * self.smoothed[0]):
            self.exploded = True
            self.model.stop_training = True
            return
        self.losses.append(loss)
        self.smoothed.append(smoothed)


def suggested_rate(rates: list[float], smoothed: list[float]) -> float:
    """Returns a tenth of the rate at which the loss was lowest: where it still fell, with room for a longer training.

    The rule of fastai's first `lr_find` (https://arxiv.org/abs/2002.04688). The test is short and has no warm-up, so
    take it for the order of magnitude.
    """
    return rates[smoothed.index(min(smoothed))] / 10
