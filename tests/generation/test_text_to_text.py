"""Strings in, strings out: order, limits, empty and strange text, and loading of runs that are whole or damaged."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_transformer
from keras_transformer.errors import UserError
from keras_transformer.generation import TextToText
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training import RunDirectory
from tests.layers.reference import randomize

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning"),
]

TEXTS = ["a man", "the man rides a bike", "", "ein Rad", "the", "grün 🚲\0\n"]


@pytest.fixture(scope="module")
def tokenizer() -> BytePieceTokenizer:
    return BytePieceTokenizer([b"a ", b"man", b"the ", b"ri", b"des ", b"bike"])


@pytest.fixture(scope="module")
def model(tokenizer: BytePieceTokenizer) -> Seq2SeqTransformer:
    keras.utils.set_random_seed(0)  # the weights that are changed are random too
    made = Seq2SeqTransformer(
        tokenizer.vocabulary_size,
        num_encoder_layers=1,
        num_decoder_layers=1,
        hidden_dim=8,
        intermediate_dim=8,
        num_heads=2,
        dropout=0.0,
        name="translator",
    )
    randomize(made, scale=0.5)
    return made


@pytest.fixture(scope="module")
def translator(model: Seq2SeqTransformer, tokenizer: BytePieceTokenizer) -> TextToText:
    return TextToText(model, tokenizer, max_source_length=24, max_target_length=5)


@pytest.fixture(scope="module")
def run(model: Seq2SeqTransformer, tokenizer: BytePieceTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, made by hand."""
    directory = RunDirectory(tmp_path_factory.mktemp("runs") / "mine")
    directory.path.mkdir(parents=True, exist_ok=True)
    directory.config.write_text("max_source_length: 24\nmax_target_length: 5\n")
    directory.write_model(model)
    tokenizer.save(directory.tokenizer)
    model.save_weights(directory.weights)
    return directory.path


def test_answers_stand_in_order_and_do_not_depend_on_their_batch(translator: TextToText) -> None:
    found = translator.generate(TEXTS)
    assert found[2] == ("", 0.0, 0, 0.0, True, ())
    assert translator.predict(TEXTS) == [answer.text for answer in found]
    assert len({round(answer.score, 3) for answer in found}) == len(TEXTS), "equal answers prove little"
    for text, answer in zip(TEXTS, found, strict=True):
        alone = translator.generate([text])[0]
        assert (alone.text, alone.pieces) == (answer.text, answer.pieces)
        assert alone.score == pytest.approx(answer.score, abs=1e-4)


def test_the_score_is_that_of_the_pieces(translator: TextToText) -> None:
    source = translator.tokenizer.encode("the man")[None]
    found = translator.decoder().predict_on_batch(source)
    ids, length = found["ids"][0, 0], int(found["lengths"][0, 0])
    scored = ids[: length + 1]  # the end too, where it was reached
    target = np.concatenate([[translator.tokenizer.start_id], scored[:-1]])[None].astype("int32")
    logits = np.asarray(translator.model({"source_ids": source, "target_ids": target}))[0].astype("float64")
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = log_probabilities[np.arange(len(scored)), scored].sum()
    answer = translator.generate(["the man"])[0]
    assert answer.score == answer.log_probability == pytest.approx(expected, abs=1e-4)
    each = log_probabilities[np.arange(len(scored)), scored]
    assert answer.piece_log_probabilities == pytest.approx(tuple(each), abs=1e-4)
    assert answer.pieces == length
    assert answer.text == translator.tokenizer.decode(ids[:length])


def test_nothing_in_nothing_out(translator: TextToText) -> None:
    assert translator.predict([]) == []
    assert translator.predict(["", ""]) == ["", ""]


def test_one_string_is_refused(translator: TextToText) -> None:
    with pytest.raises(TypeError, match="predict and generate take a list of strings; received one string"):
        translator.predict("a man")


def test_batches_keep_within_their_tokens(translator: TextToText) -> None:
    sources = [np.ones(length, np.int32) for length in [3, 17, 0, 8, 9, 24, 1, 30]]
    translator.batch_tokens, before = 48, translator.batch_tokens
    try:
        batches = list(translator._batches(sources))
    finally:
        translator.batch_tokens = before
    assert sorted(row for batch in batches for row in batch) == [0, 1, 3, 4, 5, 6, 7]
    assert [len(translator._padded([sources[row] for row in batch])) for batch in batches] == [len(b) for b in batches]
    assert all(translator._padded([sources[row] for row in batch]).size <= 48 for batch in batches)
    assert batches[0] == [7]


def test_a_text_over_the_limit_is_answered_with_a_warning(translator: TextToText) -> None:
    long = "xyz" * 9
    message = (
        r"text 2 has 27 pieces, more than the 24 this model was trained on: "
        r"the answer may be poor; cut=True \(--cut\) cuts it there"
    )
    with pytest.warns(UserWarning, match=message):
        whole = translator.generate(["a man", long])[1]
    with pytest.warns(UserWarning, match=r"text 1 has 27 pieces, .* trained on: it was cut there"):
        cut = translator.generate([long], cut=True)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "text [0-9]+ has an answer that")
        within = translator.generate([long[:24]], cut=True)[0]
    assert cut == within
    assert cut.score != whole.score


def test_a_run_is_loaded_whole(run: Path, translator: TextToText) -> None:
    loaded = keras_transformer.load(run)
    assert loaded.predict(TEXTS) == translator.predict(TEXTS)
    assert (loaded.max_source_length, loaded.max_target_length) == (24, 5)
    assert loaded.model.dtype_policy.name == "float32"


def damaged(run: Path, tmp_path: Path, file: str, content: Any) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return copy


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.yaml", None, "is no run directory: it has no config.yaml"),
        ("model.json", None, "model.json is missing; .* take it up with --resume"),
        ("model.weights.h5", None, "model.weights.h5 is missing; the training has not reached its first evaluation"),
        ("tokenizer/byte_pieces.json", None, "byte_pieces.json: no such file"),
        ("tokenizer/byte_pieces.json", "{", "byte_pieces.json: damaged tokenizer: not valid JSON"),
        ("model.json", "{", "model.json is damaged: "),
        ("model.json", "[]", "is damaged: TypeError"),
        ("model.json", '{"class": "Seq2SeqTransformer"}', "is damaged: KeyError: 'config'"),
        ("model.json", '{"class": "os.system", "config": {}}', "is damaged: .* names the class 'os.system'"),
        ("model.json", '{"class": "Seq2SeqTransformer", "config": {"depth": 3}}', "is damaged: TypeError"),
        ("config.yaml", "max_source_length: [", "config.yaml:1: not YAML: expected"),
        ("config.yaml", "max_source_length: many\nmax_target_length: 5", "is damaged: ValueError"),
        ("config.yaml", "- 1", "is damaged: TypeError"),
        ("config.yaml", b"\xff\xfe\x00", "config.yaml: not UTF-8 text: byte 0xff at 0"),
        ("model.weights.h5", b"", "model.weights.h5 is damaged or of another model: "),
        ("model.weights.h5", b"no weights" * 99, "model.weights.h5 is damaged or of another model: "),
    ],
)
def test_a_damaged_run_is_told_in_one_line(run: Path, tmp_path: Path, file: str, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        keras_transformer.load(damaged(run, tmp_path, file, content))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_off_weights(run: Path, tmp_path: Path, share: float) -> None:
    whole = (run / "model.weights.h5").read_bytes()
    copy = damaged(run, tmp_path, "model.weights.h5", whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"model.weights.h5 is damaged or of another model: "):
        keras_transformer.load(copy)


def test_parts_that_do_not_belong_together(run: Path, tmp_path: Path) -> None:
    saved = json.loads((run / "model.json").read_text())
    saved["config"]["hidden_dim"] = 16
    message = (
        r"model\.weights\.h5 is of another model: it has layers/token_embedding/vars/0 \[265, 8\] where this one has "
    )
    with pytest.raises(UserError, match=message + r"layers/token_embedding/vars/0 \[265, 16\]$") as raised:
        keras_transformer.load(damaged(run, tmp_path / "width", "model.json", json.dumps(saved)))
    assert "\n" not in str(raised.value)
    saved["config"].update(hidden_dim=8, vocabulary_size=99)
    with pytest.raises(UserError, match="is damaged: the tokenizer has 265 pieces, the model 99"):
        keras_transformer.load(damaged(run, tmp_path / "vocabulary", "model.json", json.dumps(saved)))


def test_no_such_run(run: Path) -> None:
    with pytest.raises(UserError, match=r"no run directory '.*/mien'\. Did you mean '.*/mine'\?"):
        keras_transformer.load(run.parent / "mien")
