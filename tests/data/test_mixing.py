"""Shares of sources, and the order in which their rows are given out."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.data.mixing import Mixture, mixing_shares


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, [0.9, 0.1]),
        ({"temperature": 2.0}, [0.75, 0.25]),
        ({"temperature": float("inf")}, [0.5, 0.5]),
        ({"temperature": 0.5}, [81 / 82, 1 / 82]),
        ({"temperature": 0.001}, [1, 0]),
        ({"weights": [1, 3]}, [0.25, 0.75]),
    ],
)
def test_shares(options: dict[str, object], shares: list[float]) -> None:
    np.testing.assert_allclose(mixing_shares([900, 100], **options), shares)  # type: ignore[arg-type]


def test_one_source_gives_every_row_once_an_epoch() -> None:
    mixture = Mixture([10], rows=10, seed=3)
    assert mixture.is_epoch
    orders = []
    for number in range(4):
        rows, epochs = mixture.draw(number)
        assert sorted(rows) == list(range(10))
        assert set(epochs) == {number}
        orders.append(rows.tolist())
    assert len({tuple(order) for order in orders}) == 4
    assert Mixture([10], rows=10, seed=3).draw(2)[0].tolist() == orders[2]
    assert Mixture([10], rows=10, seed=4).draw(2)[0].tolist() != orders[2]


def test_rounds_shorter_and_longer_than_a_source() -> None:
    mixture = Mixture([7, 3], rows=9, seed=0, shares=[0.5, 0.5])
    assert mixture.counts == (5, 4)  # the larger remainder is rounded up
    assert not mixture.is_epoch
    draws = [mixture.draw(number) for number in range(21)]
    for source, (first, size, count) in enumerate(((0, 7, 5), (7, 3, 4))):
        of_source = slice(0, 5) if source == 0 else slice(5, 9)
        rows = np.concatenate([rows[of_source] for rows, _ in draws])
        epochs = np.concatenate([epochs[of_source] for _, epochs in draws])
        for epoch in range(21 * count // size):
            assert sorted(rows[epochs == epoch] - first) == list(range(size)), (source, epoch)
    assert (np.diff(np.concatenate([epochs[:5] for _, epochs in draws])) >= 0).all()


def test_a_round_has_all_its_rows_and_none_is_forgotten() -> None:
    mixture = Mixture([1000, 1, 500], rows=1501, seed=0, shares=[0.7, 1e-9, 0.3])
    assert mixture.counts[1] == 1
    assert sum(mixture.counts) in (1501, 1502)
