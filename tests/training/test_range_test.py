"""The learning-rate range test: the rates, when it ends, and what it suggests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.training import Sweep, TokenObjective, TrainingConfig, find_learning_rate
from keras_transformer.training.range_test import SMOOTHING, Exponential, suggested_rate

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def test_the_rate_rises_by_a_factor() -> None:
    sweep = Sweep(1e-4, 1.0, steps=41)
    rates = [sweep.rate(step) for step in range(41)]
    assert (rates[0], rates[10], rates[-1]) == pytest.approx((1e-4, 1e-3, 1.0))
    schedule = Exponential(sweep)
    np.testing.assert_allclose([float(schedule(step)) for step in (0, 10, 40)], [1e-4, 1e-3, 1.0], rtol=1e-4)


def test_the_suggestion_is_a_tenth_of_the_best() -> None:
    assert suggested_rate([0.1, 0.2, 0.4], [3.0, 2.0, 5.0]) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 0.0}, "lowest is 0.0, expected more than 0"),
        ({"lowest": 0.1, "highest": 0.1}, "highest is 0.1, expected more than lowest, 0.1"),
        ({"steps": 3}, "steps of the sweep is 3, expected 20 or more"),
    ],
)
def test_sweeps_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sweep(**options)


@pytest.mark.parametrize("optimizer", ["adam", "adafactor"])
def test_a_sweep(optimizer: str, make_model: Callable[..., Any], make_batches: Callable[..., Any]) -> None:
    config = TrainingConfig(optimizer=optimizer, batch_tokens=64)
    model = make_model(config).model
    sweep = Sweep(1e-4, 100.0, steps=60)
    found = find_learning_rate(model, make_batches(), config, TokenObjective(), sweep)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 60
    assert found.rates[0] == pytest.approx(1e-4)
    assert found.losses[0] == pytest.approx(np.log(12), rel=0.3)  # of a uniform guess among the 12 pieces
    weights = SMOOTHING ** np.arange(9, -1, -1.0)
    assert found.smoothed[9] == pytest.approx((weights * found.losses[:10]).sum() / weights.sum())
    assert min(found.smoothed) < 0.9 * found.losses[0]  # it learned on the way
    if optimizer == "adam":  # Adafactor's steps are never longer than the inverse square root of their number
        assert 1e-4 < found.suggestion < 1.0
        assert found.exploded
        assert found.losses[-1] > min(found.losses)


def test_a_sweep_of_gradients_that_are_accumulated(
    make_model: Callable[..., Any], make_batches: Callable[..., Any]
) -> None:
    config = TrainingConfig(batch_tokens=64, accumulate=2)
    training_model, sweep = make_model(config), Sweep(1e-4, 1e-2, steps=20)
    found = find_learning_rate(training_model.model, make_batches(), config, TokenObjective(), sweep)
    assert len(found.losses) == 20  # of updates, each with a rate of its own, not of the 40 batches
    assert found.losses[0] == pytest.approx(np.log(12), rel=0.3)


def test_a_sweep_that_begins_too_high(make_model: Callable[..., Any], make_batches: Callable[..., Any]) -> None:
    message = r"the loss exploded after \d+ steps, at a learning rate of .*; begin the sweep lower than 1000"
    config = TrainingConfig(batch_tokens=64)
    with pytest.raises(UserError, match=message):
        find_learning_rate(
            make_model(config).model, make_batches(), config, TokenObjective(), Sweep(1000.0, 10000.0, steps=40)
        )
