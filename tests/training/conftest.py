"""A model that trains in a moment, and data that it can learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.data import Seq2SeqBatches, TokenStore
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.training import TokenObjective, TrainingConfig, TrainingModel, compile_for_training

VOCABULARY = 12


class Numbers:
    """A tokenizer of numbers separated by spaces."""

    def encode_batch(self, texts: Any) -> list[np.ndarray]:
        return [np.array(text.split(), dtype=np.int32) for text in texts]


@pytest.fixture(scope="session")
def make_batches(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seq2SeqBatches]:
    """Batches of short sentences whose target is the source backwards."""
    random = np.random.default_rng(0)
    rows = []
    for length in random.integers(1, 6, size=60):
        ids = [str(i) for i in random.integers(3, VOCABULARY, size=length)]
        rows.append((" ".join(ids), " ".join(reversed(ids))))
    folder: Path = tmp_path_factory.mktemp("data") / "train"
    TokenStore.write(folder, rows, ("source", "target"), Numbers(), (9, 9))

    def make(batch_tokens: int = 64) -> Seq2SeqBatches:
        return Seq2SeqBatches(TokenStore(folder), batch_tokens, seed=0, start_id=1, end_id=2, pad_id=0)

    return make


@pytest.fixture(scope="session")
def make_model() -> Callable[..., TrainingModel]:
    """New models with the same weights, compiled as recipes do it."""

    def make(config: TrainingConfig, **arguments: Any) -> TrainingModel:
        keras.utils.set_random_seed(config.seed)
        numbers = {"num_encoder_layers": 1, "num_decoder_layers": 1, "hidden_dim": 8, "intermediate_dim": 12}
        model = Seq2SeqTransformer(
            VOCABULARY, **{**numbers, "num_heads": 2, "dropout": 0.2, "dtype": config.dtype_policy, **arguments}
        )
        return compile_for_training(model, config, TokenObjective(config.label_smoothing))

    return make
