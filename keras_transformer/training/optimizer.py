"""The optimizer, and the norm of the gradient; for the schedules of its learning rate see `schedules`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_transformer")
class Adam(keras.optimizers.Adam):
    """Keras's Adam that clips by the global norm, remembers the norm, and keeps an average of the weights.

    Args:
        clip_norm: gradients with a larger global norm are scaled down to it; None leaves them as they are.
        averaging: decay of an exponential moving average of the weights (https://arxiv.org/abs/1706.03762 averages
            checkpoints to the same end), or None. While few steps were made it is less: (1 + step) / (10 + step).
        Others: see `keras.optimizers.Adam`.

    Attributes:
        gradient_norm: variable, the norm of the last gradients before clipping.
        averages: variables, the averages of the trainable variables in their order; empty without averaging.
    """

    def __init__(
        self,
        *args: Any,
        clip_norm: float | None = None,
        averaging: float | None = None,
        name: str = "adam",
        **kwargs: Any,
    ):
        super().__init__(*args, name=name, **kwargs)
        self.clip_norm = clip_norm
        self.averaging = averaging

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            self.gradient_norm = self.add_variable((), dtype="float32", name="gradient_norm")
            self.averages = []
            if self.averaging is not None:
                self.averages = [self.add_variable_from_reference(v, name="average") for v in variables]
                for average, variable in zip(self.averages, variables, strict=True):
                    average.assign(variable)
        super().build(variables)

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        grads = [None if gradient is None else ops.convert_to_tensor(gradient) for gradient in grads]
        norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float32"))) for g in grads if g is not None))
        self.gradient_norm.assign(norm)
        if self.clip_norm is not None:
            factor = ops.minimum(1.0, self.clip_norm / ops.maximum(norm, 1e-12))
            grads = [None if g is None else g * ops.cast(factor, g.dtype) for g in grads]
        super().apply(grads, trainable_variables)
        self._update_averages()

    def _update_averages(self) -> None:
        if not self.averages:
            return
        step = ops.cast(self.iterations, "float32")
        decay = ops.minimum(self.averaging, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self.averages, self._trainable_variables, strict=True):
            average.assign(variable + decay * (average - variable))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "clip_norm": self.clip_norm, "averaging": self.averaging}


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
