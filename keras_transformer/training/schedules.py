"""How the learning rate runs over the training: a linear warm-up to its peak, then one of four ways down.

All count the first update as step 1: it is not an update of nothing. Resuming needs no state: the rate depends on the
step alone. `Cosine` and `Linear` end at a given step, so they need to know the `steps` of the training; a training
that is limited by minutes instead stops somewhere on the way down, at a rate that is still high. `InverseSquareRoot`
and `Constant` do not look ahead.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_transformer.training.config import TrainingConfig


class _WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up: step s of the warm-up has the rate `peak * s / warmup_steps`.

    Args:
        peak: highest learning rate.
        warmup_steps: step at which it is reached; 0 begins with it.
    """

    def __init__(self, peak: float, warmup_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32") + 1.0  # the first update is step 1
        return self.peak * ops.minimum(step / max(self.warmup_steps, 1), self.after_warm_up(step))

    def after_warm_up(self, step: Any) -> Any:
        """Returns the share of the peak at a step, float32 scalar; at least 1 up to `warmup_steps`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


class _Ending(_WarmUp):
    """A way down that ends: see `Cosine`."""

    def __init__(self, peak: float, warmup_steps: int, steps: int, final_share: float = 0.0):
        super().__init__(peak, warmup_steps)
        self.steps = steps
        self.final_share = final_share

    def after_warm_up(self, step: Any) -> Any:
        way = max(self.steps - self.warmup_steps, 1)
        left = 1.0 - ops.clip((step - self.warmup_steps) / way, 0.0, 1.0)
        return self.final_share + (1.0 - self.final_share) * self.height(left)

    def height(self, left: Any) -> Any:
        """Returns how high above the final rate (0 to 1) where a share `left` of the way is left."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps, "final_share": self.final_share}


@keras.saving.register_keras_serializable(package="keras_transformer")
class InverseSquareRoot(_WarmUp):
    """Linear warm-up to `peak`, then decay with the inverse square root of the step.

    `peak * min(step / warmup_steps, sqrt(warmup_steps / step))`: "Attention Is All You Need"
    (https://arxiv.org/abs/1706.03762), equation 3, with the peak given rather than derived from the width.

    Args:
        peak: highest learning rate.
        warmup_steps: step at which it is reached.

    Example:
        ```python
        float(InverseSquareRoot(peak=1e-3, warmup_steps=100)(399))  # 0.0005, at step 400
        ```
    """

    def after_warm_up(self, step: Any) -> Any:
        return ops.sqrt(max(self.warmup_steps, 1) / step)


@keras.saving.register_keras_serializable(package="keras_transformer")
class Cosine(_Ending):
    """Linear warm-up to `peak`, then half a wave of the cosine down to `final_share * peak` at `steps`.

    SGDR (https://arxiv.org/abs/1608.03983), equation 5, without restarts. After `steps` the rate stays.

    Args:
        peak: highest learning rate.
        warmup_steps: step at which it is reached.
        steps: step at which it ends.
        final_share: last rate as a share of `peak`.

    Example:
        ```python
        float(Cosine(peak=1e-3, warmup_steps=100, steps=1100)(599))  # 0.0005, half-way down
        ```
    """

    def height(self, left: Any) -> Any:
        return 0.5 - 0.5 * ops.cos(math.pi * left)


@keras.saving.register_keras_serializable(package="keras_transformer")
class Linear(_Ending):
    """Linear warm-up to `peak`, then a straight line down to `final_share * peak` at `steps`, as in BERT.

    https://arxiv.org/abs/1810.04805, appendix A.2. After `steps` the rate stays. Arguments as for `Cosine`.

    Example:
        ```python
        float(Linear(peak=1e-3, warmup_steps=100, steps=1100)(349))  # 0.00075, a quarter of the way down
        ```
    """

    def height(self, left: Any) -> Any:
        return left


@keras.saving.register_keras_serializable(package="keras_transformer")
class Constant(_WarmUp):
    """Linear warm-up to `peak`, which then stays (https://arxiv.org/abs/1706.02677, section 2.2, gradual warm-up).

    Args:
        peak: highest learning rate.
        warmup_steps: step at which it is reached.

    Example:
        ```python
        float(Constant(peak=1e-3, warmup_steps=100)(49))  # 0.0005, half-way up
        ```
    """

    def after_warm_up(self, step: Any) -> Any:
        return ops.ones_like(step)


def make_schedule(config: TrainingConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the schedule that a config asks for."""
    peak, warmup_steps = config.learning_rate, config.warm_up()
    if config.schedule == "cosine":
        return Cosine(peak, warmup_steps, config.steps, config.final_learning_rate)
    if config.schedule == "linear":
        return Linear(peak, warmup_steps, config.steps, config.final_learning_rate)
    return {"inverse_square_root": InverseSquareRoot, "constant": Constant}[config.schedule](peak, warmup_steps)
