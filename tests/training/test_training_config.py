"""Options of a training that do not go together."""

from __future__ import annotations

from typing import Any

import pytest

from keras_transformer.errors import UserError
from keras_transformer.training import ModelConfig, TrainingConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"steps": 100, "warmup_steps": 101},
            "warmup_steps is 101, expected at most the 100 steps of the training, or it ends before the learning rate "
            "is reached",
        ),
        (
            {"average_last": 5},
            "average_last is 5, expected none with averaging 0.999: set averaging none to average checkpoints instead",
        ),
        ({"average_last": 0, "averaging": None}, "average_last is 0, expected 1 or more, or none"),
        ({"seed": 2**32}, f"seed is {2**32}, expected 0 or more, and less than 2 to the power of 32"),
        ({"step_back": -1}, "step_back is -1, expected 0 or more"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        TrainingConfig(**options)
    assert str(caught.value) == message


def test_what_is_taken() -> None:
    assert TrainingConfig(steps=100, warmup_steps=100).warmup_steps == 100
    assert [TrainingConfig(steps=steps).warm_up() for steps in (2, 100, 8000)] == [1, 25, 1000]
    assert TrainingConfig(averaging=None, average_last=5).average_last == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_chunk": 0}, "attention_chunk is 0, expected 1 or more"),
        ({"attention_window": 0}, "attention_window is 0, expected 1 or more"),
        ({"stochastic_depth": 1.0}, "stochastic_depth is 1.0, expected at least 0 and less than 1"),
        ({"stochastic_depth": -0.1}, "stochastic_depth is -0.1, expected at least 0 and less than 1"),
    ],
)
def test_what_is_refused_of_a_model(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        ModelConfig(**options)
    assert str(caught.value) == message


def test_memory_options_of_a_model() -> None:
    default = ModelConfig().arguments()
    assert [default[name] for name in ("attention_chunk", "rematerialize", "stochastic_depth")] == [None, False, 0.0]
    config = ModelConfig(attention_chunk=256, rematerialize=True, stochastic_depth=0.1)
    found = config.resolved().arguments()
    assert [found[name] for name in ("attention_chunk", "rematerialize", "stochastic_depth")] == [256, True, 0.1]
