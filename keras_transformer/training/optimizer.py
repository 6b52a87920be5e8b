"""The optimizer, the schedule of its learning rate, and the norm of the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_transformer.training.optimizers import NormAndAverages


@keras.saving.register_keras_serializable(package="keras_transformer")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then decay with the inverse square root of the step.

    `peak * min(step / warmup_steps, sqrt(warmup_steps / step))`: "Attention Is All You Need", equation 3, with the
    peak given rather than derived from the width.

    Args:
        peak: highest learning rate.
        warmup_steps: step at which it is reached.

    Example:
        ```python
        float(InverseSquareRoot(peak=1e-3, warmup_steps=100)(400))  # 0.0005
        ```
    """

    def __init__(self, peak: float, warmup_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32") + 1.0  # the first update is step 1, not an update of nothing
        return self.peak * ops.minimum(step / self.warmup_steps, ops.sqrt(self.warmup_steps / step))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable(package="keras_transformer")
class Adam(NormAndAverages, keras.optimizers.Adam):
    """Adam (https://arxiv.org/abs/1412.6980); see `NormAndAverages`."""


def own_optimizer(training_model: keras.Model) -> Any:
    """Returns the optimizer that the model was compiled with, which Keras wraps for loss scaling in mixed_float16."""
    return getattr(training_model.optimizer, "inner_optimizer", training_model.optimizer)


@contextmanager
def averaged_weights(training_model: keras.Model) -> Iterator[None]:
    """Inside the block the model has its averaged weights, if its optimizer keeps averages; after it, its own again."""
    averages = getattr(own_optimizer(training_model), "averages", [])
    own = [np.asarray(variable).copy() for variable in training_model.trainable_variables] if averages else []
    for variable, average in zip(training_model.trainable_variables, averages, strict=False):
        variable.assign(average)
    try:
        yield
    finally:
        for variable, value in zip(training_model.trainable_variables, own, strict=False):
            variable.assign(value)
