"""Token embeddings, tied, and positions."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import (
    Pooling,
    PositionEmbedding,
    SinePositionEncoding,
    TokenEmbedding,
    TransformerEncoderBlock,
)
from tests.layers.reference import sine_positions

IDS = np.array([[3, 1, 0], [5, 5, 2]], dtype=np.int32)


@pytest.mark.parametrize("scale", [True, False])
def test_input_and_output_are_tied(scale: bool) -> None:
    layer = TokenEmbedding(vocabulary_size=7, embedding_dim=4, scale=scale)
    matrix = np.asarray(layer.embeddings)
    assert [weight.shape for weight in layer.weights] == [(7, 4)]
    np.testing.assert_allclose(np.asarray(layer(IDS)), matrix[IDS] * (math.sqrt(4) if scale else 1), rtol=1e-6)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(np.asarray(layer(x, reverse=True)), x @ matrix.T, atol=1e-6)
    np.testing.assert_allclose(np.asarray(layer(x[:, 0], reverse=True)), x[:, 0] @ matrix.T, atol=1e-6)


def test_only_ids_give_a_mask() -> None:
    layer = TokenEmbedding(vocabulary_size=7, embedding_dim=4, mask_zero=True)
    embedded = layer(IDS)
    np.testing.assert_array_equal(np.asarray(embedded._keras_mask), IDS != 0)
    np.testing.assert_array_equal(np.asarray(layer(embedded, reverse=True)._keras_mask), IDS != 0)
    assert getattr(layer(np.zeros((2, 3, 4), "float32"), reverse=True), "_keras_mask", None) is None
    assert getattr(TokenEmbedding(7, 4)(IDS), "_keras_mask", None) is None


@pytest.mark.parametrize("positions", [SinePositionEncoding, lambda: PositionEmbedding(max_length=9)])
def test_a_mask_outlasts_positions(positions: Callable[[], keras.layers.Layer]) -> None:
    """Padding changes nothing in a functional model that adds positions as their docstrings say."""
    ids = keras.Input((None,), dtype="int32")
    x = TokenEmbedding(vocabulary_size=7, embedding_dim=4, mask_zero=True)(ids)
    x = keras.layers.Add()([x, positions()(x)])
    x = TransformerEncoderBlock(num_heads=2, intermediate_dim=8, dropout=0.0)(x)
    model = keras.Model(ids, Pooling("mean")(x))
    padded = np.pad(IDS[:1, :2], ((0, 0), (0, 5)))
    np.testing.assert_allclose(np.asarray(model(padded)), np.asarray(model(IDS[:1, :2])), atol=1e-5)


@pytest.mark.parametrize("width", [8, 7, 2, 1])
@pytest.mark.parametrize("start", [0, 11])
def test_sines_equal_the_equations(width: int, start: int) -> None:
    found = SinePositionEncoding()(np.zeros((2, 6, width), "float32"), start_index=start)
    np.testing.assert_allclose(np.asarray(found), sine_positions(6, width, start)[None], atol=1e-5)


@pytest.mark.parametrize("width", [8, 7, 1])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_table_of_sines_equals_the_computed_ones(width: int, policy: str) -> None:
    layer, x = SinePositionEncoding(max_wavelength=500.0, dtype=policy), np.zeros((3, 1, width), "float32")
    for position in (0, 1, 57, 99):
        index = ops.convert_to_tensor(position, dtype="int32")
        looked_up, computed = layer(x, start_index=index, max_length=100), layer(x, start_index=index)
        assert looked_up.shape == computed.shape == (1, 1, width)
        assert looked_up.dtype == computed.dtype == layer.compute_dtype
        tolerance = 1e-5 if policy == "float32" else 0.01
        np.testing.assert_allclose(ops.cast(looked_up, "float32"), ops.cast(computed, "float32"), atol=tolerance)
    several = np.zeros((3, 4, width), "float32")
    np.testing.assert_array_equal(
        np.asarray(layer(several, start_index=5, max_length=100)), np.asarray(layer(several, start_index=5))
    )


def test_sines_far_out_in_half_precision() -> None:
    """Positions are numbered in float32: float16 has no odd numbers past 2,048, bfloat16 none past 256."""
    found = SinePositionEncoding(dtype="mixed_bfloat16")(np.zeros((1, 2, 8), "float32"), start_index=3001)
    np.testing.assert_allclose(np.asarray(found).astype("float32")[0], sine_positions(2, 8, 3001), atol=0.01)


def test_learned_positions_shift_and_end() -> None:
    layer = PositionEmbedding(max_length=5)
    x = np.zeros((2, 3, 4), "float32")
    first = np.asarray(layer(x))
    table = np.asarray(layer.embeddings)
    assert table.shape == (5, 4)
    np.testing.assert_array_equal(first, table[None, :3])
    np.testing.assert_array_equal(np.asarray(layer(x, start_index=2)), table[None, 2:])
    np.testing.assert_array_equal(np.asarray(layer(x, start_index=3)), table[None, [3, 4, 4]])  # the last one's
