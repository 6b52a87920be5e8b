"""Strings in, labels out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_transformer
from keras_transformer._files import write_json
from keras_transformer.cli.predict import lines_of_run
from keras_transformer.errors import UserError
from keras_transformer.generation.options import SearchOptions
from keras_transformer.label_scores import probabilities_of
from keras_transformer.models import TextClassifier
from keras_transformer.predictors import TextToLabels
from keras_transformer.predictors.labels import load
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training import RunDirectory

TEXTS = ["the cat", "", "a much longer text about nothing at all", "hat"]
LABELS = ("in store", "größer", "other")


def predictor(kind: str = "single", **options: Any) -> TextToLabels:
    keras.utils.set_random_seed(1)
    tokenizer = BytePieceTokenizer([b"the", b" cat", b"hat"])
    numbers = {"num_encoder_layers": 1, "hidden_dim": 8, "intermediate_dim": 12, "num_heads": 2}
    model = TextClassifier(tokenizer.vocabulary_size, 3, **numbers)
    return TextToLabels(model, tokenizer, LABELS, kind, **{"max_length": 64, **options})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run as training leaves it."""
    made, directory = predictor(), RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.config.write_text("task: classification\nmax_length: 64\n...\n", encoding="utf-8")
    made.tokenizer.save(directory.tokenizer)
    directory.write_model(made.model)
    made.model.save_weights(directory.weights)
    write_json(directory.labels, {"kind": "single", "labels": LABELS, "temperature": 2.0})
    return directory


@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_a_text_is_answered_as_if_alone(batch_tokens: int) -> None:
    made = predictor(batch_tokens=batch_tokens)
    found = made.classify(TEXTS)
    for text, one in zip(TEXTS, found, strict=True):
        ids = np.pad(made.tokenizer.encode(text), (0, 1))[None].astype("int32")
        logits = np.asarray(made.model({"ids": ids}))[0]
        assert list(one.probabilities) == list(LABELS)
        np.testing.assert_allclose(
            list(one.probabilities.values()), probabilities_of(logits[None], "single")[0], atol=1e-5
        )
        assert one.labels == (LABELS[int(logits.argmax())],)
    assert made.predict(TEXTS) == [one.labels[0] for one in found]


def test_kinds() -> None:
    several = predictor("multi").classify(["the cat"])[0]
    assert set(several.labels) == {name for name, p in several.probabilities.items() if p >= 0.5}
    assert list(several.labels) == sorted(several.labels, key=lambda name: -several.probabilities[name])
    every = predictor("multi")
    every.temperature = 1e6  # all are of one half, or nearly so
    every.separator = " + "
    (shown,) = every.predict(["the cat"])
    assert shown == " + ".join(every.classify(["the cat"])[0].labels)
    numbers = predictor("regression")
    assert numbers.classify(["the cat"])[0].labels == ()
    assert len(numbers.predict(["the cat"])[0].split("\t")) == 3
    assert set(numbers.answers(["the cat"])[0]) == {"text", "values"}


def test_probabilities() -> None:
    logits = np.array([[1000.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(probabilities_of(logits, "single", 2.0)[1], [1 / (1 + np.e), np.e / (1 + np.e)])
    assert probabilities_of(logits, "single")[0].tolist() == [1.0, 0.0]
    np.testing.assert_allclose(probabilities_of(logits, "multi", 2.0)[1], [0.5, 1 / (1 + np.exp(-1))])
    assert (probabilities_of(logits, "regression", 2.0) == logits).all()


def test_long_texts() -> None:
    made = predictor(max_length=5)
    with pytest.warns(
        UserWarning, match="^text 3 has 39 pieces, more than the 5 this model was trained on: the answer"
    ):
        whole = made.classify(TEXTS)[2]
    with pytest.warns(UserWarning, match="it was cut there$"):
        cut = made.classify(TEXTS, cut=True)[2]
    assert cut == made.classify([TEXTS[2][:5]])[0]
    assert cut != whole
    with pytest.raises(TypeError, match="received one string"):
        made.predict("one")  # type: ignore[arg-type]


def test_a_document_of_a_megabyte_is_answered() -> None:
    made = predictor(max_length=16)
    with pytest.warns(UserWarning, match="it was cut there"):
        assert made.predict(["cat " * 250_000], cut=True)[0] in LABELS


def test_load(run: RunDirectory) -> None:
    for loaded in (keras_transformer.load(run.path), load(run.path)):
        assert (loaded.labels, loaded.kind, loaded.temperature, loaded.max_length) == (LABELS, "single", 2.0, 64)
        np.testing.assert_allclose(
            loaded.logits(loaded.encode(TEXTS)), predictor().logits(predictor().encode(TEXTS)), atol=1e-6
        )


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"kind": "single", "labels": ["a"]}, "is damaged: ValueError: labels.json does not fit the model"),
        ({"kind": "single", "labels": LABELS, "temperature": 0}, "labels.json has the temperature 0.0"),
        ({"kind": "single", "labels": LABELS, "temperature": float("nan")}, "labels.json has the temperature nan"),
        ({"kind": "odd", "labels": LABELS}, "is damaged: ValueError: labels.json does not fit the model"),
        ({"labels": LABELS}, "is damaged: KeyError: 'kind'"),
    ],
)
def test_damaged_labels(run: RunDirectory, saved: dict[str, Any], message: str) -> None:
    write_json(run.labels, saved)
    with pytest.raises(UserError, match=message):
        keras_transformer.load(run.path)


@pytest.mark.parametrize("name", ["PRESETS", "EncoderModel", "os.system", 7])
def test_a_class_that_is_no_model_with_a_predictor(run: RunDirectory, name: Any) -> None:
    write_json(run.model, {"class": name, "config": {}})
    with pytest.raises(UserError, match=f"is damaged: ValueError: model.json names the class {name!r}"):
        keras_transformer.load(run.path)


def test_lines() -> None:
    made = predictor()
    assert lines_of_run(made, None, False, False, None)(TEXTS) == [[answer] for answer in made.predict(TEXTS)]
    (line,) = lines_of_run(made, None, False, True, None)(["the cat"])[0]
    assert json.loads(line) == made.answers(["the cat"])[0]
    with pytest.raises(UserError, match=r"^--beam is for models that write text; this one does not$"):
        lines_of_run(made, SearchOptions(beam=4, length_penalty=0.5), False, False, None)
