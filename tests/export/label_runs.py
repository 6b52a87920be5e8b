"""Run directories of classifiers with random weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import yaml

from keras_transformer._files import write_json
from keras_transformer.models import TextClassifier
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training import RunDirectory
from tests.export.conftest import PIECES, randomize, sentences

LABELS = ("in store", "größer", "other")
MAX_LENGTH = 24


def write_label_run(path: Path, kind: str = "single", temperature: float = 1.7, **arguments: Any) -> Path:
    """Writes a run directory as the training of a classifier leaves it, as far as export reads it."""
    run = RunDirectory(path)
    run.path.mkdir(parents=True)
    tokenizer = BytePieceTokenizer(PIECES)
    numbers = {"num_encoder_layers": 1, "hidden_dim": 16, "intermediate_dim": 32, "num_heads": 2, "convolution": 3}
    numbers.update(arguments)
    model = TextClassifier(tokenizer.vocabulary_size, len(LABELS), **numbers, name="tiny")
    randomize(model, 8)
    config = {"task": "classification", "max_length": MAX_LENGTH}
    run.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    run.write_model(model)
    tokenizer.save(run.tokenizer)
    write_json(run.labels, {"kind": kind, "labels": LABELS, "temperature": temperature})
    with warnings.catch_warnings():  # Keras, of TensorFlow's variables under NumPy 2
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        model.save_weights(run.weights)
    references = {
        "single": ("in store", "größer", "new"),
        "multi": ("in store|other", "größer"),
        "regression": ("1", "2"),
    }
    fields = ("text", *(LABELS if kind == "regression" else ("label",)))
    found = references[kind]
    rows = [(text, *[found[i % len(found)]] * (len(fields) - 1)) for i, text in enumerate(sentences(24))]
    run.write_examples("test", rows, fields)
    return path
