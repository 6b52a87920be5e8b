"""Normalisations against their equations."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import LayerNormalization, RootMeanSquareScaling
from keras_transformer.layers.normalization import normalization

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32") * 3 + 1


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_root_mean_square_scaling_equals_the_equation(epsilon: float) -> None:
    expected = X / np.sqrt((X**2).mean(axis=-1, keepdims=True) + epsilon)
    np.testing.assert_allclose(np.asarray(RootMeanSquareScaling(epsilon)(X)), expected, rtol=1e-5)


def test_root_mean_square_scaling_of_a_large_input_in_half_precision() -> None:
    """Its squares are past what float16 holds."""
    found = np.asarray(RootMeanSquareScaling(1e-5, dtype="float16")(np.full((1, 4), 1000.0, "float16")))
    np.testing.assert_allclose(found, np.ones((1, 4)), rtol=1e-3)


def test_it_is_layer_normalisation_of_what_has_no_mean() -> None:
    centered = X - X.mean(axis=-1, keepdims=True)
    expected = np.asarray(normalization("layer_norm", 1e-3)(X))
    np.testing.assert_allclose(np.asarray(normalization("rms_scaling", 1e-3)(centered)), expected, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(normalization("rms_scaling", 1e-3)(X)), np.asarray(normalization("rms_norm", 1e-3)(X)), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm", "rms_scaling"])
def test_every_kind_has_its_epsilon_and_name(kind: str) -> None:
    layer = normalization(kind, 0.25, name="mine")
    assert (layer.epsilon, layer.name, layer.supports_masking) == (0.25, "mine", True)


def test_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="must be 'layer_norm', 'rms_norm' or 'rms_scaling'; received 'batch_norm'"):
        normalization("batch_norm", 1e-5)


def test_gradients_of_layer_normalisation_are_kerass() -> None:
    random = np.random.default_rng(5)
    x, weight = tf.constant(random.normal(3.0, 2.0, (4, 7, 16)).astype("float32")), random.normal(size=(4, 7, 16))
    found = []
    for layer in (LayerNormalization(epsilon=1e-5), keras.layers.LayerNormalization(epsilon=1e-5)):
        layer.build(x.shape)
        layer.set_weights([np.linspace(-1, 2, 16, dtype="float32"), np.linspace(3, -1, 16, dtype="float32")])
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x)
            loss = tf.reduce_sum(output * weight.astype("float32"))
        gradients = tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])
        found.append([output, *gradients])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
