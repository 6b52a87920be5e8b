"""What is said of the input: the share of padding, and the time that steps wait for their batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from keras_transformer.training import input_watch
from keras_transformer.training.input_watch import InputWatch

BATCH = ({"source_ids": np.array([[5, 0], [5, 6]]), "target_ids": np.array([[1, 0, 0, 0], [1, 7, 0, 0]])}, np.ones(2))


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(input_watch, "time", found)
    return found


def batches(step: int) -> Iterator[Any]:
    while True:
        yield BATCH


def test_the_share_of_padding(clock: Clock) -> None:
    watch = InputWatch(pad_id=0)
    stream = watch.watched(batches)(0)
    assert watch.point(1.0) == {}
    assert next(stream) is not None
    assert watch.point(1.0) == {"input/padding_share": 6 / 12, "input/wait_share": 0.0}
    assert watch.point(1.0) == {}


def test_a_step_waits_from_its_begin_until_its_batch_is_made(clock: Clock) -> None:
    watch = InputWatch()
    stream = watch.watched(batches)(3)
    next(stream)  # ready before
    clock.now = 1.0
    watch.step_begins()
    clock.now = 2.0
    watch.step_begins()
    clock.now = 5.0
    next(stream)  # three seconds late
    assert watch.point(10.0)["input/wait_share"] == pytest.approx(0.3)
    watch.step_begins()  # its batch belongs to the next point
    clock.now = 6.0
    next(stream)
    assert watch.point(4.0)["input/wait_share"] == pytest.approx(0.25)


def test_another_iteration_counts_anew(clock: Clock) -> None:
    watch = InputWatch()
    watched = watch.watched(batches)
    left = watched(0)
    for _ in range(3):
        next(left)
    watch.step_begins()
    watch.training_begins()
    stream = watched(7)
    clock.now = 1.0
    watch.step_begins()  # before the iteration begins
    clock.now = 2.0
    next(stream)
    next(left)  # read ahead of by a pipeline that was left: not counted
    assert watch.point(2.0) == {"input/padding_share": 6 / 12, "input/wait_share": 0.5}
