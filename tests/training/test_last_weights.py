"""The mean of the last weights: which are in it, and what stays on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.training.divergence import Diverged
from keras_transformer.training.last_weights import LastWeights


def model(*values: float) -> Any:
    """Stands for a training model with a weight for each value."""
    made = [keras.Variable(np.full((2, 3), value, "float32"), name=f"w{i}") for i, value in enumerate(values)]
    return SimpleNamespace(model=SimpleNamespace(trainable_variables=made))


def values(one: Any) -> list[float]:
    return [float(np.unique(np.asarray(variable)).item()) for variable in one.model.trainable_variables]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keep(last: LastWeights, steps: Iterable[int]) -> None:
    for step in steps:
        last.keep(model(step, -step), step)


def test_the_weights_as_they_are_and_those_before(tmp_path: Path) -> None:
    last, now = LastWeights(tmp_path, count=3), model(100.0, 1.0)
    keep(last, [10, 20, 30, 40])
    for step, mean in [(45, [170 / 3, -69 / 3]), (40, [150 / 3, -49 / 3]), (15, [55.0, -4.5]), (5, [100.0, 1.0])]:
        with last.mean(now, step):
            assert values(now) == [pytest.approx(value) for value in mean]
        assert values(now) == [100.0, 1.0]


def test_one_is_no_mean(tmp_path: Path) -> None:
    last, now = LastWeights(tmp_path, count=1), model(3.0)
    last.keep(model(1.0), 10)
    with last.mean(now, 15):
        assert values(now) == [3.0]


def test_the_own_weights_come_back_after_an_error(tmp_path: Path) -> None:
    last, now = LastWeights(tmp_path, count=2), model(3.0)
    last.keep(model(1.0), 10)
    with pytest.raises(KeyboardInterrupt), last.mean(now, 15):
        raise KeyboardInterrupt
    assert values(now) == [3.0]


def test_what_stays_is_enough_to_go_back_by_a_checkpoint(tmp_path: Path) -> None:
    last = LastWeights(tmp_path, count=3)
    keep(last, range(10, 80, 10))
    assert names(tmp_path) == [f"weights-{step:08d}.npz" for step in (40, 50, 60, 70)]
    last.forget_after(50)
    assert names(tmp_path) == [f"weights-{step:08d}.npz" for step in (40, 50)]
    keep(last, [45])  # another interval, after a resume
    assert names(tmp_path) == [f"weights-{step:08d}.npz" for step in (40, 45)]


def test_bad_files_and_bad_weights(tmp_path: Path) -> None:
    last = LastWeights(tmp_path, count=3)
    last.keep(model(1.0, 2.0), 10)
    with pytest.raises(UserError, match=r"weights-00000010.npz is of another model: it has 2 weights, this one 1"):
        last.mean(model(1.0), 15).__enter__()
    (tmp_path / "weights-00000010.npz").write_bytes(b"hello")
    with pytest.raises(UserError, match=r"weights-00000010.npz is damaged \(.*\); delete it, and it is left out of"):
        last.mean(model(1.0, 2.0), 15).__enter__()
    with pytest.raises(Diverged, match="0001/w1 has values that are not finite"):
        last.keep(model(1.0, np.inf), 20)
    assert names(tmp_path) == ["weights-00000010.npz"]
