"""The ways of the learning rate against their formulas in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import pytest

from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.schedules import Constant, Cosine, InverseSquareRoot, Linear, make_schedule

PEAK, WARM, STEPS, FINAL = 2e-3, 100, 1000, 0.1

# share of the peak after the warm-up, at a share x of the way from its end to the last step
WAYS: dict[str, Callable[[int], float]] = {
    "inverse_square_root": lambda step: (WARM / step) ** 0.5,
    "cosine": lambda step: FINAL + (1 - FINAL) * (1 + math.cos(math.pi * (step - WARM) / (STEPS - WARM))) / 2,
    "linear": lambda step: FINAL + (1 - FINAL) * (STEPS - step) / (STEPS - WARM),
    "constant": lambda step: 1.0,
}


@pytest.mark.parametrize("name", WAYS)
def test_warm_up_and_way_down(name: str) -> None:
    config = TrainingConfig(
        schedule=name, learning_rate=PEAK, warmup_steps=WARM, steps=STEPS, final_learning_rate=FINAL
    )
    schedule = make_schedule(config)
    for step in (1, 50, 99):
        assert float(schedule(step - 1)) == pytest.approx(PEAK * step / WARM, rel=1e-5)
    for step in (100, 101, 400, 775, 999, 1000):
        assert float(schedule(step - 1)) == pytest.approx(PEAK * WAYS[name](step), rel=2e-5), step
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize("cls", [Cosine, Linear])
def test_after_the_last_step_the_rate_stays(cls: type) -> None:
    assert float(cls(PEAK, WARM, STEPS, FINAL)(5 * STEPS)) == pytest.approx(PEAK * FINAL, rel=1e-5)
    assert float(cls(PEAK, WARM, STEPS)(STEPS - 1)) == pytest.approx(0.0, abs=1e-9)
    assert float(cls(PEAK, WARM, WARM)(WARM - 1)) == pytest.approx(PEAK)  # all of it warm-up: no division by nothing


@pytest.mark.parametrize("schedule", [InverseSquareRoot(PEAK, 0), Constant(PEAK, 0), Linear(PEAK, 0, STEPS, 1.0)])
def test_without_warm_up_it_begins_at_the_peak(schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
    assert float(schedule(0)) == pytest.approx(PEAK)


def test_it_is_the_papers_schedule() -> None:
    """Equation 3: `w**-.5 * min(step**-.5, step * warmup**-1.5)`, whose peak is `(w * warmup)**-.5`."""
    schedule = InverseSquareRoot(peak=(512 * 4000) ** -0.5, warmup_steps=4000)
    for step in (1, 3999, 4000, 4001, 100_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert float(schedule(step - 1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "cosin"}, "schedule is 'cosin', expected one of .*, constant. Did you mean 'cosine'"),
        ({"final_learning_rate": 1.5}, "final_learning_rate is 1.5, expected 0 to 1, a share of learning_rate"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingConfig(**options)  # type: ignore[arg-type]
