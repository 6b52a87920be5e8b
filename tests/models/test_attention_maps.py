"""The attention maps are those of the ordinary forward pass."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from keras_transformer.layers import MultiHeadAttention
from keras_transformer.models import Seq2SeqTransformer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SOURCE = np.array([[5, 6, 7, 8], [9, 4, 0, 0]], "int32")
TARGET = np.array([[1, 7, 6, 5, 3], [1, 4, 9, 0, 0]], "int32")


@pytest.fixture(params=[{}, {"normalize_first": True, "num_key_value_heads": 2, "positions": "learned"}])
def model(request: pytest.FixtureRequest) -> Seq2SeqTransformer:
    numbers = {"num_encoder_layers": 2, "num_decoder_layers": 3, "hidden_dim": 16, "intermediate_dim": 24}
    return Seq2SeqTransformer(12, **numbers, num_heads=4, dropout=0.5, **request.param)


def test_they_are_what_the_forward_pass_attends_with(
    model: Seq2SeqTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {name: np.asarray(maps) for name, maps in model.attention_maps(SOURCE, TARGET).items()}
    seen: list[np.ndarray] = []
    call = MultiHeadAttention.call

    @functools.wraps(call)
    def recording(self: MultiHeadAttention, *args: Any, **options: Any) -> Any:
        output, scores = call(self, *args, **{**options, "return_attention_scores": True})
        seen.append(np.asarray(scores))
        return output

    monkeypatch.setattr(MultiHeadAttention, "call", recording)
    model.hidden_states({"source_ids": SOURCE, "target_ids": TARGET}, training=False)
    expected = {"encoder": seen[:2], "decoder": seen[2::2], "cross": seen[3::2]}
    for name, maps in found.items():
        np.testing.assert_allclose(maps, np.stack(expected[name], axis=1), atol=1e-6, err_msg=name)


def test_shapes_and_rows(model: Seq2SeqTransformer) -> None:
    maps = model.attention_maps(SOURCE, TARGET)
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        "encoder": (2, 2, 4, 4, 4),
        "decoder": (2, 3, 4, 5, 5),
        "cross": (2, 3, 4, 5, 4),
    }
    for value in maps.values():
        np.testing.assert_allclose(np.asarray(value).sum(-1), 1, atol=1e-5)
    assert np.asarray(maps["cross"])[1, ..., 2:].max() < 1e-6  # padding of the second source
    assert np.triu(np.asarray(maps["decoder"])[0, 0, 0], 1).max() < 1e-6
