from __future__ import annotations

import random

import pytest

from keras_transformer.data.readers import Row
from keras_transformer.data.splits import default_split_sizes, split_pairs
from keras_transformer.errors import UserError


def rows(count: int, start: int = 0) -> list[Row]:
    return [
        Row((f"source {number}", f"target {number}"), "a.tsv", number + 1) for number in range(start, start + count)
    ]


def sources(part: list[Row]) -> set[str]:
    return {row.fields[0] for row in part}


def test_numbers_are_met_exactly() -> None:
    data = rows(1000)
    train, validation, test = split_pairs(data, validation=30, test=70, seed=1)
    assert (len(train), len(validation), len(test)) == (900, 30, 70)
    assert sorted(train + validation + test, key=lambda row: row.line) == data
    for part in (train, validation, test):
        assert part == sorted(part, key=lambda row: row.line)


def test_shares_are_met_on_average() -> None:
    train, validation, test = split_pairs(rows(20_000), validation=0.1, test=0.02, seed=1)
    assert len(validation) == pytest.approx(2000, abs=150)  # More than three standard deviations.
    assert len(test) == pytest.approx(400, abs=75)
    assert len(train) + len(validation) + len(test) == 20_000


def test_the_same_on_every_machine() -> None:
    _, validation, test = split_pairs(rows(50), validation=2, test=3, seed=7)
    assert [row.line for row in validation] == [6, 14]
    assert [row.line for row in test] == [12, 19, 38]


def test_seed_and_order() -> None:
    data = rows(1000)
    first = split_pairs(data, 50, 0.05, seed=1)
    shuffled = random.Random(0).sample(data, len(data))
    assert [sources(part) for part in split_pairs(shuffled, 50, 0.05, seed=1)] == [sources(part) for part in first]
    other = split_pairs(data, 50, 0.05, seed=2)
    assert sources(other[1]) != sources(first[1])
    assert sources(other[2]) != sources(first[2])
    assert split_pairs(data, 50, 0.05, seed=-1) != other


def test_folds_part_the_data() -> None:
    data = rows(1000)
    folds = [split_pairs(data, 50, 0.1, seed=0, start=number / 10) for number in range(10)]
    assert sorted((row for fold in folds for row in fold[2]), key=lambda row: row.line) == data
    assert all(len(train) + 50 + len(test) == 1000 and len(validation) == 50 for train, validation, test in folds)
    assert folds[0] == split_pairs(data, 50, 0.1, seed=0)


def test_equal_sources_stay_together() -> None:
    data = [Row((f"source {number % 300}", f"target {number}"), "a.tsv", number + 1) for number in range(1200)]
    parts = split_pairs(data, validation=101, test=0.1, seed=3)
    assert len(parts[1]) == 104  # The last source taken brings all its four targets.
    assert sources(parts[0]).isdisjoint(sources(parts[1]))
    assert sources(parts[0]).isdisjoint(sources(parts[2]))
    assert sources(parts[1]).isdisjoint(sources(parts[2]))


@pytest.mark.parametrize("seed", range(20))
def test_added_data_moves_nothing_between_shares(seed: int) -> None:
    before = split_pairs(rows(100), 0.15, 0.15, seed)
    after = split_pairs(rows(150), 0.15, 0.15, seed)
    for old, new in zip(before, after, strict=True):
        assert sources(old) <= sources(new)


def test_added_data_moves_nothing_out_of_training_where_numbers_are_given() -> None:
    before = split_pairs(rows(1000), 100, 100, seed=5)
    after = split_pairs(rows(1500), 100, 100, seed=5)
    assert sources(before[0]) <= sources(after[0])
    assert sources(before[1]).isdisjoint(sources(after[2]))


def test_empty_parts() -> None:
    train, validation, test = split_pairs(iter(rows(10)), validation=0, test=0.0, seed=1)
    assert (train, validation, test) == (rows(10), [], [])


@pytest.mark.parametrize(
    ("name", "size"), [("validation", -1), ("validation", 1.0), ("validation", -0.1), ("test", 2.5), ("test", -3)]
)
def test_sizes_that_make_no_sense(name: str, size: float) -> None:
    sizes: dict[str, float] = {"validation": 1, "test": 1, name: size}
    with pytest.raises(UserError) as raised:
        split_pairs(rows(100), seed=1, **sizes)
    assert str(raised.value) == (
        f"The {name} part is {size!r}; give a number of pairs (0, 1, ...) or a share (0.0 to 0.99)."
    )


def test_too_little_data() -> None:
    with pytest.raises(UserError) as raised:
        split_pairs(rows(150), validation=100, test=0.1, seed=1)
    assert str(raised.value).startswith("Too little data: of 150 rows, validation (100) and test (0.1) take 1")
    assert str(raised.value).endswith("to train on, less than half; add data, or give files for these parts.")
    labels = [Row((f"label {number % 3}", f"text {number}"), "mails.csv", number) for number in range(90)]
    with pytest.raises(
        UserError, match=r"The rows have only 3 different texts, .* are the columns the other way round"
    ):
        split_pairs(labels, validation=0.05, test=0.05, seed=1)
    with pytest.raises(UserError, match=r"of 0 rows, validation \(0\) and test \(0\) take 0 and leave 0 to train on"):
        split_pairs([], 0, 0, seed=1)
    with pytest.raises(UserError, match=r"none of 1 rows falls into the validation part of 5"):
        split_pairs(rows(1), validation=5, test=1, seed=1)
    with pytest.raises(UserError, match=r"^Too little data: none of 20 rows falls into the test part of 0\.0001; give"):
        split_pairs(rows(20), validation=1, test=0.0001, seed=1)


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (4, 1), (39, 1), (40, 2), (1000, 50), (19_999, 999), (20_000, 1000), (10**7, 1000)]
)
def test_default_sizes(count: int, size: int) -> None:
    assert default_split_sizes(count) == (size, size)


def test_default_sizes_work_on_four_pairs() -> None:
    validation, test = default_split_sizes(4)
    assert [len(part) for part in split_pairs(rows(4), validation, test, seed=0)] == [2, 1, 1]
