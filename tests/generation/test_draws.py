"""Random numbers: evenly spread in every direction, and the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from keras_transformer.generation.draws import uniforms

ROWS, LENGTH, CELLS = 64, 256, 16
# 99.99 % of chi-square with 15 degrees of freedom; the numbers are fixed, so that a test fails always or never
LARGEST = 44.3
SEEDS = [0, 1, 2, 65_536, 2**31 - 1]


def numbers(seed: int, rows: int = ROWS, length: int = LENGTH) -> np.ndarray:
    return np.asarray(uniforms(seed, rows, length))


def chi_square(values: np.ndarray, cells: int = CELLS) -> float:
    counts = np.histogram(values, bins=cells, range=(0, 1))[0]
    expected = values.size / cells
    return float(((counts - expected) ** 2 / expected).sum())


def test_the_numbers_stay_what_they_are() -> None:
    """A seed that somebody wrote down must give the same answers in the next version, and on a phone."""
    found = numbers(7, 2, 3)
    assert found.dtype == np.float32
    assert (found * 2**23).astype(int).tolist() == [[515440, 3786111, 7176501], [4852908, 3223144, 3357645]]


def test_range() -> None:
    found = np.concatenate([numbers(seed).ravel() for seed in SEEDS])
    assert found.min() >= 0
    assert found.max() < 1
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    sums = np.float32(0.9999999)  # the largest number times a sum is below the sum: no piece past the last is drawn
    assert np.float32(1 - 2**-23) * sums < sums


def test_equal_in_a_graph() -> None:
    import tensorflow as tf

    drawn = tf.function(lambda seed: uniforms(seed, 3, 9))(tf.constant(123_456_789))
    np.testing.assert_array_equal(np.asarray(drawn), numbers(123_456_789, 3, 9))
    np.testing.assert_array_equal(np.asarray(uniforms(ops.convert_to_tensor(5, "int32"), 3, 9)), numbers(5, 3, 9))


def test_a_place_has_its_number_whatever_stands_beside_it() -> None:
    np.testing.assert_array_equal(numbers(3, 5, 40), numbers(3)[:5, :40])


@pytest.mark.parametrize("seed", SEEDS)
def test_evenly_spread(seed: int) -> None:
    found = numbers(seed)
    assert chi_square(found, 256) < 346  # 99.99 % with 255 degrees of freedom
    assert max(chi_square(row) for row in found) < LARGEST
    assert max(chi_square(found[:, i : i + 4]) for i in range(0, LENGTH, 4)) < LARGEST
    low_bits = (found * 2**23).astype(int) % CELLS
    assert chi_square(low_bits / CELLS + 1e-6) < LARGEST


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbours_do_not_depend_on_each_other(seed: int) -> None:
    """Pairs along rows, along columns and across, in a grid of 8 by 8 cells: 99.99 % with 63 degrees is 111."""
    found = numbers(seed)
    for first, second in [
        (found[:, :-1], found[:, 1:]),
        (found[:-1], found[1:]),
        (found[:-1, :-1], found[1:, 1:]),
        (found[:, :-2], found[:, 2:]),
        (found, numbers(seed ^ 1)),
    ]:
        counts = np.histogram2d(first.ravel(), second.ravel(), bins=8, range=[[0, 1], [0, 1]])[0]
        expected = first.size / 64
        assert ((counts - expected) ** 2 / expected).sum() < 111
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.04


def test_seeds_differ() -> None:
    """Also those that differ in one bit, wherever it stands."""
    seeds = [0, *(2**bit for bit in range(31))]
    drawn = [numbers(seed, 4, 64).ravel() for seed in seeds]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert (one == other).mean() < 0.05
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.3
