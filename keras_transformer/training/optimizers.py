"""Which optimizer trains, which weights decay, and which weights stay as they are.

A pattern names weights by their path
(`encoder_0/feed_forward/expand/kernel`): see `matches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import keras

from keras_transformer.errors import UserError, close_matches
from keras_transformer.training.config import NO_WEIGHT_DECAY, TrainingConfig
from keras_transformer.training.schedules import make_schedule
from keras_transformer.training.updates import NormAndAverages

EPSILON = 1e-9  # Adam's, of "Attention Is All You Need", section 5.3


@keras.saving.register_keras_serializable(package="keras_transformer")
class Adam(NormAndAverages, keras.optimizers.Adam):
    """Adam (https://arxiv.org/abs/1412.6980); see `NormAndAverages`."""


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
    schedule = make_schedule(config)
    common: dict[str, Any] = {"clip_norm": config.clip_norm, "averaging": config.averaging}
    if config.accumulate > 1:
        common["gradient_accumulation_steps"] = config.accumulate
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


def check_undecayed(model: keras.Model, patterns: Sequence[str]) -> None:
    """Raises a `UserError` where a pattern of weights that are not to decay matches none.

    Those of the default may: not every model has a normalisation with a bias.
    """
    for pattern in patterns:
        if pattern not in NO_WEIGHT_DECAY and not undecayed(model.weights, [pattern]):
            near = _near(pattern, [variable.path for variable in model.weights])
            raise UserError(f"no_weight_decay: no weight matches {pattern!r}.{near}")


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
