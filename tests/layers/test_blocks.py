"""Encoder and decoder blocks against the equations, and the decoder step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import TransformerDecoderBlock, TransformerEncoderBlock
from tests.layers.reference import causal, decoder_block, encoder_block, randomize

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 5, 8)).astype("float32")
ENCODED = RANDOM.normal(size=(2, 7, 8)).astype("float32")
PADDING = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], dtype=bool)
ENCODED_PADDING = np.array([[1, 1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0, 0]], dtype=bool)


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("normalization", ["layer_norm", "rms_norm"])
def test_encoder_block_equals_the_equations(normalization: str, normalize_first: bool) -> None:
    block = TransformerEncoderBlock(2, 12, normalization=normalization, normalize_first=normalize_first)
    block.build(X.shape)
    randomize(block)
    attention_mask = causal(5)[None].repeat(2, 0)
    output = np.asarray(block(X, padding_mask=PADDING, attention_mask=attention_mask))
    for row in range(2):
        expected = encoder_block(block, X[row], PADDING[row] & causal(5))
        np.testing.assert_allclose(output[row], expected, atol=2e-5)


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("normalization", ["layer_norm", "rms_norm"])
def test_decoder_block_equals_the_equations(normalization: str, normalize_first: bool) -> None:
    block = TransformerDecoderBlock(
        4, 12, num_key_value_heads=2, normalization=normalization, normalize_first=normalize_first
    )
    block.build(X.shape, ENCODED.shape)
    randomize(block)
    output = np.asarray(block(X, ENCODED, decoder_padding_mask=PADDING, encoder_padding_mask=ENCODED_PADDING))
    for row in range(2):
        expected = decoder_block(
            block, X[row], causal(5) & PADDING[row], ENCODED[row], ENCODED_PADDING[row][None].repeat(5, 0)
        )
        np.testing.assert_allclose(output[row], expected, atol=2e-5)


@pytest.fixture(scope="module")
def decoder() -> TransformerDecoderBlock:
    block = TransformerDecoderBlock(2, 12, normalize_first=True)
    block.build(X.shape, ENCODED.shape)
    randomize(block)
    return block


def test_decoding_by_steps_equals_the_one_shot_call(decoder: TransformerDecoderBlock) -> None:
    expected = np.asarray(decoder(X, ENCODED, encoder_padding_mask=ENCODED_PADDING))
    cache, encoded = decoder.empty_cache(2, 8), decoder.project_encoder(ENCODED)
    for i in range(5):
        output, cache = decoder(
            X[:, i : i + 1],
            encoder_padding_mask=ENCODED_PADDING,
            self_attention_cache=cache,
            self_attention_cache_update_index=ops.convert_to_tensor(i, dtype="int32"),
            cross_attention_cache=encoded,
        )
        np.testing.assert_allclose(np.asarray(output)[:, 0], expected[:, i], atol=1e-5)


def test_rows_share_an_encoder_sequence(decoder: TransformerDecoderBlock) -> None:
    """Three hypotheses of each sentence give what three copies of the sentence give, and so do their weights."""
    rows = np.concatenate([X, X[:, ::-1], X * 0.5], axis=1).reshape(6, 5, -1)
    copies = np.repeat(ENCODED, 3, axis=0), np.repeat(ENCODED_PADDING, 3, axis=0)
    expected, expected_scores = decoder(rows, copies[0], encoder_padding_mask=copies[1], return_attention_scores=True)
    output, scores, _ = decoder(
        rows,
        encoder_padding_mask=ENCODED_PADDING,
        self_attention_cache=decoder.empty_cache(6, 5),
        self_attention_cache_update_index=0,
        cross_attention_cache=decoder.project_encoder(ENCODED),
        return_attention_scores=True,
    )
    np.testing.assert_allclose(np.asarray(output), np.asarray(expected), atol=1e-5)
    np.testing.assert_allclose(np.asarray(scores), np.asarray(expected_scores), atol=1e-5)


def test_a_position_depends_on_those_before_it_alone(decoder: TransformerDecoderBlock) -> None:
    changed = X.copy()
    changed[:, 3:] += 1.0
    before, after = np.asarray(decoder(X, ENCODED)), np.asarray(decoder(changed, ENCODED))
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-6)
    assert np.abs(after[:, 3:] - before[:, 3:]).min(axis=-1).max() > 1e-4
    free = np.asarray(decoder(changed, ENCODED, use_causal_mask=False))
    assert np.abs(free[:, :3] - before[:, :3]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_heads": 3},
            "width must be a multiple of num_heads unless key_dim is given; received width 8, num_heads=3",
        ),
        (
            {"num_heads": 2, "normalization": "batch"},
            "normalization must be 'layer_norm', 'rms_norm' or 'rms_scaling'; received 'batch'",
        ),
        ({"num_heads": 2, "activation": "tanh"}, "activation must be one of relu, gelu, swiglu; received 'tanh'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerEncoderBlock(intermediate_dim=12, **arguments).build(X.shape)


def test_cross_attention_where_there_is_none() -> None:
    block = TransformerDecoderBlock(2, 12, name="decoder_7")
    block.build(X.shape)
    message = "decoder_7 was built without an encoder sequence and has no cross-attention"
    with pytest.raises(ValueError, match=f"{message}; received one"):
        block(X, ENCODED)
    with pytest.raises(ValueError, match=message):
        block.project_encoder(ENCODED)


def test_no_sequence_to_attend_to(decoder: TransformerDecoderBlock) -> None:
    with pytest.raises(ValueError, match="needs `encoder_sequence` or `cross_attention_cache`; received neither"):
        decoder(X)
