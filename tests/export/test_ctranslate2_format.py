"""The CTranslate2 form against Keras: the same weights in another engine give the same numbers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ctranslate2")

from keras_transformer.errors import UserError
from keras_transformer.export import ExportError, ctranslate2_format
from keras_transformer.export.ctranslate2_format import (
    check_agreement,
    check_expressible,
    export_ctranslate2,
    save_ctranslate2,
    verify,
)
from keras_transformer.export.ctranslate2_model import CTranslate2Model, spell, spelled_vocabulary, unspell
from keras_transformer.export.progress import Steps
from keras_transformer.export.text_artifact import RawAnswer
from keras_transformer.export.verify_folder import digest
from keras_transformer.generation import TextToText
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer
from tests.export.conftest import PIECES, randomize, read_json, sentences

ROOT = Path(__file__).resolve().parents[2]
MAX_TARGET_PIECES = 20

FORMS: dict[str, dict[str, Any]] = {
    "post-norm": {},
    "pre-norm": {"normalize_first": True},
    "gelu, another epsilon": {"activation": "gelu", "layer_norm_epsilon": 0.1},
    "swiglu": {"activation": "swiglu", "normalize_first": True},
    "swiglu without biases": {"activation": "swiglu", "use_bias": False},
    "rms_norm": {"normalization": "rms_norm", "layer_norm_epsilon": 0.1},
    "rms_norm, pre-norm": {"normalization": "rms_norm", "normalize_first": True},
    "learned positions, fewer than pieces": {"positions": "learned", "max_length": 7},
    "grouped-query": {"num_key_value_heads": 2},
    "multi-query, pre-norm": {"num_key_value_heads": 1, "normalize_first": True},
    "key-value heads named though they are all": {"num_key_value_heads": 4},
}


def make_predictor(**form: Any) -> TextToText:
    """Returns a model of random weights; unlike numbers of encoder and decoder blocks, lest they be confused."""
    tokenizer = BytePieceTokenizer(PIECES)
    model = Seq2SeqTransformer(
        tokenizer.vocabulary_size, 1, 2, hidden_dim=16, intermediate_dim=24, **{"num_heads": 4, **form}
    )
    randomize(model, seed=5, deviation=0.35)
    return TextToText(model, tokenizer, max_source_length=32, max_target_length=MAX_TARGET_PIECES)


def keras_score(predictor: TextToText, source: bytes, answer: list[int]) -> np.ndarray:
    """Returns the log-probability of each id of an answer, by one call of the model."""
    inputs = {
        "source_ids": predictor.tokenizer.encode(source)[None],
        "target_ids": np.array([[predictor.tokenizer.start_id, *answer[:-1]]], np.int32),
    }
    logits = keras.ops.log_softmax(predictor.model(inputs, training=False), axis=-1)
    return np.asarray(logits)[0, np.arange(len(answer)), answer]


def keras_best(predictor: TextToText, texts: Sequence[str | bytes]) -> list[Any]:
    """Returns Keras's own greedy answers in ids."""
    return [best for best, *_ in predictor.search(predictor.tokenizer.encode_batch(texts))]


@pytest.fixture(scope="module")
def folder(predictor: TextToText, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the run; not to be changed."""
    path = tmp_path_factory.mktemp("ct2") / "model"
    save_ctranslate2(predictor, path)
    predictor.tokenizer.save(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


# ---- Spelling


def test_spelling_is_that_of_gpt_2() -> None:
    assert spell(b" man") == "Ġman"
    assert spell("ä\n".encode()) == "Ã¤Ċ"
    assert unspell("ĠCaf\u00c3\u00a9") == " Café".encode()


@given(st.lists(st.binary(min_size=1, max_size=24), max_size=20))
def test_spelling_can_be_undone(pieces: list[bytes]) -> None:
    spelled = [spell(piece) for piece in pieces]
    assert [unspell(name) for name in spelled] == pieces
    assert all(name.isprintable() and not re.search(r"\s", name) for name in spelled)


def test_every_id_has_a_spelling_of_its_own() -> None:
    tokenizer = BytePieceTokenizer([b"<pad>", b"<start>", b"<end>", b"\xe2\x96\x81<pad>", b"\r\n", b"\x00\x00"])
    spelled = spelled_vocabulary(tokenizer)
    assert len(set(spelled)) == tokenizer.vocabulary_size
    assert spelled[:3] == ["<pad>", "<start>", "<end>"]
    assert [unspell(name) for name in spelled] == tokenizer.pieces


def test_what_spells_no_piece() -> None:
    with pytest.raises(ValueError, match=re.escape("'a b' spells no piece: no byte is spelled ' '")):
        unspell("a b")


# ---- The numbers


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_probabilities_are_those_of_keras(form: dict[str, Any], tmp_path: Path) -> None:
    """Of given answers, in one call, and of what a beam finds step by step with caches."""
    predictor = make_predictor(**form)
    save_ctranslate2(predictor, tmp_path)
    model = CTranslate2Model(tmp_path, predictor.tokenizer)
    spelled = spelled_vocabulary(predictor.tokenizer)
    sources = [b"a", b"the man rides", "über a bike のひと 0123456789".encode()]  # of unlike lengths, in one batch
    answers = [[5, 200, 265], [260], [*range(100, 117)]]
    scored = model.translator.score_batch(
        [[spelled[id] for id in predictor.tokenizer.encode(source)] for source in sources],
        [[spelled[id] for id in answer] for answer in answers],
    )
    for source, answer, found in zip(sources, answers, scored, strict=True):
        expected = keras_score(predictor, source, [*answer, predictor.tokenizer.end_id])
        np.testing.assert_allclose(found.log_probs, expected, rtol=1e-4, atol=1e-4)

    found = model.translator.translate_batch(
        [[spelled[id] for id in predictor.tokenizer.encode(source)] for source in sources],
        beam_size=3,
        num_hypotheses=3,
        length_penalty=0,
        max_decoding_length=8,
        min_decoding_length=0,
        return_scores=True,
        return_end_token=True,
    )
    for source, result in zip(sources, found, strict=True):
        for names, score in zip(result.hypotheses, result.scores, strict=True):
            expected = keras_score(predictor, source, [spelled.index(name) for name in names])
            assert score == pytest.approx(expected.sum(), rel=1e-4, abs=1e-3)


def test_weights_are_stored_once(folder: Path, predictor: TextToText) -> None:
    model, slack = predictor.model, 8192  # names and shapes
    positions = model.max_length * model.hidden_dim
    size = (folder / "model.bin").stat().st_size
    assert 0 <= size - 4 * (model.count_params() + positions) < slack


def test_greedy_answers_are_those_of_keras(folder: Path, predictor: TextToText) -> None:
    texts = sentences(24)
    expected = keras_best(predictor, texts)
    found = [answers[0] for answers in CTranslate2Model(folder).generate(texts)]
    assert len({answer.text for answer in found}) > 8, "a model that says the same to all proves nothing"
    assert [answer.text for answer in found] == [predictor.tokenizer.decode(answer.ids) for answer in expected]
    np.testing.assert_allclose([a.score for a in found], [a.score for a in expected], rtol=1e-4)
    assert [bool(a.status & 2) for a in found] == [not answer.is_complete for answer in expected]
    assert {a.status for a in found} == {0, 2}


def test_a_beam_gives_the_best_first(folder: Path) -> None:
    model, texts = CTranslate2Model(folder), sentences(6)
    greedy = model.generate(texts)
    beam = model.generate(texts, beam=4, n_best=3)
    assert [len(answers) for answers in beam] == [3] * 6
    for answers, (single,) in zip(beam, greedy, strict=True):
        scores = [answer.score for answer in answers]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > single.score - 1e-4
    assert model.predict(texts, beam=4) == [answers[0].text for answers in beam]


def test_a_length_penalty_divides_by_a_power_of_the_pieces(folder: Path, predictor: TextToText) -> None:
    texts = sentences(12)
    expected = [(found.score, len(found.piece_log_probabilities)) for found in keras_best(predictor, texts)]
    scores = [answers[0].score for answers in CTranslate2Model(folder).generate(texts, length_penalty=0.5)]
    np.testing.assert_allclose(scores, [score / pieces**0.5 for score, pieces in expected], rtol=1e-4)


def test_int8_scores_are_near(folder: Path, predictor: TextToText) -> None:
    texts = sentences(8)
    expected = keras_best(predictor, texts)
    found = [answers[0] for answers in CTranslate2Model(folder, compute_type="int8").generate(texts)]
    pairs = zip(found, expected, strict=True)
    same = [(f.score, e.score) for f, e in pairs if f.text == predictor.tokenizer.decode(e.ids)]
    assert len(same) >= 3
    assert all(score == pytest.approx(wanted, abs=1) for score, wanted in same)
    assert not all(score == pytest.approx(wanted, abs=1e-3) for score, wanted in same), "the weights are still float32"


def test_empty_texts_and_any_bytes(folder: Path, predictor: TextToText) -> None:
    model = CTranslate2Model(folder)
    assert model.generate([]) == []
    assert model.generate(["", "a", ""], beam=2, n_best=2)[::2] == [[("", 0.0, 0)]] * 2
    source = bytes(range(256))[:32]
    (answer,) = model.run([source])[0]
    assert answer.text == predictor.tokenizer.decode_bytes(keras_best(predictor, [source])[0].ids)


def test_a_text_too_long_is_cut(copy: Path, folder: Path) -> None:
    config = read_json(copy / "config.json")
    assert config["max_source_pieces"] == 1024
    (copy / "config.json").write_text(json.dumps({**config, "max_source_pieces": 5}))
    model = CTranslate2Model(copy)
    with pytest.warns(
        UserWarning, match=r"^text 2 has more than the 5 pieces that this model takes: it was cut there$"
    ):
        found = model.generate(["12345", "1234567"])
    assert found[1][0].text == found[0][0].text != CTranslate2Model(folder).predict(["1234567"])[0]
    assert [answers[0].status & 1 for answers in found] == [0, 1]


# ---- Verification


def test_a_tie_is_told_from_another_difference() -> None:
    """Two pieces of one embedding have one logit at every step: which of them comes out is chance."""
    predictor = make_predictor()
    tokenizer, embeddings = predictor.tokenizer, predictor.model.token_embedding.embeddings
    source = b"the man rides"
    first, *_ = keras_best(predictor, [source])[0].ids
    twin = 200 if first != 200 else 201
    values = embeddings.numpy()
    values[twin] = values[first]
    embeddings.assign(values)
    best = keras_best(predictor, [source])[0]
    ids = best.ids
    own = tokenizer.decode_bytes(ids)
    other = tokenizer.decode_bytes([twin if ids[0] == first else first, *ids[1:]])

    def answering(text: bytes) -> dict[str, Any]:
        model = types.SimpleNamespace(run=lambda sources, beam: [[RawAnswer(text, 0.0, 0)]])
        return verify(predictor, model, [source.decode()], Steps())

    same = answering(own)
    score = same.pop("largest_score_difference")
    assert same == {"sentences": 1, "agreement_with_keras": 100.0, "ties": 0, "differences": []}
    assert score == pytest.approx(-best.score, abs=1e-5)  # the other says 0
    tie = answering(other)
    assert (tie["agreement_with_keras"], tie["ties"], tie["differences"][0]["why"]) == (0.0, 1, "tie")
    check_agreement(tie)
    unlike = answering(b"Hello.")
    assert (unlike["ties"], unlike["differences"][0]["why"]) == (0, "other")
    with pytest.raises(
        ExportError, match=r"to 0\.0 % of 1 test sentences, expected 99\.5 % or more; to 'the man rides'"
    ):
        check_agreement(unlike)


def test_nothing_to_verify_with(predictor: TextToText, folder: Path) -> None:
    with pytest.raises(UserError, match=r"^there are no sentences to verify with: the test split is empty$"):
        verify(predictor, CTranslate2Model(folder), [], Steps())


# ---- The folder


@pytest.fixture(scope="module")
def exported(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "tiny"
    export_ctranslate2(run_path, path)
    return path


def test_the_folder_is_whole_and_its_manifest_true(exported: Path, predictor: TextToText) -> None:
    manifest = read_json(exported / "manifest.json")
    names = {"model.bin", "config.json", "shared_vocabulary.json", "byte_pieces.json", "README.md"}
    assert {path.name for path in exported.iterdir()} == names | {"manifest.json"}
    assert [path.name for path in exported.parent.iterdir()] == [exported.name], "something was left beside"
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: digest(exported / name) for name in names
    }
    assert manifest["format"] == "keras-transformer ctranslate2 1"
    assert manifest["weights"] == predictor.model.count_params()
    assert manifest["limits"] == {"max_target_pieces": 20, "trained_source_pieces": 32}
    assert manifest["verification"]["sentences"] == 24
    assert manifest["verification"]["agreement_with_keras"] >= 95.8  # one tie is allowed
    assert 0 < manifest["verification"]["largest_score_difference"] < 1e-3
    assert {"ctranslate2", "keras-transformer"} <= set(manifest["versions"])


def test_the_readme_s_python_runs_without_keras_and_tensorflow(exported: Path, predictor: TextToText) -> None:
    readme = (exported / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    code += "\nimport sys; assert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=exported, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best, n_best = done.stdout.splitlines()
    assert best.startswith("[")
    assert n_best.count("Answer(") == 4
    assert len(readme.splitlines()) < 20


def test_a_wrong_conversion_is_not_exported(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = ctranslate2_format._position_table
    monkeypatch.setattr(ctranslate2_format, "_position_table", lambda *given: np.roll(positions(*given), -1, axis=0))
    with pytest.raises(ExportError, match=r"^CTranslate2 gives Keras's answer to \d+\.\d % of 24 test sentences, exp"):
        export_ctranslate2(run_path, tmp_path / "dist" / "wrong")
    assert list((tmp_path / "dist").iterdir()) == []


def test_what_stands_at_the_output(exported: Path, run_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"{exported} exists already; give another --output, or --force")):
        export_ctranslate2(run_path, exported)
    old = Path(shutil.copytree(exported, tmp_path / "old"))
    (old / "README.md").write_text("old")
    export_ctranslate2(run_path, old, force=True)
    assert (old / "README.md").read_text(encoding="utf-8") == (exported / "README.md").read_text(encoding="utf-8")
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="is no artifact folder"):
        export_ctranslate2(run_path, tmp_path / "mine", force=True)


# ---- Mistakes


def test_a_model_that_cannot_be_expressed() -> None:
    with pytest.raises(UserError, match=r"^no CTranslate2 form for the model Sequential, only for Seq2SeqTransformer$"):
        check_expressible(keras.Sequential())
    model = make_predictor().model
    model.activation = "silu"
    with pytest.raises(
        UserError, match=r"^CTranslate2 has no form for activation 'silu' of this model, only for relu, gelu, swiglu$"
    ):
        check_expressible(model)


def test_ctranslate2_is_not_installed(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r"^CTranslate2 is not installed; .* '\.\[ctranslate2\]'$"):
        export_ctranslate2(run_path, tmp_path / "new")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compute_type": "int9"}, "no compute type 'int9' on this processor. Did you mean 'int8'"),
        ({"threads": 0}, "threads is 0, expected 1 or more"),
        ({"tokenizer": BytePieceTokenizer([b"ab"])}, "shared_vocabulary.json is not of this tokenizer; give the one"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        CTranslate2Model(folder, **arguments)


@pytest.mark.parametrize(("beam", "n_best"), [(0, 1), (2, 3), (2, 0)])
def test_a_wrong_beam(folder: Path, beam: int, n_best: int) -> None:
    with pytest.raises(UserError, match=f"^n_best is {n_best} and beam {beam}, expected n_best from 1 to beam$"):
        CTranslate2Model(folder).generate(["a"], beam=beam, n_best=n_best)


def test_one_string_is_no_list(folder: Path) -> None:
    with pytest.raises(TypeError, match="received one string"):
        CTranslate2Model(folder).predict("a man")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.bin", b"", "model is damaged or no model folder: "),
        ("model.bin", None, "model is damaged or no model folder: "),
        ("config.json", b"{", "config.json is damaged: JSONDecodeError; export the run again"),
        ("config.json", b"{}", "config.json names no limits: export the run again"),
        ("config.json", None, "model is no model folder of CTranslate2: it has no config.json"),
        ("shared_vocabulary.json", b"[]", "shared_vocabulary.json is not of this tokenizer"),
        ("byte_pieces.json", None, "byte_pieces.json: no such file"),
    ],
)
def test_a_damaged_folder(copy: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        CTranslate2Model(copy)
    assert "\n" not in str(error.value)
