"""A model whose normalisations were folded away says what it said before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_transformer.export.folding import folded, lean
from keras_transformer.export.tasks import find_task
from keras_transformer.export.text_export import TextExport
from keras_transformer.export.text_task import TextOptions
from keras_transformer.generation import TextToText
from keras_transformer.layers import RootMeanSquareScaling
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer
from tests.layers.reference import randomize

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SIZE = {"num_encoder_layers": 2, "num_decoder_layers": 2, "hidden_dim": 16, "intermediate_dim": 12, "num_heads": 4}
SOURCE = np.array([[3, 4, 5, 6, 7, 0, 0], [8, 9, 0, 0, 0, 0, 0]], dtype=np.int32)
TARGET = np.array([[1, 5, 6, 7, 8], [1, 9, 3, 0, 0]], dtype=np.int32)
INPUTS = {"source_ids": SOURCE, "target_ids": TARGET}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no biases": {"use_bias": False},
    "swiglu": {"activation": "swiglu"},
    "swiglu without biases": {"activation": "swiglu", "use_bias": False},
    "gelu, a large epsilon": {"activation": "gelu", "layer_norm_epsilon": 0.1},
    "grouped queries": {"num_key_value_heads": 2},
    "learned positions": {"positions": "learned", "max_length": 9},
    "layer normalisation at the end": {"decoder_normalization": "layer_norm"},
    "centered embeddings": {"center_embeddings": True},
    "copying": {"copy": True},
    "copying without biases": {"copy": True, "use_bias": False},
    "a window": {"attention_window": 2},
}


def make(**form: Any) -> Seq2SeqTransformer:
    model = Seq2SeqTransformer(13, **{**SIZE, "normalize_first": True, "dropout": 0.0, **form})
    randomize(model, scale=0.3)
    return model


@pytest.mark.parametrize("normalization", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_the_logits_are_the_same(normalization: str, form: dict[str, Any]) -> None:
    model = make(normalization=normalization, **form)
    found = folded(model)
    assert found is not model
    expected = np.asarray(model(INPUTS))
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(np.asarray(found(INPUTS)), expected, atol=1e-4)
    cache, memory = found.empty_cache(2, 6), found.memory(SOURCE)
    for i in range(TARGET.shape[1]):
        logits, cache, _ = found.step(ops.convert_to_tensor(TARGET[:, i]), i, cache, memory)
        np.testing.assert_allclose(np.asarray(logits), expected[:, i], atol=1e-4)


def test_nothing_is_left_of_the_normalisations() -> None:
    model = make()
    found = folded(model)
    blocks = [*found.encoder_blocks, *found.decoder_blocks]
    norms = [
        getattr(block, name)
        for block in blocks
        for name in dir(block)
        if name.endswith("n_norm") or name == "feed_forward_norm"
    ]
    assert len(norms) == 2 * 2 + 2 * 3
    assert all(isinstance(norm, RootMeanSquareScaling) for norm in [*norms, found.encoder_norm])
    assert type(found.decoder_norm) is type(model.decoder_norm)
    np.testing.assert_array_equal(found.token_embedding.embeddings, model.token_embedding.embeddings)
    assert found.count_params() < model.count_params()


def test_the_model_itself_stays_as_it_is() -> None:
    model = make()
    before = [weight.copy() for weight in model.get_weights()]
    assert folded(model) is not model
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize(
    "form", [{"normalize_first": False}, {"normalization": "rms_scaling"}, {"decoder_normalization": "rms_norm"}]
)
def test_there_is_nothing_to_fold(form: dict[str, Any]) -> None:
    model = make(**form)
    assert folded(model) is model


def test_folding_twice_is_folding_once() -> None:
    once = folded(make())
    assert folded(once) is once


def test_the_same_answers_in_strings() -> None:
    tokenizer = BytePieceTokenizer([b" a", b"man"])
    model = Seq2SeqTransformer(tokenizer.vocabulary_size, **SIZE, normalize_first=True)
    randomize(model, scale=0.3)
    predictor = TextToText(model, tokenizer, max_source_length=9, max_target_length=7)
    found = lean(predictor)
    assert (found.max_source_length, found.max_target_length) == (9, 7)
    source = [tokenizer.encode(text) for text in ("a man", "man a")]
    for (answer,), (expected,) in zip(found.search(source), predictor.search(source), strict=True):
        np.testing.assert_array_equal(answer.ids, expected.ids)
        assert answer.score == pytest.approx(expected.score, abs=1e-3)


def test_files_are_measured_by_what_they_hold(long_predictor: TextToText) -> None:
    """Without the weights that were folded away, or a large model would seem to have lost some."""
    export = TextExport(find_task("translation"), long_predictor, {}, [("a man", "")], TextOptions())  # type: ignore[arg-type]
    held = sum(int(np.prod(weight.shape)) for weight in lean(long_predictor).model.weights)
    assert export.weights == held < long_predictor.model.count_params()
