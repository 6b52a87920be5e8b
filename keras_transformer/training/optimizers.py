"""Which optimizer trains, which weights decay, and which weights stay as they are.

`NormAndAverages` gives any Keras optimizer what a training needs of it. A pattern names weights by their path
(`encoder_0/feed_forward/expand/kernel`): see `matches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import keras
from keras import ops

from keras_transformer.errors import UserError, close_matches
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.schedules import make_schedule

EPSILON = 1e-9  # Adam's, of "Attention Is All You Need", section 5.3


class NormAndAverages:
    """Mixin for Keras optimizers: clips by the global norm, remembers the norm, keeps an average of the weights.

    It stands before the optimizer among the bases: `class Lion(NormAndAverages, keras.optimizers.Lion)`.

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

    def build(self: Any, variables: list[Any]) -> None:
        if not self.built:
            self.gradient_norm = self.add_variable((), dtype="float32", name="gradient_norm")
            self.averages = []
            if self.averaging is not None:
                self.averages = [self.add_variable_from_reference(v, name="average") for v in variables]
                for average, variable in zip(self.averages, variables, strict=True):
                    average.assign(variable)
        super().build(variables)  # type: ignore[misc]  # the optimizer's

    def apply(self: Any, grads: list[Any], trainable_variables: Any = None) -> None:
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        grads = [None if gradient is None else ops.convert_to_tensor(gradient) for gradient in grads]
        norm = global_norm(grads)
        self.gradient_norm.assign(norm)
        if self.clip_norm is not None:
            factor = ops.minimum(1.0, self.clip_norm / ops.maximum(norm, 1e-12))
            grads = [None if g is None else g * ops.cast(factor, g.dtype) for g in grads]
        super().apply(grads, trainable_variables)  # type: ignore[misc]  # the optimizer's
        update_averages(self.averages, self._trainable_variables, self.averaging, self.iterations)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "clip_norm": self.clip_norm, "averaging": self.averaging}  # type: ignore[misc]


def global_norm(grads: Sequence[Any]) -> Any:
    """Returns the Euclidean norm of all gradients taken as one vector, float32 scalar; None among them is nothing."""
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float32"))) for g in grads if g is not None))


def update_averages(averages: Sequence[Any], variables: Sequence[Any], decay: float | None, iterations: Any) -> None:
    """Moves averages towards their variables, after `iterations` steps; early on faster than `decay` says."""
    if not averages:
        return
    step = ops.cast(iterations, "float32")
    share = ops.minimum(decay, (1.0 + step) / (10.0 + step))
    for average, variable in zip(averages, variables, strict=True):
        average.assign(variable + share * (average - variable))


@keras.saving.register_keras_serializable(package="keras_transformer")
class AdamW(NormAndAverages, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101); see `NormAndAverages`."""


@keras.saving.register_keras_serializable(package="keras_transformer")
class Lion(NormAndAverages, keras.optimizers.Lion):
    """Steps by the sign of the momentum (https://arxiv.org/abs/2302.06675); see `NormAndAverages`.

    Every weight moves by the learning rate, so that it wants a rate 3 to 10 times smaller than Adam's.
    """


@keras.saving.register_keras_serializable(package="keras_transformer")
class Adafactor(NormAndAverages, keras.optimizers.Adafactor):
    """Second moments by rows and columns, a fraction of Adam's memory (https://arxiv.org/abs/1804.04235).

    The learning rate is relative: a matrix moves by about that share of its root mean square, and never by more than
    the inverse square root of the step. See `NormAndAverages`.
    """


def make_optimizer(config: TrainingConfig, variables: Sequence[Any]) -> Any:
    """Returns the optimizer that a config asks for, with its schedule and its groups of weight decay, not built yet.

    Args:
        config: how to train.
        variables: that will be trained; those that match `config.no_weight_decay` do not decay.
    """
    from keras_transformer.training.optimizer import Adam

    schedule = make_schedule(config)
    common: dict[str, Any] = {"clip_norm": config.clip_norm, "averaging": config.averaging}
    if config.optimizer == "adam":
        return Adam(schedule, beta_2=config.beta_2, epsilon=EPSILON, **common)
    decay = config.decay()
    optimizer: Any
    if config.optimizer == "adamw":
        optimizer = AdamW(schedule, beta_2=config.beta_2, epsilon=EPSILON, weight_decay=decay, **common)
    elif config.optimizer == "lion":
        optimizer = Lion(schedule, weight_decay=decay or None, **common)
    else:
        optimizer = Adafactor(schedule, relative_step=False, weight_decay=decay or None, **common)
    optimizer.exclude_from_weight_decay(var_list=undecayed(variables, config.no_weight_decay))
    return optimizer


def undecayed(variables: Sequence[Any], patterns: Sequence[str]) -> list[Any]:
    """Returns the variables that match any of the patterns."""
    return [variable for variable in variables if any(matches(variable.path, pattern) for pattern in patterns)]


def freeze(model: keras.Model, patterns: Sequence[str]) -> list[str]:
    """Makes the weights that match `patterns` untrainable and returns their paths.

    Call it before the model is compiled: the optimizer then keeps nothing for them, and their gradients are not
    computed where no trained weight lies below.

    Args:
        model: built.
        patterns: see `matches`.

    Raises:
        UserError: a pattern matches no weight, or all of them.

    Example:
        ```python
        freeze(model, ["token_embedding", "encoder_*"])
        ```
    """
    frozen: dict[str, Any] = {}
    paths = [variable.path for variable in model.trainable_variables]
    for pattern in patterns:
        found = {v.path: v for v in model.trainable_variables if matches(v.path, pattern)}
        if not found:
            raise UserError(f"freeze: no weight matches {pattern!r}.{_near(pattern, paths)}")
        frozen.update(found)
    if paths and len(frozen) == len(paths):
        raise UserError(f"freeze: {', '.join(map(repr, patterns))} leave no weight to train, expected some to be left")
    for variable in frozen.values():
        variable.trainable = False
    return list(frozen)


def matches(path: str, pattern: str) -> bool:
    """Returns whether a pattern fits the path of a weight, or the path of a layer that it belongs to.

    `*` stands for any text, `?` for one character, `[ab]` for one of several, as in file names; `*` goes over slashes.

    Example:
        ```python
        matches("encoder_0/feed_forward/expand/bias", "encoder_0")  # True: a layer, and all that is in it
        matches("encoder_0/feed_forward/expand/bias", "*/bias")  # True
        ```
    """
    parts = path.split("/")
    return any(fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


def _near(pattern: str, paths: Sequence[str]) -> str:
    """Returns what a pattern may have meant: a layer, else a weight."""
    parts = [path.split("/") for path in paths]
    names = dict.fromkeys("/".join(path[:end]) for path in parts for end in range(1, len(path) + 1))
    return close_matches(pattern, names) or f" The layers are {', '.join(dict.fromkeys(path[0] for path in parts))}."
