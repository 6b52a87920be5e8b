"""The largest numbers by way of chunks, against sorting."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.generation.constraints import NEVER
from keras_transformer.generation.largest import CHUNK, SHORTEST, largest

WIDTHS = [7, SHORTEST - 1, SHORTEST, SHORTEST + 1, SHORTEST + CHUNK - 1, 2000]


def found(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    values, places = largest(x, count)
    assert np.asarray(places).dtype == np.int32
    return np.asarray(values), np.asarray(places)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_equals_sorting(width: int, count: int) -> None:
    x = np.random.default_rng(width).normal(size=(2, 3, width)).astype("float32")
    values, places = found(x, count)
    expected = np.argsort(-x, axis=-1)[..., :count]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, axis=-1))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("place", [0, 3, -1])
def test_where_all_but_one_may_not_be_taken(width: int, place: int) -> None:
    """Of equals any may come, but none that is not there: its embedding is looked up all the same."""
    x = np.full((1, 2, width), NEVER, np.float32)
    x[:, :, place] = 1.5
    values, places = found(x, 6)
    assert (places[..., 0] == np.arange(width)[place]).all()
    assert (values[..., 1:] == np.float32(NEVER)).all()
    assert ((places >= 0) & (places < width)).all()
    assert all(len(set(row.tolist())) == 6 for row in places.reshape(-1, 6))


def test_neighbours_in_one_chunk() -> None:
    x = np.zeros((1, 1, SHORTEST), np.float32)
    x[..., 70:75] = [5, 4, 3, 2, 1]
    values, places = found(x, 5)
    assert values.tolist() == [[[5, 4, 3, 2, 1]]]
    assert places.tolist() == [[[70, 71, 72, 73, 74]]]


def test_as_many_as_there_are() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, SHORTEST)).astype("float32")
    assert found(x, SHORTEST)[1].tolist() == np.argsort(-x, axis=-1).tolist()
