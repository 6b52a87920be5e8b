"""Blocks that are computed again on the way back: equal loss, equal gradients, the same dropout."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import TransformerDecoderBlock, TransformerEncoderBlock
from keras_transformer.layers.dropout import shared_noise
from keras_transformer.layers.rematerialization import rematerialized
from tests.layers.reference import randomize

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 5, 8)).astype("float32")
ENCODED = RANDOM.normal(size=(3, 7, 8)).astype("float32")
PADDING = np.arange(5)[None, :] < [[5], [2], [0]]
ENCODED_PADDING = np.arange(7)[None, :] < [[7], [3], [1]]
RATES = {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.1, "stochastic_depth": 0.4}


class Pair:
    """Two blocks of each kind with the same weights, one after the other, as in a model.

    Args:
        options: of all blocks.
    """

    def __init__(self, **options: Any):
        self.encoder = TransformerEncoderBlock(2, 12, name="encoder", **options)
        self.decoder = TransformerDecoderBlock(2, 12, name="decoder", **options)
        self.encoder.build(ENCODED.shape)
        self.decoder.build(X.shape, ENCODED.shape)
        for seed, block in enumerate((self.encoder, self.decoder)):
            for variable in block.trainable_variables:
                variable.assign(np.zeros(variable.shape))
            randomize(block, seed)
        self.seed = keras.random.SeedGenerator(4)

    def run(self, x: Any, encoded: Any) -> list[Any]:
        """The loss, and its gradients by inputs and weights."""
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([x, encoded])
            with shared_noise(self.seed):
                y = self.encoder(encoded, padding_mask=ENCODED_PADDING, training=True)
                z = self.decoder(
                    x,
                    y,
                    decoder_padding_mask=PADDING,
                    encoder_padding_mask=ENCODED_PADDING,
                    training=True,
                )
            loss = tf.reduce_sum(tf.sin(z))
        return [loss, *tape.gradient(loss, [x, encoded, *(variable.value for variable in variables)])]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "options", [{}, RATES, {**RATES, "attention_chunk": 2}, {"normalize_first": True, "activation": "swiglu", **RATES}]
)
def test_loss_and_gradients_are_the_same(options: dict[str, Any], compiled: bool) -> None:
    kept, again = (Pair(rematerialize=rematerialize, **options) for rematerialize in (False, True))
    inputs = tf.constant(X), tf.constant(ENCODED)
    expected, found = ((tf.function(one.run) if compiled else one.run)(*inputs) for one in (kept, again))
    assert len(found) == 3 + len(kept.encoder.trainable_variables) + len(kept.decoder.trainable_variables)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=5e-5, rtol=1e-5)  # rounding
    assert np.abs(np.asarray(expected[1])).max() > 0.01


def test_it_is_computed_a_second_time() -> None:
    """Once for the value, once for the gradient; with the option off, once."""
    calls = []

    def twice(x: tf.Tensor) -> tf.Tensor:
        calls.append(1)
        return x * 2.0

    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = rematerialized(twice, x=x)
    assert len(calls) == 1
    assert float(tape.gradient(y, x)) == 2.0
    assert len(calls) == 2


def test_noise_of_its_own_without_a_shared_one() -> None:
    """Drawn once for both calls of a block that stands alone, and anew for the next step."""
    again, kept = (TransformerEncoderBlock(2, 12, rematerialize=on, **RATES) for on in (True, False))
    for block in (again, kept):
        block.build(X.shape)
    kept.set_weights(again.get_weights())
    twin = keras.random.SeedGenerator(0)
    assert again.seed_generator is not None
    twin.state.assign(again.seed_generator.state)
    losses = []
    for _ in range(2):
        x = tf.constant(X)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            found = tf.reduce_sum(tf.sin(again(x, training=True)))
            with shared_noise(twin):
                expected = tf.reduce_sum(tf.sin(kept(x, training=True)))
        assert float(found) == pytest.approx(float(expected), abs=1e-5)
        np.testing.assert_allclose(tape.gradient(found, x), tape.gradient(expected, x), atol=2e-6)
        losses.append(float(found))
    assert abs(losses[1] - losses[0]) > 1e-3


def test_later_dropouts_have_other_numbers() -> None:
    """Whether a block is computed again does not change the noise of what comes behind it."""
    counts = []
    for rematerialize in (False, True):
        block = TransformerEncoderBlock(2, 12, rematerialize=rematerialize, **RATES)
        block.build(X.shape)
        with shared_noise(keras.random.SeedGenerator(0)) as noise, tf.GradientTape() as tape:
            x = tf.constant(X)
            tape.watch(x)
            loss = tf.reduce_sum(block(x, training=True))
            counts.append(noise.count)
            tape.gradient(loss, x)
            counts.append(noise.count)
    assert counts[0] > 0
    assert len(set(counts)) == 1


def test_only_while_training() -> None:
    block = TransformerEncoderBlock(2, 12, rematerialize=True, **RATES)
    plain = TransformerEncoderBlock(2, 12)
    plain.build(X.shape)
    block.build(X.shape)
    block.set_weights(plain.get_weights())
    np.testing.assert_array_equal(np.asarray(block(X)), np.asarray(plain(X)))
