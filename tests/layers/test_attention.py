"""Multi-head attention against `keras.layers.MultiHeadAttention`, the paper's equations, and itself step by step."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import MultiHeadAttention
from keras_transformer.layers.attention import KeyValues
from keras_transformer.layers.masks import causal_mask, combined_bias, step_bias
from tests.layers.reference import attention, attention_weights, causal, randomize

BATCH, QUERIES, KEYS, WIDTH, HEADS, HEAD_WIDTH = 2, 5, 7, 12, 4, 3
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(BATCH, QUERIES, WIDTH)).astype("float32")
VALUE = RANDOM.normal(size=(BATCH, KEYS, WIDTH - 2)).astype("float32")
KEY_PADDING = np.array([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0, 0]], dtype=bool)
QUERY_PADDING = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=bool)


def layer(cross: bool = False, **arguments: Any) -> MultiHeadAttention:
    """Returns a built layer whose weights, biases too, are random."""
    made = MultiHeadAttention(HEADS, HEAD_WIDTH, **arguments)
    made.build(QUERY.shape, VALUE.shape if cross else None)
    randomize(made)
    return made


@pytest.fixture(scope="module")
def self_attention() -> MultiHeadAttention:
    return layer()


@pytest.fixture(scope="module")
def cross_attention() -> MultiHeadAttention:
    return layer(cross=True)


@pytest.fixture(scope="module")
def grouped() -> MultiHeadAttention:
    return layer(num_key_value_heads=2)


def keras_twin(own: MultiHeadAttention, value: np.ndarray) -> keras.layers.MultiHeadAttention:
    """Returns Keras's layer with the same weights; Keras has no shared heads, so they are repeated."""
    twin = keras.layers.MultiHeadAttention(HEADS, HEAD_WIDTH, output_shape=own.output_dim)
    twin.build(QUERY.shape, value.shape)
    weights = attention_weights(own)
    shared = HEADS // own.num_key_value_heads
    copied = list(weights["query"])
    for name in ("key", "value"):
        kernel, bias = weights[name]
        copied += [np.repeat(kernel, shared, axis=1), np.repeat(bias, shared, axis=0)]
    kernel, bias = weights["output"]
    twin.set_weights([*copied[:6], kernel.reshape(HEADS, HEAD_WIDTH, -1), bias])
    return twin


def close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=tolerance, rtol=0)


ATTENTION_MASK = RANDOM.random((BATCH, QUERIES, QUERIES)) < 0.7
ATTENTION_MASK[:, :, 0] = True
CROSS_MASK = RANDOM.random((BATCH, QUERIES, KEYS)) < 0.7
CROSS_MASK[:, :, 0] = True


@pytest.mark.parametrize("use_causal_mask", [False, True])
@pytest.mark.parametrize("padding", [None, QUERY_PADDING])
@pytest.mark.parametrize("attention_mask", [None, ATTENTION_MASK])
@pytest.mark.parametrize("kind", ["self_attention", "grouped"])
def test_self_attention_equals_keras(
    kind: str, use_causal_mask: bool, padding: Any, attention_mask: Any, request: pytest.FixtureRequest
) -> None:
    own = request.getfixturevalue(kind)
    output, scores = own(
        QUERY,
        padding_mask=padding,
        attention_mask=attention_mask,
        use_causal_mask=use_causal_mask,
        return_attention_scores=True,
    )
    expected, expected_scores = keras_twin(own, QUERY)(
        QUERY,
        QUERY,
        key_mask=padding,
        attention_mask=attention_mask,
        use_causal_mask=use_causal_mask,
        return_attention_scores=True,
    )
    close(output, expected)
    close(scores, expected_scores)


@pytest.mark.parametrize("padding", [None, KEY_PADDING])
@pytest.mark.parametrize("attention_mask", [None, CROSS_MASK])
def test_cross_attention_equals_keras(cross_attention: MultiHeadAttention, padding: Any, attention_mask: Any) -> None:
    masks = {"attention_mask": attention_mask, "return_attention_scores": True}
    output, scores = cross_attention(QUERY, VALUE, padding_mask=padding, **masks)
    expected, expected_scores = keras_twin(cross_attention, VALUE)(QUERY, VALUE, key_mask=padding, **masks)
    close(output, expected)
    close(scores, expected_scores)


def test_output_dim_equals_keras() -> None:
    own = layer(output_dim=6)
    output = own(QUERY)
    assert output.shape == (BATCH, QUERIES, 6)
    close(output, keras_twin(own, QUERY)(QUERY, QUERY))


@pytest.mark.parametrize("kind", ["self_attention", "grouped"])
def test_self_attention_equals_the_equations(kind: str, request: pytest.FixtureRequest) -> None:
    own = request.getfixturevalue(kind)
    output, scores = own(
        QUERY,
        padding_mask=QUERY_PADDING,
        attention_mask=ATTENTION_MASK,
        use_causal_mask=True,
        return_attention_scores=True,
    )
    for row in range(BATCH):
        allowed = causal(QUERIES) & QUERY_PADDING[row] & ATTENTION_MASK[row]
        expected, expected_scores = attention(own, QUERY[row], QUERY[row], allowed)
        close(output[row], expected)
        close(scores[row], expected_scores)
        assert (np.asarray(scores[row])[:, ~allowed] == 0).all()


def test_cross_attention_equals_the_equations(cross_attention: MultiHeadAttention) -> None:
    output, scores = cross_attention(
        QUERY, VALUE, padding_mask=KEY_PADDING, attention_mask=CROSS_MASK, return_attention_scores=True
    )
    for row in range(BATCH):
        expected, expected_scores = attention(
            cross_attention, QUERY[row], VALUE[row], CROSS_MASK[row] & KEY_PADDING[row]
        )
        close(output[row], expected)
        close(scores[row], expected_scores)


def test_scores_sum_to_one_and_a_masked_row_is_uniform(self_attention: MultiHeadAttention) -> None:
    padding = np.array([[False] * QUERIES, [True, True, False, False, False]])
    output, scores = self_attention(QUERY, padding_mask=padding, return_attention_scores=True)
    scores = np.asarray(scores)
    assert scores.shape == (BATCH, HEADS, QUERIES, QUERIES)
    close(scores.sum(axis=-1), np.ones((BATCH, HEADS, QUERIES)), 1e-6)
    close(scores[0], np.full((HEADS, QUERIES, QUERIES), 1 / QUERIES), 1e-6)
    expected, _ = attention(self_attention, QUERY[0], QUERY[0], np.zeros((QUERIES, QUERIES), bool))
    close(output[0], expected)


def test_a_mask_for_each_head(self_attention: MultiHeadAttention) -> None:
    masks = RANDOM.random((BATCH, HEADS, QUERIES, QUERIES)) < 0.6
    masks[..., 0] = True
    _, scores = self_attention(QUERY, attention_mask=masks, return_attention_scores=True)
    for head in range(HEADS):
        _, expected = attention(self_attention, QUERY[0], QUERY[0], masks[0, head])
        close(scores[0, head], expected[head])


@pytest.mark.parametrize("kind", ["self_attention", "grouped"])
@pytest.mark.parametrize("chunk", [1, 2])
def test_decoding_by_steps_equals_the_one_shot_call(kind: str, chunk: int, request: pytest.FixtureRequest) -> None:
    own = request.getfixturevalue(kind)
    sentence = QUERY[:, :4]
    expected = own(sentence, use_causal_mask=True)
    cache = own.empty_cache(BATCH, 6)  # longer than the sentence
    assert cache.keys.shape == cache.values.shape == (BATCH, own.num_key_value_heads, 6, HEAD_WIDTH)
    for start in range(0, 4, chunk):
        output, cache = own(
            sentence[:, start : start + chunk],
            cache=cache,
            cache_update_index=ops.convert_to_tensor(start, dtype="int32"),
            use_causal_mask=True,
        )
        close(output, expected[:, start : start + chunk])
    weights = attention_weights(own)
    for part, name in zip(cache, ("key", "value"), strict=True):
        part = np.asarray(part)
        kernel, bias = weights[name]
        assert (part[:, :, 4:] == 0).all()
        close(part[:, :, :4], np.einsum("bnw,wgd->bgnd", sentence, kernel) + bias[:, None])


def test_scores_are_returned_between_output_and_cache(self_attention: MultiHeadAttention) -> None:
    cache = self_attention.empty_cache(BATCH, 6)
    output, scores, updated = self_attention(
        QUERY[:, :1], cache=cache, cache_update_index=0, use_causal_mask=True, return_attention_scores=True
    )
    assert output.shape == (BATCH, 1, WIDTH)
    close(scores, np.eye(6)[None, None, :1].repeat(BATCH, 0).repeat(HEADS, 1))  # the first position sees itself alone
    assert [part.shape for part in updated] == [part.shape for part in cache]


def test_a_cache_padding_mask_covers_the_cache(self_attention: MultiHeadAttention) -> None:
    expected = self_attention(QUERY, padding_mask=QUERY_PADDING, use_causal_mask=True)
    _, cache = self_attention(
        QUERY[:, :4], cache=self_attention.empty_cache(BATCH, 5), cache_update_index=0, use_causal_mask=True
    )
    output, _ = self_attention(
        QUERY[:, 4:], padding_mask=QUERY_PADDING, cache=cache, cache_update_index=4, use_causal_mask=True
    )
    close(output, expected[:, 4:])


def test_cross_attention_with_keys_and_values_computed_once(cross_attention: MultiHeadAttention) -> None:
    expected = cross_attention(QUERY, VALUE, padding_mask=KEY_PADDING)
    cache = cross_attention.project_key_value(VALUE)
    assert cache.keys.shape == cache.values.shape == (BATCH, HEADS, KEYS, HEAD_WIDTH)
    for i in range(QUERIES):
        output, same = cross_attention(QUERY[:, i : i + 1], cache=cache, padding_mask=KEY_PADDING)
        close(output, expected[:, i : i + 1])
        np.testing.assert_array_equal(np.asarray(same.keys), np.asarray(cache.keys))


def test_a_bias_is_added_to_the_masks(self_attention: MultiHeadAttention) -> None:
    """The bias of one step is that of the causal mask; with a padding mask both count."""
    cache = self_attention(QUERY[:, :3], cache=self_attention.empty_cache(BATCH, 5), cache_update_index=0)[1]
    step = {"cache": cache, "cache_update_index": 3, "padding_mask": QUERY_PADDING}
    expected, _ = self_attention(QUERY[:, 3:4], use_causal_mask=True, **step)
    output, _ = self_attention(QUERY[:, 3:4], attention_bias=step_bias(5, 3), **step)
    close(output, expected)
    without, _ = self_attention(QUERY[:, 3:4], **step)
    assert np.abs(np.asarray(without) - np.asarray(expected)).max() > 1e-3


def test_symbolic_shapes_with_scores_and_cache() -> None:
    own = MultiHeadAttention(HEADS, HEAD_WIDTH)
    query = keras.KerasTensor((2, 1, WIDTH))
    cache = KeyValues(*(keras.KerasTensor((2, HEADS, 6, HEAD_WIDTH)) for _ in range(2)))
    output, scores, updated = own(query, cache=cache, cache_update_index=0, return_attention_scores=True)
    assert (output.shape, scores.shape) == ((2, 1, WIDTH), (2, HEADS, 1, 6))
    assert [part.shape for part in updated] == [part.shape for part in cache]


def test_dropout_is_on_the_weights_and_in_training_only() -> None:
    own = layer(dropout=0.5)
    exact, scores = own(QUERY, return_attention_scores=True)
    close(own(QUERY, training=False), exact)
    # values of one and an output that adds up the heads: what is left of each weight, doubled, is seen in the output
    weights = own.query_key_value.get_weights()
    weights[0][:, 2 * HEADS * HEAD_WIDTH :], weights[1][2 * HEADS * HEAD_WIDTH :] = 0, 1
    own.query_key_value.set_weights(weights)
    own.output_projection.set_weights([np.eye(WIDTH, dtype="float32"), np.zeros(WIDTH, "float32")])
    close(own(QUERY), np.ones_like(QUERY))
    dropped, kept_scores = own(QUERY, return_attention_scores=True, training=True)
    sums = np.asarray(dropped).reshape(BATCH, QUERIES, HEADS, HEAD_WIDTH)
    close(sums.std(axis=-1), np.zeros((BATCH, QUERIES, HEADS)))  # one weight for the whole width of a head
    assert (np.abs(sums - 1) > 1e-3).any()
    close(kept_scores, scores)  # the scores are told as they were
    subsets = np.array([[bit >> i & 1 for i in range(QUERIES)] for bit in range(2**QUERIES)])
    for row, query, head in np.ndindex(BATCH, QUERIES, HEADS):
        possible = 2 * subsets @ np.asarray(scores)[row, head, query]
        assert np.abs(possible - sums[row, query, head, 0]).min() < 1e-5


def test_the_softmax_is_in_float32() -> None:
    """A mask of -1e9 is infinite in float16, and a row of nothing else would be NaN; so would exp(16) be."""
    own = MultiHeadAttention(1, 1, dtype="mixed_float16", use_bias=False)
    x = np.array([[[4.0], [-4.0]]], dtype="float32")
    own(x)
    own.query_key_value.set_weights([np.ones((1, 3), "float32")])
    own.output_projection.set_weights([np.ones((1, 1), "float32")])
    _, scores = own(x, attention_mask=np.zeros((1, 2, 2), bool), return_attention_scores=True)
    close(scores, np.full((1, 1, 2, 2), 0.5))
    output, scores = own(x, return_attention_scores=True)
    close(scores, np.eye(2)[None, None])
    close(output, x)


def test_a_sentence_of_one_token(self_attention: MultiHeadAttention) -> None:
    """It draws no warning (Keras's softmax over one key does)."""
    output = self_attention(QUERY[:, :1])
    expected, _ = attention(self_attention, QUERY[0, :1], QUERY[0, :1], np.ones((1, 1), bool))
    close(output[0], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (4, 3, 3),
            r"num_heads must be a multiple of num_key_value_heads; received num_heads=4, num_key_value_heads=3",
        ),
    ],
)
def test_wrong_arguments(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(*arguments)


def test_wrong_calls(self_attention: MultiHeadAttention, cross_attention: MultiHeadAttention) -> None:
    with pytest.raises(
        ValueError, match=r"was built for self-attention \(its first call had no `value`\); received an"
    ):
        self_attention(QUERY, VALUE)
    with pytest.raises(ValueError, match="was built for cross-attention; received neither `value` nor `cache`"):
        cross_attention(QUERY)


def test_causal_mask_with_an_offset() -> None:
    expected = [[[True, True, True, False, False], [True, True, True, True, False]]]
    np.testing.assert_array_equal(np.asarray(causal_mask(2, 5, 2)), expected)
    np.testing.assert_array_equal(np.asarray(causal_mask(4, 4))[0], causal(4))


def test_masks_are_combined_into_one_bias() -> None:
    assert combined_bias() is None
    bias = combined_bias(
        padding_mask=np.array([[1, 1, 0]]),
        keras_mask=np.array([[True, True, True]]),
        attention_mask=np.array([[[1, 0, 1], [1, 1, 1]]]),
        causal=causal_mask(2, 3, 1),
    )
    allowed = np.array([[[[1, 0, 0], [1, 1, 0]]]], bool)
    np.testing.assert_array_equal(np.asarray(bias), np.where(allowed, 0, -1e9).astype("float32"))


def test_an_attention_mask_of_two_axes_is_for_all_texts_and_heads() -> None:
    """As Keras reads it, with as many queries as heads too."""
    length = heads = 4
    random = np.random.default_rng(3)
    x = random.normal(size=(2, length, 8)).astype("float32")
    mask = np.tril(np.ones((length, length), bool))
    attention = MultiHeadAttention(num_heads=heads, key_dim=2)
    expected = np.asarray(attention(x, use_causal_mask=True))
    for shape in ((length, length), (1, length, length), (2, length, length), (1, 1, length, length)):
        found = attention(x, attention_mask=np.broadcast_to(mask, shape))
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6, err_msg=str(shape))
    per_head = np.stack([mask, mask.T | mask, mask, mask])[None]
    assert not np.allclose(np.asarray(attention(x, attention_mask=per_head)), expected)


@pytest.mark.parametrize("shape", [(3,), (3, 3), (4, 3), (3, 4, 4), (2, 5, 4, 4), (1, 1, 2, 4, 4), (2, 4)])
@pytest.mark.parametrize("symbolic", [False, True])
def test_attention_masks_of_other_shapes_are_refused(shape: tuple[int, ...], symbolic: bool) -> None:
    attention = MultiHeadAttention(num_heads=2, key_dim=4, name="looks")
    message = re.escape(
        "looks: attention_mask must be [4, 4] (queries, keys), [2, 4, 4] with the batch before them, or "
    )
    message += re.escape(f"[2, 2, 4, 4] with batch and heads, each axis of this size or 1; received {list(shape)}")
    mask = keras.Input(batch_shape=shape, dtype="bool") if symbolic else np.ones(shape, bool)
    x = keras.Input(batch_shape=(2, 4, 8)) if symbolic else np.ones((2, 4, 8), "float32")
    with pytest.raises(ValueError, match=message):
        attention(x, attention_mask=mask)
