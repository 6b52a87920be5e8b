"""Runs, exported files and saved models of version 0.1 still open, and answer as they did.

`version_0_1/` was made by version 0.1: for each task a small run directory, its exported file, and the answers of both;
three `.keras` files whose weights were all perturbed, and their outputs.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_transformer
from keras_transformer.export import open_artifact
from keras_transformer.models import Seq2SeqTransformer, TextClassifier, TextTagger

MADE = Path(__file__).parent / "version_0_1"
TASKS = ("classification", "tagging", "translation")


def made(name: str) -> Any:
    return json.loads((MADE / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", TASKS)
def test_a_run_answers_as_before(task: str) -> None:
    answers = made(f"{task}/answers.json")
    predictor = keras_transformer.load(MADE / task / "run")
    assert predictor.predict(answers["texts"]) == answers["run"]
    if "probabilities" in answers:
        for found, saved in zip(predictor.answers(answers["texts"]), answers["probabilities"], strict=True):
            assert found["probabilities"] == pytest.approx(saved, abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_an_exported_file_answers_as_before(task: str) -> None:
    answers = made(f"{task}/answers.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two answers were cut when the files were made
        assert open_artifact(MADE / task / "artifact").predict(answers["texts"]) == answers["file"]


MODELS = {"classifier": TextClassifier, "seq2seq": Seq2SeqTransformer, "tagger": TextTagger}


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_gives_the_same_output(name: str) -> None:
    saved = made("outputs.json")
    ids = np.array(saved["ids"], np.int32)
    inputs = {"source_ids": ids, "target_ids": ids[:, ::-1].copy()} if name == "seq2seq" else {"ids": ids}
    model = keras.models.load_model(MADE / f"{name}.keras")
    assert type(model) is MODELS[name]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(inputs)), saved[name], atol=2e-5)
