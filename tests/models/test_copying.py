"""Copying pieces of the source: against the paper's equations, by steps, saved and loaded, and in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.models.copying import CopyHead, mixed
from tests.layers.reference import dense, randomize, softmax

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SIZE = {"num_encoder_layers": 1, "num_decoder_layers": 2, "hidden_dim": 8, "intermediate_dim": 12, "num_heads": 2}
VOCABULARY = 13
SOURCE = np.array([[3, 4, 5, 4, 7, 0, 0], [8, 9, 9, 9, 0, 0, 0]], dtype=np.int32)
TARGET = np.array([[1, 5, 4, 7, 8], [1, 9, 3, 0, 0]], dtype=np.int32)
INPUTS = {"source_ids": SOURCE, "target_ids": TARGET}


def make(**options: Any) -> Seq2SeqTransformer:
    model = Seq2SeqTransformer(VOCABULARY, **{**SIZE, "normalize_first": True, "dropout": 0.0, "copy": True, **options})
    randomize(model, scale=0.4)
    return model


@pytest.fixture(scope="module")
def model() -> Seq2SeqTransformer:
    return make()


def reference(
    head: CopyHead, hidden: np.ndarray, encoded: np.ndarray, source: np.ndarray, logits: np.ndarray
) -> np.ndarray:
    """The probabilities `[t, v]` of one sentence, place by place of its source."""
    keys = dense(head.key, encoded)[source != 0]
    attention = softmax(dense(head.query, hidden) @ keys.T / np.sqrt(keys.shape[-1]))
    gate = 1 / (1 + np.exp(-dense(head.gate, np.concatenate([hidden, attention @ keys], axis=-1))))
    probabilities = gate * softmax(logits)
    for place, piece in enumerate(source[source != 0]):
        probabilities[:, piece] += (1 - gate[:, 0]) * attention[:, place]
    return np.asarray(probabilities)


def test_against_the_equations(model: Seq2SeqTransformer) -> None:
    assert model.copy_head is not None
    found = np.exp(np.asarray(model(INPUTS)))
    hidden = np.asarray(model.hidden_states(INPUTS))
    encoded = np.asarray(model.encode(SOURCE)[0])
    logits = hidden @ np.asarray(model.token_embedding.embeddings).T
    for row in range(2):
        expected = reference(model.copy_head, hidden[row], encoded[row], SOURCE[row], logits[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)
    assert found[0, 0].argmax() != softmax(logits)[0, 0].argmax() or not np.allclose(found, softmax(logits), atol=0.05)


def test_what_is_copied_alone_and_written_alone() -> None:
    attention = np.array([[[0.2, 0.5, 0.3]]], "float32")
    logits = np.log(np.array([[[0.1, 0.2, 0.3, 0.4]]], "float32"))
    source = np.array([[2, 1, 2]], np.int32)
    for gate, expected in ((-50.0, [0, 0.5, 0.5, 0]), (50.0, [0.1, 0.2, 0.3, 0.4]), (0.0, [0.05, 0.35, 0.4, 0.2])):
        found = np.exp(np.asarray(mixed(logits, np.full((1, 1), gate, "float32"), attention, source)))
        np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)


def test_padding_is_not_copied_and_changes_nothing(model: Seq2SeqTransformer) -> None:
    found = np.exp(np.asarray(model(INPUTS)))
    shorter = np.exp(np.asarray(model({"source_ids": SOURCE[1:, :4], "target_ids": TARGET[1:]})))
    np.testing.assert_allclose(found[1:], shorter, atol=1e-5)
    states = model.copy_states(INPUTS)
    assert not np.asarray(states.attention)[0, :, 5:].any()


def test_steps_equal_the_one_shot_call(model: Seq2SeqTransformer) -> None:
    expected = np.asarray(model(INPUTS))
    memory, cache = model.memory(SOURCE), model.empty_cache(2, 8)
    for i in range(TARGET.shape[1]):
        logits, cache, _ = model.step(ops.convert_to_tensor(TARGET[:, i]), i, cache, memory)
        np.testing.assert_allclose(np.asarray(logits), expected[:, i], atol=1e-4)


def test_hypotheses_share_a_source(model: Seq2SeqTransformer) -> None:
    """Three rows of each sentence, as a beam has them."""
    memory, cache = model.memory(SOURCE), model.empty_cache(6, 4)
    ids = np.array([1, 5, 6, 1, 7, 8], np.int32)
    logits = np.asarray(model.step(ops.convert_to_tensor(ids), 0, cache, memory).logits)
    for row, first in enumerate(ids):
        one = {"source_ids": SOURCE[row // 3 : row // 3 + 1], "target_ids": np.array([[first]], np.int32)}
        np.testing.assert_allclose(logits[row], np.asarray(model(one))[0, 0], atol=1e-4)


def test_a_source_of_one_piece(model: Seq2SeqTransformer) -> None:
    found = np.exp(np.asarray(model({"source_ids": np.array([[6]], np.int32), "target_ids": TARGET[:1]})))
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(model: Seq2SeqTransformer, policy: str) -> None:
    half = make(dtype=policy)
    half.set_weights(model.get_weights())
    output = half(INPUTS)
    assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix("mixed_")
    found = np.exp(np.asarray(ops.cast(output, "float32")))
    np.testing.assert_allclose(found, np.exp(np.asarray(model(INPUTS))), atol=0.1)


def test_saved_and_loaded(model: Seq2SeqTransformer, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_config() == model.get_config()
    assert loaded.copy is True
    np.testing.assert_array_equal(np.asarray(loaded(INPUTS)), np.asarray(model(INPUTS)))


def test_a_model_that_does_not_copy_has_nothing_of_it() -> None:
    plain = make(copy=False)
    assert plain.copy_head is None
    assert plain.memory(SOURCE).copy is None
    assert not [weight.path for weight in plain.weights if "copy" in weight.path]
