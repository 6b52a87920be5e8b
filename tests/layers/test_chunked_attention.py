"""Attention in chunks: equal to attention to all keys at once, in value and gradient."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import Dropout, MultiHeadAttention
from keras_transformer.layers.chunked_attention import chunked_attention
from tests.layers.reference import randomize

BATCH, LENGTH, WIDTH, HEADS, HEAD_WIDTH = 2, 7, 12, 4, 3
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(BATCH, LENGTH, WIDTH)).astype("float32")
VALUE = RANDOM.normal(size=(BATCH, LENGTH + 3, WIDTH - 2)).astype("float32")
PADDING = np.array([[0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0]], dtype=bool)  # a row that sees nothing, too
MASK = RANDOM.random((BATCH, LENGTH, LENGTH)) < 0.6
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"padding_mask": PADDING},
    "causal": {"use_causal_mask": True},
    "causal and padding": {"use_causal_mask": True, "padding_mask": PADDING},
    "mask": {"attention_mask": MASK},
    "mask of heads": {"attention_mask": RANDOM.random((BATCH, HEADS, LENGTH, LENGTH)) < 0.6, "use_causal_mask": True},
}
BIASES = {
    "of all": (BATCH, HEADS, LENGTH, LENGTH),
    "of heads": (1, HEADS, LENGTH, LENGTH),
    "of keys": (LENGTH,),
    "of queries": (BATCH, 1, LENGTH, 1),
}


def pair(chunk: int, cross: bool = False, **arguments: Any) -> list[MultiHeadAttention]:
    """Returns a layer that attends to all keys, and one with the same weights that attends to some at a time."""
    made = []
    keras.utils.set_random_seed(0)
    for attention_chunk in (None, chunk):
        layer = MultiHeadAttention(HEADS, HEAD_WIDTH, attention_chunk=attention_chunk, **arguments)
        layer.build(QUERY.shape, VALUE.shape if cross else None)
        randomize(layer)
        made.append(layer)
    made[1].set_weights(made[0].get_weights())
    return made


def value_and_gradients(layer: MultiHeadAttention, *inputs: Any, **options: Any) -> list[np.ndarray]:
    """The output, and the gradients of an uneven sum of it by inputs, attention bias and weights."""
    bias = [tf.convert_to_tensor(options["attention_bias"])] if "attention_bias" in options else []
    tensors = [*(tf.convert_to_tensor(x) for x in inputs), *bias]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        if bias:
            options = {**options, "attention_bias": bias[0]}
        output = layer(*tensors[: len(inputs)], **options)
        loss = tf.reduce_sum(tf.sin(output * 3.0))
    gradients = tape.gradient(loss, [*tensors, *(v.value for v in layer.trainable_variables)])
    assert None not in gradients
    return [np.asarray(x) for x in (output, *gradients)]


def close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 1e-5) -> None:
    """Equal to a share of each array's largest element: sums of large terms that cancel keep no more digits."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance * max(1.0, np.abs(other).max()), rtol=tolerance)


@pytest.mark.parametrize("heads", [HEADS, 2])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_all_at_once(case: str, heads: int) -> None:
    full, chunked = pair(3, num_key_value_heads=heads)
    close(value_and_gradients(chunked, QUERY, **CASES[case]), value_and_gradients(full, QUERY, **CASES[case]))


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
def test_every_size_of_chunk(chunk: int) -> None:
    full, chunked = pair(chunk)
    options = CASES["causal and padding"]
    close(value_and_gradients(chunked, QUERY, **options), value_and_gradients(full, QUERY, **options))


@pytest.mark.parametrize("padding", [None, np.arange(LENGTH + 3)[None, :] < [[6], [0]]])
def test_cross_attention(padding: Any) -> None:
    full, chunked = pair(4, cross=True)
    found, expected = (value_and_gradients(one, QUERY, VALUE, padding_mask=padding) for one in (chunked, full))
    close(found, expected)


@pytest.mark.parametrize("bias", BIASES)
def test_an_attention_bias_and_its_gradient(bias: str) -> None:
    full, chunked = pair(3, num_key_value_heads=2)
    options = {**CASES["causal"], "attention_bias": RANDOM.normal(size=BIASES[bias]).astype("float32")}
    close(value_and_gradients(chunked, QUERY, **options), value_and_gradients(full, QUERY, **options))


def test_a_bias_of_minus_infinity() -> None:
    """On all the keys of the first chunk: they have no weight, and nothing is NaN."""
    full, chunked = pair(3)
    bias = np.where(np.arange(LENGTH) < 4, -np.inf, 0.0).astype("float32")
    np.testing.assert_allclose(chunked(QUERY, attention_bias=bias), full(QUERY, attention_bias=bias), atol=1e-5)


def test_large_logits() -> None:
    """The sum so far is scaled whenever a higher logit comes."""
    key = np.linspace(-300, 300, 9, dtype="float32").reshape(1, 1, 9, 1)
    for order in (slice(None), slice(None, None, -1)):
        value = np.arange(9, dtype="float32").reshape(1, 1, 9, 1)
        found = chunked_attention(np.ones((1, 1, 1, 1), "float32"), key[:, :, order], value[:, :, order], chunk=2)
        np.testing.assert_allclose(np.asarray(found).ravel(), [8.0], atol=1e-5)


def test_lengths_that_are_known_only_when_it_runs() -> None:
    full, chunked = pair(3, num_key_value_heads=2)
    ids = tf.TensorSpec((None, None, WIDTH))
    mask = tf.TensorSpec((None, None), tf.bool)

    @tf.function(input_signature=[ids, mask])
    def run(x: tf.Tensor, padding: tf.Tensor) -> list[tf.Tensor]:
        found = []
        for layer in (full, chunked):
            with tf.GradientTape() as tape:
                tape.watch(x)
                output = layer(x, padding_mask=padding, use_causal_mask=True)
                loss = tf.reduce_sum(tf.sin(output * 3.0))
            weights = [variable.value for variable in layer.trainable_variables]
            found.append([output, *tape.gradient(loss, [x, *weights])])
        return found

    for length in (1, 3, 4, 7):
        expected, got = run(QUERY[:, :length], PADDING[:, :length])
        close([np.asarray(x) for x in got], [np.asarray(x) for x in expected])
    assert run(QUERY[:0], PADDING[:0])[1][0].shape == (0, LENGTH, WIDTH)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy: str) -> None:
    """About as near to float32 as attention to all keys is: both round, each in its own order."""
    exact, _ = pair(3)
    expected = value_and_gradients(exact, QUERY, **CASES["causal"])
    errors = []
    for layer in pair(3, dtype=policy):
        layer.set_weights(exact.get_weights())
        found = value_and_gradients(layer, QUERY, **CASES["causal"])
        errors.append([np.abs(x.astype("float32") - y).max() for x, y in zip(found, expected, strict=True)])
    full_error, chunked_error = (sum(found) for found in errors)  # of all arrays: one alone is a matter of luck
    assert chunked_error < 2 * full_error


def test_scores_are_those_of_all_at_once() -> None:
    full, chunked = pair(3)
    for one, other in zip(*(x(QUERY, return_attention_scores=True) for x in (full, chunked)), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_decoding_by_steps_equals_the_one_shot_call() -> None:
    _, chunked = pair(3)
    expected, cache = np.asarray(chunked(QUERY, use_causal_mask=True)), chunked.empty_cache(BATCH, LENGTH)
    for i in range(LENGTH):
        output, cache = chunked(QUERY[:, i : i + 1], use_causal_mask=True, cache=cache, cache_update_index=i)
        np.testing.assert_allclose(np.asarray(output)[:, 0], expected[:, i], atol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_has_its_rate_and_every_chunk_its_own(rate: float) -> None:
    batch, heads, length, chunk = 2, 4, 64, 16
    factors = Dropout(rate, seed=2).factors_in_parts("float32")
    assert factors is not None
    shape = (batch, heads, length, chunk)
    parts = [np.asarray(factors(i, shape)) for i in range(length // chunk)]
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(np.asarray(factors(tf.constant(i), shape)), part)
        deviation = (rate * (1 - rate) / part.size) ** 0.5
        assert (part == 0).mean() == pytest.approx(rate, abs=5 * deviation)
        for other in parts[:i]:
            assert abs(np.corrcoef(part.ravel(), other.ravel())[0, 1]) < 5 * part.size**-0.5


def test_the_gradient_has_the_dropout_of_the_output() -> None:
    """Against the difference quotient, with the same random numbers each time."""
    random = np.random.default_rng(3)
    query, key, value = (random.normal(size=(1, 2, 6, 3)) for _ in range(3))
    direction = [random.normal(size=x.shape) for x in (query, key, value)]

    def run(step: float) -> tuple[float, float]:
        inputs = [tf.constant(x + step * d, "float32") for x, d in zip((query, key, value), direction, strict=True)]
        factors = Dropout(0.5, seed=7).factors_in_parts("float32")
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = chunked_attention(*inputs, chunk=2, use_causal_mask=True, dropout=factors)
            loss = tf.reduce_sum(tf.sin(output))
        gradients = tape.gradient(loss, inputs)
        return float(loss), sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradients, direction, strict=True))

    (above, _), (below, _), (_, slope) = run(1e-2), run(-1e-2), run(0.0)
    assert slope == pytest.approx((above - below) / 2e-2, rel=1e-2)
    assert abs(slope) > 0.1


def test_dropout_of_the_layer_is_right_in_the_mean() -> None:
    _, layer = pair(3, dropout=0.3)
    rows = np.repeat(QUERY[:1], 4000, axis=0)
    dropped = np.asarray(layer(rows, training=True, use_causal_mask=True))
    expected = np.asarray(layer(rows[:1], use_causal_mask=True))[0]
    error = dropped.std(axis=0) / len(rows) ** 0.5
    assert (error > 0).all()
    assert (np.abs(dropped.mean(axis=0) - expected) < 6 * error).all()


def test_a_chunk_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="attention_chunk must be 1 or more, or None; received 0"):
        MultiHeadAttention(HEADS, HEAD_WIDTH, attention_chunk=0)


def test_config_round_trip() -> None:
    layer = MultiHeadAttention(HEADS, HEAD_WIDTH, attention_chunk=3)
    assert keras.layers.deserialize(keras.layers.serialize(layer)).attention_chunk == 3
