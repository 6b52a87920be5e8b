"""The feed-forward network against its equations."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.layers import FeedForward
from tests.layers.reference import feed_forward, randomize

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_equals_the_equations(activation: str) -> None:
    layer = FeedForward(12, activation=activation)
    layer.build(X.shape)
    randomize(layer)
    np.testing.assert_allclose(np.asarray(layer(X)), feed_forward(layer, X), atol=1e-5)


@pytest.mark.parametrize(("activation", "weights"), [("relu", 2 * 8 * 12 + 20), ("swiglu", 3 * 8 * 12 + 32)])
def test_number_of_weights(activation: str, weights: int) -> None:
    layer = FeedForward(12, activation=activation)
    layer.build((None, None, 8))
    assert layer.count_params() == weights


def test_kernels_do_not_start_equal() -> None:
    layer = FeedForward(8, kernel_initializer="glorot_uniform")
    layer.build((None, None, 8))
    assert (np.asarray(layer.expand.kernel) != np.asarray(layer.contract.kernel)).any()


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="activation must be one of relu, gelu, swiglu; received 'tanh'"):
        FeedForward(12, activation="tanh")
