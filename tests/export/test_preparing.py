"""A run of a model that is trained for few bits, from another run."""

from __future__ import annotations

import csv
import random
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

import keras_transformer
from keras_transformer import cli
from keras_transformer.errors import UserError
from keras_transformer.export import preparing, quantize_train
from keras_transformer.export.preparing import SIMPLE
from keras_transformer.recipes import classification
from keras_transformer.training import RunDirectory, TrainingConfig
from keras_transformer.training.config import EncoderConfig

WORDS = {"north": ["snow", "ice"], "south": ["sand", "sun"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of a few steps."""
    folder, draw = tmp_path_factory.mktemp("trained"), random.Random(0)
    labels = [draw.choice(list(WORDS)) for _ in range(120)]
    with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((f"the {draw.choice(WORDS[n])} of {n}", n) for n in labels)])
    training = TrainingConfig(steps=6, evaluate_every=6, batch_tokens=200, warmup_steps=2, averaging=None)
    model = EncoderConfig(num_encoder_layers=1, hidden_dim=32, intermediate_dim=64, num_heads=2)
    config = classification.Config(
        data=str(folder / "data.csv"), run=str(folder / "run"), vocabulary_size=264, model=model, training=training
    )
    classification.main(config)
    return folder / "run"


def test_a_new_run_is_trained_for_it(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    before = keras_transformer.load(trained)
    command = ["quantize-train", str(trained), "--output", str(new), "--precision", "int4", "--steps", "4"]
    assert cli.main(command) == 0
    said = capsys.readouterr()
    assert '"accuracy"' in said.out
    best = RunDirectory(trained).read_json(RunDirectory(trained).metrics)["best_score"]
    assert f"with weights of int4, {best:.2f} before in float32\n" in said.err
    config = yaml.safe_load((new / "config.yaml").read_text())
    assert config["training"]["quantize"] == "int4"
    assert (config["training"]["steps"], config["training"]["learning_rate"]) == (4, preparing.LEARNING_RATE)
    assert RunDirectory(new).read_json(RunDirectory(new).metrics)["best_step"] in range(1, 5)
    after = keras_transformer.load(new)
    assert after.labels == before.labels
    pairs = list(zip(before.model.get_weights(), after.model.get_weights(), strict=True))
    assert max(np.abs(a - b).max() for a, b in pairs) > 0, "it was trained"
    steps, rate = 4, preparing.LEARNING_RATE
    assert max(np.abs(a - b).max() for a, b in pairs) < 3 * steps * rate, "from the weights that were there"
    kept = keras_transformer.load(RunDirectory(new).origin)
    for mine, theirs in zip(before.model.get_weights(), kept.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    read = [RunDirectory(path).read_rows("test", ["text"]) for path in (trained, RunDirectory(new).origin)]
    assert read[0] == read[1]


def test_the_origin_of_a_run_trained_twice_is_the_first(long_run_path: Path, tmp_path: Path) -> None:
    once, twice = RunDirectory(tmp_path / "once"), RunDirectory(tmp_path / "twice")
    for source, new in ((RunDirectory(long_run_path), once), (once, twice)):
        new.path.mkdir()
        preparing._fill(source, new)
        new.config.write_text((long_run_path / "config.yaml").read_text())
    assert (twice.origin / "model.weights.h5").read_bytes() == (long_run_path / "model.weights.h5").read_bytes()


def test_a_pre_norm_model_is_trained_as_it_is_exported(long_run_path: Path, tmp_path: Path) -> None:
    new = RunDirectory(tmp_path / "new")
    new.path.mkdir()
    preparing._fill(RunDirectory(long_run_path), new)
    new.config.write_text((long_run_path / "config.yaml").read_text())
    before, after = keras_transformer.load(long_run_path), keras_transformer.load(new.path)
    assert (before.model.normalization, after.model.normalization) == ("layer_norm", "rms_scaling")
    ids = {"source_ids": np.array([[5, 6, 7]]), "target_ids": np.array([[1, 9, 8]])}
    np.testing.assert_allclose(after.model(ids), before.model(ids), atol=1e-4)


def test_what_is_refused(trained: Path, tmp_path: Path) -> None:
    message = r"^precision is 'float16': no training is for that. There are: int8, int8_static, int4.$"
    with pytest.raises(UserError, match=message):
        quantize_train(classification, trained, tmp_path / "new", "float16")
    with pytest.raises(UserError, match=r"run exists already; give another --output$"):
        quantize_train(classification, trained, trained, "int4")
    assert not list(tmp_path.iterdir())


def test_the_simple_training_has_fields_that_there_are() -> None:
    assert set(SIMPLE) <= {field.name for field in fields(TrainingConfig)}
