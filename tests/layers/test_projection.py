"""Projections: in training their gradients are computed in other ways than Keras computes those of `Dense`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.projection import Projection
from keras_transformer.layers.row_sums import sum_of_rows

RANDOM = np.random.default_rng(0)


def value_and_gradients(layer: keras.layers.Layer, x: tf.Tensor, weight: np.ndarray) -> list[np.ndarray]:
    """What a layer gives for `x` in training, and the gradients of its weighted sum: of `x`, kernel and bias."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=True) if isinstance(layer, Projection) else layer(x)
        loss = tf.reduce_sum(tf.cast(output, "float32") * weight)
    gradients = tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])
    return [np.asarray(tf.cast(value, "float32")) for value in (output, *gradients)]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("width_in", "width_out"), [(24, 8), (8, 24), (8, 8)])
@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 2e-2)])
def test_values_and_gradients_are_those_of_dense(
    policy: str, tolerance: float, width_in: int, width_out: int, use_bias: bool
) -> None:
    options = {"use_bias": use_bias, "activation": "tanh", "bias_initializer": "normal"}
    ours, keras_own = Projection(width_out, dtype=policy, **options), keras.layers.Dense(width_out, **options)
    x = tf.constant(RANDOM.normal(size=(3, 5, width_in)), keras.DTypePolicy(policy).compute_dtype)
    weight = RANDOM.normal(size=(3, 5, width_out)).astype("float32")
    for layer in (ours, keras_own):
        layer.build(x.shape)
    keras_own.set_weights(ours.get_weights())
    found = value_and_gradients(ours, x, weight)
    expected = value_and_gradients(keras_own, tf.cast(x, "float32"), weight)
    assert len(found) == 3 + use_bias
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize("shape", [(7, 4), (2, 3, 5), (1, 1), (0, 3)])
def test_sum_of_rows(shape: tuple[int, ...]) -> None:
    x = RANDOM.normal(size=shape).astype("float32")
    np.testing.assert_allclose(np.asarray(sum_of_rows(tf.constant(x))), x.reshape(-1, shape[-1]).sum(axis=0), atol=1e-5)


def test_sum_of_many_rows_in_bfloat16_is_no_running_sum_in_bfloat16() -> None:
    """There 256 + 1 is 256: one row after the other would end there."""
    assert float(sum_of_rows(tf.ones((1000, 1), "bfloat16"))[0]) == 1000
