"""A run directory with a tiny model of random weights, and what export makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml

import keras_transformer
from keras_transformer.export import export_run, report
from keras_transformer.generation import SearchOptions, TextToText
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
MAX_SOURCE_BYTES, MAX_TARGET_BYTES = 48, 24
SIZED_SOURCE_BYTES = 128
N_BEST, SAMPLES = SearchOptions(beam=3, n_best=3), SearchOptions(samples=4)
PIECES = [b" a", b" the", b"man", b" man", b"rides", b"\xc3\xa4", b" bike", b"ing", b"er", b"\xe3\x81", "のひ".encode()]
WORDS = ["a", "the", "man", "rides", "bike", "Käse", "und", "12", "über", "red", "Haus"]


def sentences(count: int) -> list[str]:
    return [" ".join(WORDS[(i * step) % len(WORDS)] for step in range(1, 2 + i % 5)) + "." for i in range(count)]


def randomize(model: keras.Model, seed: int, deviation: float = 0.45) -> None:
    """Sets weights at random, enough so that answers depend on the source; by the seed and nothing else."""
    for number, variable in enumerate(model.trainable_variables):
        mean = 1.0 if variable.path.endswith("/gamma") else 0.0
        variable.assign(np.random.default_rng([seed, number]).normal(mean, deviation, variable.shape))


def write_run(path: Path, max_target_length: int = 20, seed: int = 16, **model_arguments: Any) -> Path:
    """Writes a run directory as a training leaves it, as far as export reads it."""
    run = RunDirectory(path)
    run.path.mkdir(parents=True, exist_ok=True)
    tokenizer = BytePieceTokenizer(PIECES)
    blocks = {"num_encoder_layers": 1, "num_decoder_layers": 1, "num_heads": 2, **model_arguments}
    model = Seq2SeqTransformer(tokenizer.vocabulary_size, hidden_dim=16, intermediate_dim=32, **blocks, name="tiny")
    randomize(model, seed)
    embeddings = model.token_embedding.embeddings
    favoured = embeddings.numpy()
    favoured[tokenizer.end_id] *= 4  # some answers end, some do not, some are long
    favoured[-len(PIECES) :] *= 1.5
    embeddings.assign(favoured)
    limits = {"max_source_length": 32, "max_target_length": max_target_length}
    config = {"task": "translation", "tokenized": False, **limits}
    run.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    run.write_model(model)
    tokenizer.save(run.tokenizer)
    with warnings.catch_warnings():  # Keras, of TensorFlow's variables under NumPy 2
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        model.save_weights(run.weights)
    run.write_examples("test", [(text, text.upper()) for text in sentences(24)])
    return path


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def predictor(run_path: Path) -> TextToText:
    return keras_transformer.load(run_path)


@pytest.fixture(scope="session")
def artifact_path(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact folder, made once; not to be changed."""
    path = tmp_path_factory.mktemp("dist") / "tiny"
    # of 24 sentences by random weights every one that changes is points of BLEU: the gate has tests of its own
    room = {"max_source_bytes": MAX_SOURCE_BYTES, "max_target_bytes": MAX_TARGET_BYTES}
    export_run(run_path, path, max_loss=100, **room)
    return path


@pytest.fixture(scope="session")
def long_run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-norm model, which export folds, with long answers: too long for the room that a file tries first."""
    return write_run(tmp_path_factory.mktemp("runs") / "long", max_target_length=40, seed=3, normalize_first=True)


@pytest.fixture(scope="session")
def long_predictor(long_run_path: Path) -> TextToText:
    return keras_transformer.load(long_run_path)


def export_searching(run: Path, path: Path, search: SearchOptions | None, max_source_bytes: int, **more: Any) -> Path:
    """Exports a run with room for every whole answer, and without timing Keras."""
    room = {"max_source_bytes": max_source_bytes, "max_target_bytes": 200}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_keras_time", lambda *_: {"ms_per_sentence": None, "file_bytes": 1})
        export_run(run, path, **room, search=search, max_loss=100, **more)
    return path


@pytest.fixture(scope="session")
def n_best_path(long_run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with a beam, alignments and three sizes: of 16, 32 and 128 pieces. Not to be changed."""
    path = tmp_path_factory.mktemp("dist") / "beam"
    return export_searching(long_run_path, path, N_BEST, SIZED_SOURCE_BYTES, align=True)


@pytest.fixture(scope="session")
def samples_path(long_run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact folder whose files draw. Not to be changed."""
    path = tmp_path_factory.mktemp("dist") / "samples"
    return export_searching(long_run_path, path, SAMPLES, MAX_SOURCE_BYTES)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def fresh_python(code: str, folder: Path) -> str:
    """Runs code in a fresh interpreter, in a folder, and returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
