"""The encoder-decoder: against the paper's equations, step by step, under padding, and as an ordinary Keras model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.errors import UserError
from keras_transformer.models import PRESETS, Seq2SeqTransformer, preset_config
from tests.layers.reference import causal, decoder_block, encoder_block, norm, randomize, sine_positions

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

VOCABULARY = 13
SIZE = {"num_encoder_layers": 2, "num_decoder_layers": 2, "hidden_dim": 8, "intermediate_dim": 12, "num_heads": 4}
KINDS: dict[str, dict[str, Any]] = {
    "post-norm": {},
    "pre-norm": {
        "normalize_first": True,
        "normalization": "rms_norm",
        "activation": "swiglu",
        "num_key_value_heads": 2,
    },
    "learned": {"positions": "learned", "max_length": 9, "activation": "gelu"},
}
FOLDED = {
    "normalize_first": True,
    "normalization": "rms_scaling",
    "decoder_normalization": "layer_norm",
    "center_embeddings": True,
}
SOURCE = np.array([[3, 4, 5, 6, 7, 0, 0], [8, 9, 0, 0, 0, 0, 0]], dtype=np.int32)
TARGET = np.array([[1, 5, 6, 7, 8], [1, 9, 3, 0, 0]], dtype=np.int32)
INPUTS = {"source_ids": SOURCE, "target_ids": TARGET}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Seq2SeqTransformer:
    made = Seq2SeqTransformer(VOCABULARY, **SIZE, dropout=0.5, **KINDS[request.param])
    randomize(made, scale=0.2)
    return made


@pytest.fixture(scope="module")
def plain() -> Seq2SeqTransformer:
    """One model where the kind does not matter."""
    made = Seq2SeqTransformer(VOCABULARY, **{**SIZE, "num_encoder_layers": 1, "num_decoder_layers": 1}, dropout=0.5)
    randomize(made, scale=0.2)
    return made


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-5, rtol=1e-5)


def reference(model: Seq2SeqTransformer, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Logits `[t, v]` of one sentence without padding."""
    matrix = np.asarray(model.token_embedding.embeddings)

    def embedded(ids: np.ndarray, positions: Any) -> np.ndarray:
        learned = model.positions == "learned"
        table = np.asarray(positions.embeddings)[: len(ids)] if learned else sine_positions(len(ids), model.hidden_dim)
        return matrix[ids] * math.sqrt(model.hidden_dim) + table

    encoded = embedded(source, model.source_positions)
    for block in model.encoder_blocks:
        encoded = encoder_block(block, encoded, np.ones((len(source), len(source)), bool))
    encoded = norm(model.encoder_norm, encoded) if model.normalize_first else encoded
    x = embedded(target, model.target_positions)
    for block in model.decoder_blocks:
        x = decoder_block(block, x, causal(len(target)), encoded, np.ones((len(target), len(source)), bool))
    return (norm(model.decoder_norm, x) if model.normalize_first else x) @ matrix.T


def test_logits_equal_the_equations(model: Seq2SeqTransformer) -> None:
    logits = np.asarray(model(INPUTS))
    assert logits.shape == (2, 5, VOCABULARY)
    for row, (source_length, target_length) in enumerate([(5, 5), (2, 3)]):
        expected = reference(model, SOURCE[row, :source_length], TARGET[row, :target_length])
        np.testing.assert_allclose(logits[row, :target_length], expected, atol=1e-4, rtol=1e-4)


def test_steps_equal_the_one_shot_logits(model: Seq2SeqTransformer) -> None:
    expected = np.asarray(model(INPUTS))
    memory, cache = model.memory(SOURCE), model.empty_cache(2, 8)
    for i in range(5):
        logits, cache, _ = model.step(
            ops.convert_to_tensor(TARGET[:, i]), ops.convert_to_tensor(i, dtype="int32"), cache, memory
        )
        assert logits.dtype == "float32"
        close(logits, expected[:, i])


def test_hypotheses_share_the_memory_of_their_sentence(model: Seq2SeqTransformer) -> None:
    """Two hypotheses a sentence: the steps of both are those of the sentence twice, and so is where they look."""
    ids = ops.convert_to_tensor(np.stack([TARGET[:, 1], TARGET[:, 2]], axis=1).reshape(-1))
    shared = model.step(ids, 0, model.empty_cache(4, 3), model.memory(SOURCE), return_attention=True)
    twice = model.memory(np.repeat(SOURCE, 2, axis=0))
    expected = model.step(ids, 0, model.empty_cache(4, 3), twice, return_attention=True)
    close(shared.logits, expected.logits)
    close(shared.attention, expected.attention)


def test_the_alignment_is_the_attention_of_the_steps(model: Seq2SeqTransformer) -> None:
    found = np.asarray(model.alignment(SOURCE, TARGET))
    cache, memory = model.empty_cache(2, 8), model.memory(SOURCE)
    for i in range(TARGET.shape[1]):
        _, cache, attention = model.step(ops.convert_to_tensor(TARGET[:, i]), i, cache, memory, return_attention=True)
        close(found[:, i], attention)
    close(found.sum(axis=-1), np.ones_like(found[..., 0]))
    assert (found[1, :, 2:] < 1e-6).all()  # the second source has two ids
    last = model.num_decoder_layers - 1
    heads = [np.asarray(model.alignment(SOURCE, TARGET, [(last, head)])) for head in range(model.num_heads)]
    close(np.mean(heads, axis=0), found)
    with pytest.raises(ValueError, match="no cross-attention head 9 in block 0; there are"):
        model.alignment(SOURCE, TARGET, [(0, 9)])


def test_padding_of_the_source_changes_nothing(model: Seq2SeqTransformer) -> None:
    wider = np.pad(SOURCE, ((0, 0), (0, 6)))
    close(model({"source_ids": wider, "target_ids": TARGET}), model(INPUTS))


def test_a_sentence_does_not_depend_on_its_batch(model: Seq2SeqTransformer) -> None:
    alone = model({"source_ids": SOURCE[1:, :2], "target_ids": TARGET[1:, :3]})
    close(alone, np.asarray(model(INPUTS))[1:, :3])


def test_later_target_tokens_change_nothing(model: Seq2SeqTransformer) -> None:
    changed = TARGET.copy()
    changed[:, 3:] = 11
    before, after = np.asarray(model(INPUTS)), np.asarray(model({"source_ids": SOURCE, "target_ids": changed}))
    close(after[:, :3], before[:, :3])
    assert np.abs(after[:, 3:] - before[:, 3:]).max() > 1e-2


def test_an_empty_source_gives_numbers(model: Seq2SeqTransformer) -> None:
    assert np.isfinite(np.asarray(model({"source_ids": np.zeros((2, 4), "int32"), "target_ids": TARGET}))).all()


def test_dropout_works_in_training_only(plain: Seq2SeqTransformer) -> None:
    first = np.asarray(plain(INPUTS, training=False))
    np.testing.assert_array_equal(first, np.asarray(plain(INPUTS)))
    assert (np.asarray(plain(INPUTS, training=True)) != first).any()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(plain: Seq2SeqTransformer, policy: str) -> None:
    half = Seq2SeqTransformer.from_config({**plain.get_config(), "dtype": policy, "name": "half"})
    half.set_weights(plain.get_weights())
    logits = half(INPUTS)
    assert keras.backend.standardize_dtype(logits.dtype) == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in half.trainable_weights} == {"float32"}
    expected = np.asarray(plain(INPUTS))
    found = np.asarray(ops.cast(logits, "float32"))
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    one, *_ = half.step(ops.convert_to_tensor(TARGET[:, 0]), 0, half.empty_cache(2, 4), half.memory(SOURCE))
    assert one.dtype == "float32"


def test_config_round_trip(model: Seq2SeqTransformer) -> None:
    config = json.loads(json.dumps(model.get_config()))
    again = Seq2SeqTransformer.from_config(config)
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(np.asarray(again(INPUTS)), np.asarray(model(INPUTS)))


def test_config_of_a_folded_model() -> None:
    """What `export.folding` makes has two arguments that no recipe sets."""
    model = Seq2SeqTransformer(VOCABULARY, **SIZE, **FOLDED)
    randomize(model, scale=0.2)
    config = json.loads(json.dumps(model.get_config()))
    assert {name: config[name] for name in FOLDED} == FOLDED
    again = Seq2SeqTransformer.from_config(config)
    assert again.get_config() == model.get_config()
    assert [weight.path for weight in again.weights] == [weight.path for weight in model.weights]
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(np.asarray(again(INPUTS)), np.asarray(model(INPUTS)))
    assert not model.encoder_norm.weights, "no weights"
    assert len(model.decoder_norm.weights) == 2, "its own kind"


def test_centered_embeddings_have_no_mean() -> None:
    model = Seq2SeqTransformer(VOCABULARY, **SIZE, **FOLDED)
    embedded = np.asarray(model._embedded(TARGET, model.target_positions))
    close(embedded.mean(axis=-1), np.zeros(TARGET.shape))
    plain = Seq2SeqTransformer(VOCABULARY, **SIZE, **{**FOLDED, "center_embeddings": False})
    plain.set_weights(model.get_weights())
    expected = np.asarray(plain._embedded(TARGET, plain.target_positions))
    close(embedded, expected - expected.mean(axis=-1, keepdims=True))
    assert np.abs(expected.mean(axis=-1)).max() > 0.01


def test_steps_of_a_folded_model_equal_the_one_shot_logits() -> None:
    model = Seq2SeqTransformer(VOCABULARY, **SIZE, **FOLDED)
    randomize(model, scale=0.2)
    expected = np.asarray(model(INPUTS))
    memory, cache = model.memory(SOURCE), model.empty_cache(2, 8)
    for i in range(5):
        logits, cache, _ = model.step(ops.convert_to_tensor(TARGET[:, i]), i, cache, memory)
        close(logits, expected[:, i])


def test_saved_and_loaded(plain: Seq2SeqTransformer, tmp_path: Path) -> None:
    plain.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded, Seq2SeqTransformer)
    assert loaded.get_config() == plain.get_config()
    np.testing.assert_array_equal(np.asarray(loaded(INPUTS)), np.asarray(plain(INPUTS)))
    close(loaded.memory(SOURCE).key_values[0], plain.memory(SOURCE).key_values[0])


def test_an_ordinary_keras_model(plain: Seq2SeqTransformer, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    plain.summary(print_fn=lambda line, line_break=True: lines.append(line))
    assert f"Total params: {plain.count_params():,}" in "\n".join(lines)
    model = keras.models.clone_model(plain)
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0))
    before = model.get_weights()
    history = model.fit(INPUTS, TARGET, epochs=1, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert any((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))
    assert model.predict(INPUTS, verbose=0).shape == (2, 5, VOCABULARY)


def paper_weights(numbers: dict[str, Any], vocabulary: int, final_norms: bool) -> int:
    """Counts the weights that the paper's equations have, the embeddings shared three ways."""
    w, f = numbers["hidden_dim"], numbers["intermediate_dim"]
    attention, feed_forward, norms = 4 * (w * w + w), 2 * w * f + f + w, 2 * w
    encoder = numbers["num_encoder_layers"] * (attention + feed_forward + 2 * norms)
    decoder = numbers["num_decoder_layers"] * (2 * attention + feed_forward + 3 * norms)
    return vocabulary * w + encoder + decoder + (2 * norms if final_norms else 0)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("tiny", (4, 4, 128, 256, 4)),
        ("small", (4, 4, 256, 1024, 4)),
        ("base", (6, 6, 512, 2048, 8)),
        ("big", (6, 6, 1024, 4096, 16)),
    ],
)
def test_numbers_of_the_presets(preset: str, expected: tuple[int, ...]) -> None:
    assert tuple(preset_config(preset)[name] for name in SIZE) == expected


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_weights_of_a_preset(preset: str) -> None:
    model = Seq2SeqTransformer.from_preset(preset, vocabulary_size=5, dropout=0.0)
    assert model.count_params() == paper_weights(PRESETS[preset], 5, model.normalize_first)


def test_base_and_big_are_those_of_the_paper() -> None:
    """Table 3: 65 and 213 million, with a shared vocabulary of about 37,000."""
    for preset, millions in (("base", 65), ("big", 213)):
        assert paper_weights(PRESETS[preset], 37_000, False) == pytest.approx(millions * 1e6, rel=0.04)
        assert not PRESETS[preset].get("normalize_first", False)
    assert PRESETS["big"]["dropout"] == 0.3


def test_overrides_of_a_preset() -> None:
    model = Seq2SeqTransformer.from_preset("tiny", 5, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=8)
    assert (model.num_encoder_layers, model.hidden_dim, model.intermediate_dim) == (1, 8, 256)


def test_unknown_preset() -> None:
    with pytest.raises(UserError, match=r"no preset 'bsae'; there are tiny, small, base, big. Did you mean 'base'\?"):
        Seq2SeqTransformer.from_preset("bsae", 5)


def test_a_preset_cannot_be_changed_by_accident() -> None:
    preset_config("tiny")["hidden_dim"] = 1
    assert preset_config("tiny")["hidden_dim"] == 128


def test_unknown_positions() -> None:
    with pytest.raises(ValueError, match="positions must be 'sine' or 'learned'; received 'rotary'"):
        Seq2SeqTransformer(5, **SIZE, positions="rotary")


def test_memory_options_change_no_answer(plain: Seq2SeqTransformer) -> None:
    options = {"attention_chunk": 2, "rematerialize": True, "stochastic_depth": 0.5}
    lean = Seq2SeqTransformer.from_config({**plain.get_config(), **options, "name": "lean"})
    assert {name: lean.get_config()[name] for name in options} == options
    lean.set_weights(plain.get_weights())
    close(lean(INPUTS), plain(INPUTS))
    close(lean.memory(SOURCE).key_values[0].keys, plain.memory(SOURCE).key_values[0].keys)
    close(lean.alignment(SOURCE, TARGET), plain.alignment(SOURCE, TARGET))


def test_stochastic_depth_rises_with_depth() -> None:
    size = {**SIZE, "num_encoder_layers": 4, "num_decoder_layers": 2}
    model = Seq2SeqTransformer(VOCABULARY, **size, stochastic_depth=0.4)
    assert [block.stochastic_depth for block in model.encoder_blocks] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [block.stochastic_depth for block in model.decoder_blocks] == pytest.approx([0.2, 0.4])
