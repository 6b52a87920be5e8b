"""Dropout and the random numbers that all dropouts of a step share."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.dropout import DRAWS, Dropout, Noise, StochasticDepth, noise_again, shared_noise


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.9])
def test_the_rate_and_the_scale(rate: float) -> None:
    output = np.asarray(Dropout(rate, seed=1)(keras.ops.ones((400, 512)), training=True))
    assert set(np.unique(output)) == {0, np.float32(2**16 / (2**16 - round(rate * 2**16)))}
    # 204,800 draws: four standard deviations
    assert (output == 0).mean() == pytest.approx(rate, abs=4 * (rate * (1 - rate) / output.size) ** 0.5)
    assert output.mean() == pytest.approx(1, abs=0.02)


def test_only_while_training() -> None:
    x = keras.ops.ones((3, 4))
    assert Dropout(0.5)(x, training=False) is x
    assert Dropout(0.0)(x, training=True) is x


def test_a_seed_repeats_and_calls_differ() -> None:
    first, again = (Dropout(0.5, seed=3) for _ in range(2))
    x = keras.ops.ones((8, 64))
    one, two = np.asarray(first(x, training=True)), np.asarray(first(x, training=True))
    np.testing.assert_array_equal(one, np.asarray(again(x, training=True)))
    assert (one != two).mean() == pytest.approx(0.5, abs=0.1)


def test_the_gradient_is_that_of_what_was_kept() -> None:
    x = tf.ones((16, 32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = Dropout(0.25, seed=5)(x, training=True)
    np.testing.assert_array_equal(tape.gradient(output, x), output)


def test_dropouts_of_a_step_are_independent() -> None:
    """All pairs of 12 masks over the same positions, and of one mask with itself some way on."""
    with shared_noise(keras.random.SeedGenerator(0)):
        masks = [np.asarray(Dropout(0.5)(keras.ops.ones((3, 50_000)), training=True)).ravel() > 0 for _ in range(12)]
    size = masks[0].size
    limit = 5 * size**-0.5  # five standard deviations of a correlation
    for i, mask in enumerate(masks):
        assert mask.mean() == pytest.approx(0.5, abs=limit)
        for other in masks[:i]:
            assert abs(np.corrcoef(mask, other)[0, 1]) < limit
        for lag in (1, 64, 4099, DRAWS, DRAWS - 1):
            assert abs(np.corrcoef(mask[lag:], mask[:-lag])[0, 1]) < 5 * (size - lag) ** -0.5


def test_the_same_count_gives_the_same_words() -> None:
    noise = Noise(keras.random.SeedGenerator(7))
    first = np.asarray(noise.words((5, 6)))
    second = np.asarray(noise.words((5, 6)))
    noise.count = 0
    np.testing.assert_array_equal(np.asarray(noise.words((5, 6))), first)
    assert (first != second).any()


def test_shapes_that_are_known_only_when_it_runs() -> None:
    layer = Dropout(0.5, seed=1)
    run = tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec((None, None, 4))])
    for shape in ((2, 3, 4), (300, 200, 4), (0, 3, 4)):
        assert run(tf.ones(shape)).shape == shape


def test_a_rate_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"rate must be at least 0 and less than 1; received 1\.0"):
        Dropout(1.0)


def test_config_round_trip() -> None:
    layer = Dropout(0.2, seed=4, name="mine")
    assert keras.layers.deserialize(keras.layers.serialize(layer)).get_config() == layer.get_config()


def test_stochastic_depth_drops_whole_rows_at_its_rate() -> None:
    x = np.random.default_rng(0).normal(size=(20_000, 2, 3)).astype("float32")
    output = np.asarray(StochasticDepth(0.25, seed=3)(x, training=True))
    dropped = (output == 0).all(axis=(1, 2))
    np.testing.assert_allclose(output[~dropped], x[~dropped] / 0.75, rtol=1e-6)
    assert dropped.mean() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / len(x)) ** 0.5)
    np.testing.assert_array_equal(StochasticDepth(0.25)(x, training=False), x)


def test_the_numbers_of_another_count_come_again() -> None:
    layer, x = Dropout(0.5), keras.ops.ones((4, 64))
    with shared_noise(keras.random.SeedGenerator(0)) as noise:
        first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    with noise_again(noise, 0):
        np.testing.assert_array_equal(np.asarray(layer(x, training=True)), first)
    assert noise.count == 2
    with noise_again(noise, 1):
        np.testing.assert_array_equal(np.asarray(layer(x, training=True)), second)
        layer(x, training=True)
    assert noise.count == 3
