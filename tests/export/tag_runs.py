"""Run directories of taggers with random weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from keras_transformer._files import write_json
from keras_transformer.models import TextTagger
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training import RunDirectory
from tests.export.conftest import PIECES, randomize, sentences

TAGS = ("B-größer Ort", "I-größer Ort", "O", "B-x", "I-x")
MAX_LENGTH = 24


def write_tag_run(path: Path, words: str = "space", **arguments: Any) -> Path:
    """Writes a run directory as the training of a tagger leaves it, as far as export reads it."""
    run = RunDirectory(path)
    run.path.mkdir(parents=True)
    tokenizer = BytePieceTokenizer(PIECES)
    numbers = {"num_encoder_layers": 1, "hidden_dim": 16, "intermediate_dim": 32, "num_heads": 2, **arguments}
    model = TextTagger(tokenizer.vocabulary_size, len(TAGS), **numbers, name="tiny")
    randomize(model, 7)
    if model.crf is not None:  # strong enough to change the answers
        model.crf.transitions.assign(np.random.default_rng(1).normal(0, 3, model.crf.transitions.shape))
    config = {"task": "tagging", "max_length": MAX_LENGTH}
    run.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    run.write_model(model)
    tokenizer.save(run.tokenizer)
    write_json(run.labels, {"labels": TAGS, "words": words})
    with warnings.catch_warnings():  # Keras, of TensorFlow's variables under NumPy 2
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        model.save_weights(run.weights)
    rows = [(text, "\t".join(TAGS[len(word) % len(TAGS)] for word in text.split(" "))) for text in sentences(24)]
    run.write_examples("test", rows, ("text", "tags"))
    return path
