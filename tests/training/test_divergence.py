"""What counts as a divergence, and what is said of it."""

from __future__ import annotations

import math

import pytest

from keras_transformer.training import TrainingConfig
from keras_transformer.training.divergence import Diverged, advice, check_loss
from keras_transformer.training.label_objective import LabelObjective


def test_the_running_mean() -> None:
    assert check_loss(9.0, None) == 9.0
    assert check_loss(8.0, 9.0) == pytest.approx(8.9)


@pytest.mark.parametrize(
    ("loss", "mean"),
    [(8.9, 6.0), (4.9, 3.0), (2.0, 0.1), (0.05, 0.001), (3.0, 9.0)],
)
def test_what_a_training_goes_through(loss: float, mean: float) -> None:
    assert min(loss, mean) < check_loss(loss, mean) < max(loss, mean)


@pytest.mark.parametrize(("loss", "mean"), [(9.1, 6.0), (5.1, 3.0), (2.2, 0.1), (1e6, 2.0)])
def test_an_explosion(loss: float, mean: float) -> None:
    with pytest.raises(Diverged, match=rf"^the loss is {loss:.3g}, after a mean of {mean:.3g}$".replace("+", r"\+")):
        check_loss(loss, mean)


def test_a_training_that_begins_with_an_explosion() -> None:
    guess = math.log(1000)
    assert check_loss(120.0, None, guess) == 120.0
    assert check_loss(1.01 * guess, guess, guess) > guess
    with pytest.raises(Diverged, match=r"^the loss is 1\.7e\+07, where guessing has 6\.91$"):
        check_loss(1.7e7, None, guess)


def test_rare_labels_and_outliers_are_no_explosion() -> None:
    balanced = LabelObjective("single", class_weights=[0.5, 300.0])
    assert check_loss(10.3, 0.6, explosion=balanced.explosion) > 0.6
    assert check_loss(10.7, 0.02, explosion=LabelObjective("regression").explosion) > 0.02
    for explosion in (LabelObjective("single").explosion, LabelObjective("multi").explosion):
        with pytest.raises(Diverged):
            check_loss(10.3, 0.6, explosion=explosion)
    with pytest.raises(Diverged):
        check_loss(1e6, 0.02, explosion=LabelObjective("regression").explosion)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_no_number(loss: float) -> None:
    with pytest.raises(Diverged, match=f"^the loss is {loss}$"):
        check_loss(loss, None)
    with pytest.raises(Diverged, match=f"^the loss is {loss}, after a mean of 3.25$"):
        check_loss(loss, 3.25)


def test_the_advice_names_what_was_tried() -> None:
    config = TrainingConfig(learning_rate=0.5, warmup_steps=30)
    assert advice(config) == ("a lower training.learning_rate (now 0.5), a longer training.warmup_steps (now 30)")
    assert advice(TrainingConfig(clip_norm=None)).endswith(", training.clip_norm 1.0 (now none)")
