"""A small model of random weights whose answers differ in pieces and lengths, some with an end and some without."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.generation import TextToText
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text import BytePieceTokenizer

PIECES = [b" a", b" the", b"man", b" man", b"ri", b"des", b" bike", b" in", b" red", b"er", "ä".encode()]
WORDS = ["a", "the", "man", "rides", "bike", "red", "in", "Käse", "12", "über"]
MAX_TARGET_LENGTH = 12


@pytest.fixture(scope="session")
def answering() -> TextToText:
    """Not to be changed."""
    tokenizer = BytePieceTokenizer(PIECES)
    model = Seq2SeqTransformer(
        tokenizer.vocabulary_size,
        num_encoder_layers=1,
        num_decoder_layers=2,
        hidden_dim=16,
        intermediate_dim=16,
        num_heads=2,
        dropout=0.0,
        normalize_first=True,
    )
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        scale = {"kernel": 0.6, "embeddings": 0.4, "gamma": 1.0}.get(weight.name, 0.5)
        values = random.normal(size=weight.shape) * scale
        if weight.name == "embeddings":
            values[tokenizer.end_id] *= 2
        weight.assign(values)
    return TextToText(model, tokenizer, max_source_length=32, max_target_length=MAX_TARGET_LENGTH)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """32 texts of 1 to 4 words."""
    return [" ".join(WORDS[(i * 7 + step * (1 + i // 10)) % 10] for step in range(1 + i % 4)) for i in range(32)]
