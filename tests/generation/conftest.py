"""A small model of random weights whose answers differ in pieces and lengths, some with an end and some without."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_transformer.generation import TextToText
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer

PIECES = [b" a", b" the", b"man", b" man", b"ri", b"des", b" bike", b" in", b" red", b"er", "ä".encode()]
MAX_TARGET_LENGTH = 12


@pytest.fixture(scope="session")
def answering() -> TextToText:
    """Not to be changed."""
    tokenizer = BytePieceTokenizer(PIECES)
    keras.utils.set_random_seed(1)
    model = Seq2SeqTransformer(
        tokenizer.vocabulary_size,
        num_encoder_layers=1,
        num_decoder_layers=2,
        hidden_dim=16,
        intermediate_dim=16,
        num_heads=2,
        dropout=0.0,
    )
    random = np.random.default_rng(4)
    for weight in model.trainable_weights:
        scale = {"kernel": 0.7, "embeddings": 0.35}.get(weight.name)
        if scale is not None:
            values = random.normal(size=weight.shape) * scale
            if weight.name == "embeddings":
                values[tokenizer.end_id] *= 1.5
                values[-len(PIECES) :] *= 1.2
            weight.assign(values)
    return TextToText(model, tokenizer, max_source_length=32, max_target_length=MAX_TARGET_LENGTH)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """32 texts of 1 to 8 words."""
    words = ["a", "the", "man", "rides", "bike", "red", "in", "Käse", "12", "über"]
    return [" ".join(words[(i * step + step) % len(words)] for step in range(1, 2 + i % 8)) for i in range(32)]
