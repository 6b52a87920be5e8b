"""Attention within a window: equal to attention under the same mask, in value and gradient, with linear memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers import MultiHeadAttention, TransformerDecoderBlock, TransformerEncoderBlock
from keras_transformer.layers.masks import window_mask
from keras_transformer.layers.windowed_attention import SHORTEST_BLOCK, windowed_attention
from tests.layers.reference import attention, randomize

BATCH, LENGTH, WIDTH, HEADS, HEAD_WIDTH = 2, 150, 12, 4, 3  # three blocks of queries, the last not full
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(BATCH, LENGTH, WIDTH)).astype("float32")
PADDING = np.arange(LENGTH)[None, :] < [[131], [LENGTH]]
SCATTERED = RANDOM.random((BATCH, LENGTH)) < 0.5


def pair(window: int, **arguments: Any) -> list[MultiHeadAttention]:
    """Returns a layer that attends to all, and one with the same weights and a window."""
    made = []
    for attention_window in (None, window):
        layer = MultiHeadAttention(HEADS, HEAD_WIDTH, attention_window=attention_window, **arguments)
        layer.build(INPUTS.shape)
        randomize(layer)
        made.append(layer)
    made[1].set_weights(made[0].get_weights())
    return made


def value_and_gradients(layer: MultiHeadAttention, inputs: np.ndarray, **options: Any) -> list[np.ndarray]:
    """The output, and the gradients of an uneven sum of it by inputs and weights."""
    x = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, **options)
        loss = tf.reduce_sum(tf.sin(tf.cast(output, "float32") * 3.0))
    gradients = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
    assert None not in gradients
    return [np.asarray(x, dtype="float32") for x in (output, *gradients)]


def close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 1e-5) -> None:
    """Equal to a share of each array's largest element: sums of large terms that cancel keep no more digits."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance * max(1.0, np.abs(other).max()), rtol=tolerance)


@pytest.mark.parametrize("heads", [HEADS, 2])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padding", [None, PADDING, SCATTERED], ids=["no padding", "padding", "scattered"])
@pytest.mark.parametrize("window", [1, 30, 70, 148])
def test_equal_to_attention_under_a_mask(window: int, padding: Any, causal: bool, heads: int) -> None:
    """In blocks against all at once, with a mask of all pairs. Scattered padding leaves queries with nothing to see."""
    full, windowed = pair(window, num_key_value_heads=heads)
    mask = np.broadcast_to(np.asarray(window_mask(LENGTH, LENGTH, window)), (BATCH, LENGTH, LENGTH))
    allowed = np.asarray(mask) & (True if padding is None else padding[:, None, :])
    allowed = allowed & np.tril(np.ones((LENGTH, LENGTH), dtype=bool)) if causal else allowed
    seeing = allowed.any(axis=-1)
    assert seeing.all() or window == 1 or causal or padding is PADDING
    options = {"padding_mask": padding, "use_causal_mask": causal}
    found = value_and_gradients(windowed, INPUTS, **options)
    if seeing.all():
        close(found, value_and_gradients(full, INPUTS, attention_mask=mask, **options))
        return
    expected = np.asarray(full(INPUTS, attention_mask=mask, **options))
    np.testing.assert_allclose(found[0][seeing], expected[seeing], atol=1e-5)
    assert all(np.isfinite(x).all() for x in found)


@pytest.mark.parametrize("window", [LENGTH - 1, LENGTH, 4 * LENGTH])
def test_a_window_that_covers_the_text_is_attention_to_all(window: int) -> None:
    full, windowed = pair(window)
    for options in ({}, {"padding_mask": PADDING}, {"padding_mask": PADDING, "use_causal_mask": True}):
        close(value_and_gradients(windowed, INPUTS, **options), value_and_gradients(full, INPUTS, **options), 1e-6)


def test_blocks_are_exact_where_the_window_covers_the_text() -> None:
    """The computation in blocks itself, which the layer leaves for short texts."""
    full, layer = pair(LENGTH)
    queries, pairs = layer._project_query_key_value(tf.convert_to_tensor(INPUTS))
    keys, values = tf.split(pairs, 2, axis=1)
    context = windowed_attention(queries * HEAD_WIDTH**-0.5, keys, values, LENGTH, PADDING)
    joined = tf.reshape(tf.transpose(context, (0, 2, 1, 3)), (BATCH, LENGTH, -1))
    expected = np.asarray(full(INPUTS, padding_mask=PADDING))
    np.testing.assert_allclose(np.asarray(layer.output_projection(joined)), expected, atol=1e-5)


def test_against_the_equations() -> None:
    _, layer = pair(20)
    expected = attention(layer, INPUTS[0], INPUTS[0], np.abs(np.subtract.outer(range(LENGTH), range(LENGTH))) <= 20)
    np.testing.assert_allclose(np.asarray(layer(INPUTS[:1]))[0], expected[0], atol=1e-4)


def test_a_query_that_sees_nothing_gets_the_mean_of_its_window() -> None:
    value = RANDOM.normal(size=(1, 1, LENGTH, HEAD_WIDTH)).astype("float32")
    context = np.asarray(windowed_attention(value, value, value, 3, np.zeros((1, LENGTH), bool)))[0, 0]
    np.testing.assert_allclose(context[70], value[0, 0, 67:74].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(context[0], value[0, 0, :4].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(context[-1], value[0, 0, -4:].mean(axis=0), atol=1e-5)


def test_lengths_that_are_known_only_when_it_runs() -> None:
    """Those that the window covers, and those that it does not, in one graph."""
    _, windowed = pair(20, num_key_value_heads=2)

    @tf.function(input_signature=[tf.TensorSpec((None, None, WIDTH)), tf.TensorSpec((None, None), tf.bool)])
    def run(x: tf.Tensor, padding: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = windowed(x, padding_mask=padding)
            loss = tf.reduce_sum(tf.sin(output * 3.0))
        return [output, *tape.gradient(loss, [x, *(variable.value for variable in windowed.trainable_variables)])]

    for rows, length in ((2, LENGTH), (1, 64), (2, 21), (1, 1)):
        found = run(INPUTS[:rows, :length], PADDING[:rows, :length])
        expected = value_and_gradients(windowed, INPUTS[:rows, :length], padding_mask=PADDING[:rows, :length])
        close([np.asarray(x) for x in found], expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy: str) -> None:
    """As near to float32 as attention with a mask of all pairs is."""
    exact, _ = pair(30)
    mask = window_mask(LENGTH, LENGTH, 30)
    expected = value_and_gradients(exact, INPUTS, attention_mask=mask, padding_mask=PADDING)
    errors = []
    for layer, options in zip(pair(30, dtype=policy), ({"attention_mask": mask}, {}), strict=True):
        layer.set_weights(exact.get_weights())
        found = value_and_gradients(layer, INPUTS, padding_mask=PADDING, **options)
        errors.append([np.abs(x - y).max() for x, y in zip(found, expected, strict=True)])
    for full_error, windowed_error in zip(*errors, strict=True):
        assert windowed_error < 2 * full_error + 1e-3


def test_scores_masks_and_biases_know_the_window() -> None:
    """Where all pairs are there anyway, the same window holds."""
    _, layer = pair(10)
    expected = np.asarray(layer(INPUTS))
    output, scores = layer(INPUTS, return_attention_scores=True)
    np.testing.assert_allclose(np.asarray(output), expected, atol=1e-5)
    far = np.abs(np.subtract.outer(range(LENGTH), range(LENGTH))) > 10
    assert not np.asarray(scores)[:, :, far].any()
    assert np.asarray(scores)[:, :, ~far].all()
    all_pairs = np.ones((BATCH, LENGTH, LENGTH), dtype=bool)
    np.testing.assert_allclose(np.asarray(layer(INPUTS, attention_mask=all_pairs)), expected, atol=1e-5)
    zero = np.zeros((1, 1, 1, LENGTH), dtype="float32")
    np.testing.assert_allclose(np.asarray(layer(INPUTS, attention_bias=zero)), expected, atol=1e-5)


def test_decoding_by_steps_equals_the_one_shot_call() -> None:
    _, layer = pair(4)
    expected, cache = np.asarray(layer(INPUTS, use_causal_mask=True)), layer.empty_cache(BATCH, 12)
    for i in range(12):
        output, cache = layer(INPUTS[:, i : i + 1], use_causal_mask=True, cache=cache, cache_update_index=i)
        np.testing.assert_allclose(np.asarray(output)[:, 0], expected[:, i], atol=1e-5)


def test_dropout_is_right_in_the_mean() -> None:
    _, layer = pair(4, dropout=0.3)
    rows = np.repeat(INPUTS[:1, :70], 1000, axis=0)
    dropped = np.asarray(layer(rows, training=True))
    expected = np.asarray(layer(rows[:1]))[0]
    error = dropped.std(axis=0) / len(rows) ** 0.5
    assert (error > 0).all()
    assert (np.abs(dropped.mean(axis=0) - expected) < 6 * error).all()


def test_memory_is_linear_in_the_length() -> None:
    """The largest tensor of the graph, gradients included, doubles with the length."""
    _, layer = pair(SHORTEST_BLOCK)

    def largest(length: int) -> int:
        @tf.function
        def run(x: tf.Tensor) -> tf.Tensor:
            return tf.gradients(layer(x), x)[0]

        graph = run.get_concrete_function(tf.TensorSpec((1, length, WIDTH))).graph
        sizes = [t.shape.num_elements() or 0 for operation in graph.get_operations() for t in operation.outputs]
        return max(sizes)

    assert largest(4096) <= 2.1 * largest(2048)
    assert largest(4096) < 4096 * 4096 / 4


def test_blocks_have_it_in_self_attention_alone() -> None:
    encoder = TransformerEncoderBlock(num_heads=4, intermediate_dim=8, attention_window=5)
    encoder.build((None, None, WIDTH))
    assert encoder.self_attention.attention_window == 5
    decoder = TransformerDecoderBlock(num_heads=4, intermediate_dim=8, attention_window=5)
    decoder.build((None, None, WIDTH), (None, None, WIDTH))
    assert decoder.self_attention.attention_window == 5
    assert decoder.cross_attention.attention_window is None


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^attention_window must be 1 or more, or None; received 0$"):
        MultiHeadAttention(HEADS, HEAD_WIDTH, attention_window=0)
    with pytest.raises(ValueError, match=r"^attention_window is for self-attention; received 5 and another `value`$"):
        MultiHeadAttention(HEADS, HEAD_WIDTH, attention_window=5)(INPUTS, INPUTS)


def test_converted_to_built_in_operators(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from keras_transformer.export.convert import convert
    from keras_transformer.export.saved_model import Function, save_functions

    _, layer = pair(20, num_key_value_heads=2)
    module = tf.Module()
    module.weights = [variable.value for variable in layer.variables]
    specs = {"x": tf.TensorSpec((1, LENGTH, WIDTH)), "mask": tf.TensorSpec((1, LENGTH), tf.bool)}
    functions = {"attend": Function(lambda x, mask: {"y": layer(x, padding_mask=mask)}, specs)}
    save_functions(module, functions, tmp_path / "saved")
    convert(tmp_path / "saved", ["attend"], {"float32": tmp_path / "model.tflite"}, tmp_path / "log")
    attend = Interpreter(str(tmp_path / "model.tflite"), num_threads=1).get_signature_runner("attend")
    found = attend(x=INPUTS[:1], mask=PADDING[:1])["y"]
    np.testing.assert_allclose(found, np.asarray(layer(INPUTS[:1], padding_mask=PADDING[:1])), atol=1e-4)
