"""Cuts into batches: as few as the budget allows, or exactly so many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data.buckets import Bucket, cut, cut_into, rounded, sort_keys


def sorted_lengths(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    source = random.integers(1, 30, count)
    target = np.maximum(source + random.integers(-4, 5, count), 1)
    order = np.argsort(sort_keys(source, target, 1), kind="stable")
    return source[order], target[order]


def check(buckets: list[Bucket], source: np.ndarray, target: np.ndarray) -> None:
    assert [bucket.start for bucket in buckets] == [0, *(bucket.stop for bucket in buckets[:-1])]
    assert buckets[-1].stop == len(source)
    for bucket in buckets:
        rows = slice(bucket.start, bucket.stop)
        assert (bucket.source_length, bucket.target_length) == (source[rows].max(), target[rows].max())
        assert bucket.rows >= bucket.stop - bucket.start > 0


def area(bucket: Bucket) -> int:
    return bucket.rows * max(bucket.source_length, bucket.target_length)


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 200), seed=st.integers(0, 9), budget=st.integers(33, 300), more=st.integers(0, 3))
def test_exactly_so_many(rows: int, seed: int, budget: int, more: int) -> None:
    source, target = sorted_lengths(rows, seed)
    fewest = cut(source, target, budget, False)
    check(fewest, source, target)
    assert max(map(area, fewest)) <= budget
    count = min(len(fewest) + more, rows)
    found = cut_into(count, source, target, budget, False)
    assert len(found) == count
    check(found, source, target)
    assert max(map(area, found)) <= budget


def test_too_few_batches_raise_the_budget_a_little() -> None:
    source, target = sorted_lengths(3000)
    fewest = len(cut(source, target, 400, False))
    found = cut_into(fewest - 5, source, target, 400, False)
    assert len(found) == fewest - 5
    check(found, source, target)
    assert 400 < max(map(area, found)) < 420


@pytest.mark.parametrize("budget", [64, 400])
def test_filled_batches_of_the_same_lengths_have_the_same_shape(budget: int) -> None:
    source, target = (rounded(lengths, 8) for lengths in sorted_lengths(500))
    order = np.argsort(sort_keys(source, target, 8), kind="stable")
    for buckets in (
        cut(source[order], target[order], budget, True),
        cut_into(90, source[order], target[order], 400, True),
    ):
        check(buckets, source[order], target[order])
        assert len({bucket[2:] for bucket in buckets}) == len({bucket[3:] for bucket in buckets})


def test_the_order_has_little_padding_on_both_sides() -> None:
    source, target = sorted_lengths(20_000)
    buckets = cut(source, target, 2000, False)
    for lengths, place in ((source, 3), (target, 4)):
        positions = sum(bucket.rows * bucket[place] for bucket in buckets)
        assert 1 - lengths.sum() / positions < 0.08
    by_target = np.lexsort((source, target))
    worse = cut(source[by_target], target[by_target], 2000, False)
    assert len(worse) > len(buckets)
