"""What every optimizer does here besides its own rule: weigh, clip, average, and all of it in few operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_transformer._compiled import compiled
from keras_transformer._threads import processors
from keras_transformer.training.distribution import is_mirrored, summed, update_mirrored

TOKEN_WEIGHT = "token_weight"  # name of the variable whose gradient is the weight of a batch, see `TrainingModel`


class NormAndAverages:
    """Mixin for Keras optimizers: clips by the global norm, remembers the norm, keeps an average of the weights.

    It stands before the optimizer among the bases: `class Lion(NormAndAverages, keras.optimizers.Lion)`.

    If one of the variables is called "token_weight", its gradient is taken for the weight of the batch, all other
    gradients are divided by it, and the variable stays as it is. Gradients that are summed over micro-batches or
    devices, each with its own number of target tokens, so become the mean over all tokens.

    Args:
        clip_norm: gradients with a larger global norm (https://arxiv.org/abs/1211.5063) are scaled down to it; None
            leaves them as they are.
        averaging: decay of an exponential moving average of the weights, or None. While few steps were made it is
            less: (1 + step) / (10 + step).
        Others: the optimizer's.

    Attributes:
        gradient_norm: variable, the norm of the last gradients before clipping.
        averages: variables, the averages of the trainable variables in their order; empty without averaging.
    """

    def __init__(self, *args: Any, clip_norm: float | None = None, averaging: float | None = None, **kwargs: Any):
        # Keras would number the names: a resumed training is to find its variables by theirs
        super().__init__(*args, **{"name": type(self).__name__.lower(), **kwargs})
        self.clip_norm = clip_norm
        self.averaging = averaging
        self._updates: list[Any] = []

    def build(self: Any, variables: list[Any]) -> None:
        if not self.built:
            first = "only_first_replica"  # of several devices, which all find the same
            self.gradient_norm = self.add_variable((), dtype="float32", aggregation=first, name="gradient_norm")
            self.averages = []
            if self.averaging is not None:
                self.averages = [self.add_variable_from_reference(v, name="average") for v in variables]
                for average, variable in zip(self.averages, variables, strict=True):
                    average.assign(ops.copy(variable))  # a buffer of its own
        super().build(variables)  # type: ignore[misc]  # the optimizer's

    def _backend_update_step(self: Any, grads: list[Any], trainable_variables: list[Any], learning_rate: Any) -> None:
        """What Keras calls with the gradients of a whole update, summed over micro-batches."""
        grads = [ops.convert_to_tensor(gradient) for gradient in grads]
        mirrored = is_mirrored()
        grads, factor = weighed(summed(grads) if mirrored else grads, trainable_variables)
        variables = [variable for variable in trainable_variables if variable.name != TOKEN_WEIGHT]
        norm = global_norm(grads) * factor
        self.gradient_norm.assign(norm)
        if self.clip_norm is not None:
            factor = factor * ops.minimum(1.0, self.clip_norm / ops.maximum(norm, 1e-12))
        step = ops.cast(self.iterations, "float32") + 1.0
        share = None if self.averaging is None else ops.minimum(self.averaging, (1.0 + step) / (10.0 + step))
        if mirrored:
            self._update_mirrored(grads, variables, factor, learning_rate, share)
            return
        gradient_of = {id(variable): gradient for variable, gradient in zip(variables, grads, strict=True)}
        groups = _groups(variables)
        if not self._updates:  # made once: each is compiled once
            self._updates = [compiled(self._updater(group)) for group in groups]
        for update, group in zip(self._updates, groups, strict=True):
            update([gradient_of[id(variable)] for variable in group], factor, learning_rate, share)

    def _get_current_learning_rate(self: Any) -> Any:
        """What Keras asks at every batch: a schedule goes by updates here, where Keras goes by micro-batches."""
        rate = self._learning_rate
        is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
        return rate(self.iterations) if is_schedule else super()._get_current_learning_rate()  # type: ignore[misc]

    def _updater(self: Any, variables: list[Any]) -> Any:
        """Returns a function that updates some variables and their averages."""
        known = {id(variable): i for i, variable in enumerate(self._trainable_variables)}

        def update(grads: list[Any], factor: Any, learning_rate: Any, share: Any) -> None:
            for gradient, variable in zip(grads, variables, strict=True):
                self._update_one(known[id(variable)], variable, gradient, factor, learning_rate, share)

        return update

    def _update_one(
        self: Any, index: int, variable: Any, gradient: Any, factor: Any, learning_rate: Any, share: Any
    ) -> None:
        self.update_step(gradient * ops.cast(factor, gradient.dtype), variable, learning_rate)
        if self.averages:
            average = self.averages[index]
            average.assign(variable + share * (average - variable))

    def _update_mirrored(self: Any, grads: list[Any], variables: list[Any], factor: Any, rate: Any, share: Any) -> None:
        """Updates the copies of the variables on all devices."""
        known = {id(variable): i for i, variable in enumerate(self._trainable_variables)}

        def update(place: int, variable: Any, gradient: Any, *numbers: Any) -> None:
            self._update_one(known[id(variables[place])], variable, gradient, *numbers)

        numbers = [0.0 if number is None else number for number in (factor, rate, share)]
        update_mirrored(update, variables, grads, *([number] * len(variables) for number in numbers))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "clip_norm": self.clip_norm, "averaging": self.averaging}  # type: ignore[misc]


def global_norm(grads: Sequence[Any]) -> Any:
    """Returns the Euclidean norm of all gradients taken as one vector, float32 scalar."""
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in grads))


def weighed(grads: list[Any], variables: Sequence[Any]) -> tuple[list[Any], Any]:
    """Returns the gradients but that of the token weight, and by what to multiply them for it: 1 if there is none."""
    weights = [gradient for gradient, v in zip(grads, variables, strict=True) if v.name == TOKEN_WEIGHT]
    if not weights:
        return grads, 1.0
    others = [gradient for gradient, v in zip(grads, variables, strict=True) if v.name != TOKEN_WEIGHT]
    return others, 1.0 / ops.maximum(weights[0], 1e-12)


def _groups(variables: Sequence[Any]) -> list[list[Any]]:
    """Parts variables into as many groups as there are processors, of about the same size, updated side by side."""
    groups: list[list[Any]] = [[] for _ in range(min(processors(), 8, len(variables)))]
    sizes = [0] * len(groups)
    for variable in sorted(variables, key=lambda v: -int(np.prod(v.shape))):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(variable)
        sizes[smallest] += int(np.prod(variable.shape))
    return groups


def own_optimizer(training_model: keras.Model) -> Any:
    """Returns the optimizer that the model was compiled with, which Keras wraps for loss scaling in mixed_float16."""
    return getattr(training_model.optimizer, "inner_optimizer", training_model.optimizer)


@contextmanager
def averaged_weights(training_model: keras.Model) -> Iterator[None]:
    """Inside the block the model has its averaged weights, if its optimizer keeps averages; after it, its own again."""
    averages = getattr(own_optimizer(training_model), "averages", [])
    own = [np.asarray(variable).copy() for variable in training_model.trainable_variables] if averages else []
    for variable, average in zip(training_model.trainable_variables, averages, strict=False):
        variable.assign(ops.copy(average))  # JAX deletes the buffers of a model that it runs
    try:
        yield
    finally:
        for variable, value in zip(training_model.trainable_variables, own, strict=False):
            variable.assign(value)
