"""Batches: every row once, within the budget, in an order that depends on seed and step alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data import Seq2SeqBatches, TokenStore
from keras_transformer.data.batching import LENGTH_MULTIPLE
from keras_transformer.data.feed import feed
from keras_transformer.data.store import Ragged
from keras_transformer.errors import UserError

IDS = {"start_id": 1, "end_id": 2, "pad_id": 0}
Batch = tuple[dict[str, np.ndarray], np.ndarray]


class Store(TokenStore):
    """A store in memory: row i holds the id 3 + i as often as it is long, so that rows are known again."""

    def __init__(self, lengths: list[tuple[int, int]]):
        self.folder = Path("memory")
        self.columns = {}
        for place, name in enumerate(("source", "target")):
            sizes = np.array([pair[place] for pair in lengths], dtype=np.int64)
            ids = np.repeat(np.arange(len(lengths), dtype=np.int32) + 3, sizes)
            self.columns[name] = Ragged(ids, np.concatenate([[0], sizes]).cumsum())


def batches_of(lengths: list[tuple[int, int]], batch_tokens: int, seed: int = 0) -> Seq2SeqBatches:
    return Seq2SeqBatches(Store(lengths), batch_tokens, seed, **IDS)


def random_lengths(rows: int, longest: int = 23) -> list[tuple[int, int]]:
    random = np.random.default_rng(rows)
    return [(int(a), int(b)) for a, b in random.integers(1, longest + 1, size=(rows, 2))]


def rows_of(batch: Batch) -> list[int]:
    """Returns the rows in a batch, having checked every token of them."""
    inputs, labels = batch
    source, target = inputs["source_ids"], inputs["target_ids"]
    assert source.dtype == target.dtype == labels.dtype == np.int32
    assert target.shape == labels.shape
    assert len(source) == len(target)
    found = []
    for source_row, target_row, label_row in zip(source, target, labels, strict=True):
        if not label_row.any():
            assert not source_row.any()
            assert not target_row.any()
            continue
        ids = label_row[label_row > 2]
        row = int(ids[0]) - 3
        length, source_length = len(ids), int((source_row != 0).sum())
        assert label_row.tolist() == [row + 3] * length + [2] + [0] * (len(label_row) - length - 1)
        assert target_row.tolist() == [1] + [row + 3] * length + [0] * (len(label_row) - length - 1)
        assert source_row.tolist() == [row + 3] * source_length + [0] * (len(source_row) - source_length)
        found.append((row, source_length, length))
    return found  # type: ignore[return-value]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 17), st.integers(1, 17)), min_size=1, max_size=80),
    budget=st.integers(20, 200),
    seed=st.integers(0, 5),
)
def test_every_row_once_and_within_the_budget(lengths: list[tuple[int, int]], budget: int, seed: int) -> None:
    batches = batches_of(lengths, budget, seed)
    epoch = list(batches.one_epoch())
    assert len(epoch) == batches.batches_per_epoch
    found = [row for batch in epoch for row in rows_of(batch)]
    assert sorted(found) == [(row, *lengths[row]) for row in range(len(lengths))]
    for inputs, labels in epoch:
        assert inputs["source_ids"].size <= budget
        assert labels.size <= budget
        assert inputs["source_ids"].shape[1] % LENGTH_MULTIPLE == labels.shape[1] % LENGTH_MULTIPLE == 0
    padding = sum(int((labels == 0).sum()) for _, labels in epoch) / sum(labels.size for _, labels in epoch)
    assert batches.padding_share == pytest.approx(padding)


def same(one: Batch, other: Batch) -> bool:
    return all(np.array_equal(one[0][name], other[0][name]) for name in one[0]) and np.array_equal(one[1], other[1])


def test_the_order_depends_on_seed_and_step_alone() -> None:
    lengths = random_lengths(150)
    batches = batches_of(lengths, 120)
    count = batches.batches_per_epoch
    assert count > 10
    stream = list(islice(batches.from_step(0), 3 * count))
    again = list(islice(batches_of(lengths, 120).from_step(0), 3 * count))
    assert all(map(same, stream, again))
    for step in (1, count - 1, count, 2 * count + 5):
        assert same(next(batches.from_step(step)), stream[step])
    taken_up = list(islice(batches.from_step(count - 3), 8))
    assert all(map(same, taken_up, stream[count - 3 :]))
    other_seed = list(islice(batches_of(lengths, 120, seed=1).from_step(0), count))
    assert not all(map(same, stream, other_seed))


def test_epochs_differ_in_rows_and_order_but_not_in_shapes() -> None:
    batches = batches_of(random_lengths(300, longest=7), 120)
    count = batches.batches_per_epoch
    stream = list(islice(batches.from_step(0), 2 * count))
    first, second = stream[:count], stream[count:]
    assert [rows_of(batch) for batch in first] != [rows_of(batch) for batch in second]
    sets = [{frozenset(rows_of(batch)) for batch in epoch} for epoch in (first, second)]
    assert sets[0] != sets[1]  # not the same batches in another order
    shapes = [sorted((x["source_ids"].shape, y.shape) for x, y in epoch) for epoch in (first, second)]
    assert shapes[0] == shapes[1]
    for epoch in (first, second):
        assert sorted(row for batch in epoch for row, *_ in rows_of(batch)) == list(range(300))


def test_like_lengths_stand_together() -> None:
    batches = batches_of(random_lengths(3000), 1000)
    assert batches.padding_share < 0.15
    mixed = sum(x["source_ids"].size for x, _ in batches.one_epoch()) / sum(a for a, _ in random_lengths(3000))
    assert mixed < 1.5


def test_the_longest_row_just_fits() -> None:
    assert batches_of([(1, 15), (16, 1)], 16).batches_per_epoch == 2


@pytest.mark.parametrize(("lengths", "longest"), [([(1, 1), (3, 16)], 20), ([(17, 2)], 20), ([(1, 31)], 32)])
def test_too_small_a_budget(lengths: list[tuple[int, int]], longest: int) -> None:
    message = (
        rf"a batch of 16 tokens cannot hold the longest row of {longest} \(rounded up to a multiple of 4\); "
        rf"set training.batch_tokens to {longest} or more"
    )
    with pytest.raises(UserError, match=message):
        batches_of(lengths, 16)


def test_a_store_of_another_task() -> None:
    store = Store([(1, 1)])
    store.columns["text"] = store.columns.pop("source")
    with pytest.raises(UserError, match="it has no column 'source'"):
        Seq2SeqBatches(store, 16, 0, **IDS)


def test_the_feed_gives_the_same_batches() -> None:
    batches = batches_of(random_lengths(40), 120)
    started: list[int] = []

    def start() -> Any:
        started.append(1)
        return batches.from_step(2)

    found = feed(start)
    expected = islice(batches.from_step(2), 12)
    for (inputs, labels), batch in zip(found, expected, strict=False):
        converted = ({name: np.asarray(value) for name, value in inputs.items()}, np.asarray(labels))
        assert same(converted, batch)
    if keras.backend.backend() == "tensorflow":
        assert found.options().autotune.enabled is False
