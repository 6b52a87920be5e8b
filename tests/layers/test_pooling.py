"""Pooling against NumPy, padding, and rows without anything."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.layers import Pooling

X = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)


def attention(x: np.ndarray, query: np.ndarray) -> np.ndarray:
    weights = np.exp(x @ query)
    return (x * weights).sum(0) / weights.sum(0)


@pytest.mark.parametrize("kind", ["mean", "max", "first", "attention"])
def test_numbers(kind: str) -> None:
    layer = Pooling(kind)
    layer.build(X.shape)
    query = np.array([[0.5], [-1.0], [2.0]], "float32")
    if kind == "attention":
        layer.query.assign(query)
    expected = {
        "mean": lambda x: x.mean(0),
        "max": lambda x: x.max(0),
        "first": lambda x: x[0],
        "attention": lambda x: attention(x, query),
    }[kind]
    for mask in (MASK, np.ones_like(MASK)):
        found = np.asarray(layer(X, padding_mask=mask))
        np.testing.assert_allclose(found, [expected(row[kept]) for row, kept in zip(X, mask, strict=True)], atol=1e-6)
    np.testing.assert_allclose(np.asarray(layer(X)), [expected(row) for row in X], atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_nothing_but_padding(kind: str) -> None:
    found = np.asarray(Pooling(kind)(X, padding_mask=np.array([[0] * 4, [1] * 4])))
    assert (found[0] == 0).all()
    assert (found[1] != 0).all()


def test_no_such_kind() -> None:
    with pytest.raises(ValueError, match="kind must be one of mean, max, first, attention; received 'median'"):
        Pooling("median")
