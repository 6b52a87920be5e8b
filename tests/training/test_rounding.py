"""Training with rounded weights makes a model ready for few bits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers.projection import Projection
from keras_transformer.layers.rounding import rounded
from keras_transformer.models import TextClassifier
from keras_transformer.quantization import BLOCKS_OF_4_BITS, GRIDS, ROWS_OF_8_BITS, Grid, grid_of, round_to
from keras_transformer.training import LabelObjective, TrainingConfig, compile_for_training
from keras_transformer.training.rounding import round_in_training, with_rounded

LABELS, PIECES, WIDTH = 8, 64, 32


@pytest.mark.parametrize("grid", [ROWS_OF_8_BITS, BLOCKS_OF_4_BITS])
def test_training_rounds_to_the_grid_of_the_exporter(grid: Any) -> None:
    matrix = np.random.default_rng(0).normal(0, 1, (48, 96)).astype(np.float32)
    matrix[5] = 0
    numbers, scales = round_to(matrix, grid)
    expected = (numbers.reshape(*scales.shape, -1) * scales[..., None]).reshape(matrix.shape)
    np.testing.assert_allclose(rounded(ops.convert_to_tensor(matrix), grid), expected, atol=1e-6)
    assert np.abs(expected - matrix).max() > 1e-3


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    layer = Projection(4)
    layer.build((None, WIDTH))
    layer.grid = BLOCKS_OF_4_BITS
    model = keras.Sequential([keras.Input((WIDTH,)), layer])
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=lambda y, x: ops.sum(x), jit_compile=False)
    before = ops.convert_to_numpy(layer.kernel).copy()
    model.train_on_batch(np.ones((1, WIDTH), np.float32), np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(before - ops.convert_to_numpy(layer.kernel), np.ones((WIDTH, 4)), rtol=1e-5)


def test_small_matrices_and_odd_rows() -> None:
    assert grid_of("int4", 8, 64) is None
    assert grid_of("int4", 64, 32) == BLOCKS_OF_4_BITS
    assert grid_of("int4", 64, 40) == ROWS_OF_8_BITS
    assert grid_of("int8", 64, 32) == ROWS_OF_8_BITS
    assert set(GRIDS) == {"int8", "int4"}


def classifier() -> TextClassifier:
    keras.utils.set_random_seed(0)
    numbers = {"num_encoder_layers": 1, "hidden_dim": WIDTH, "intermediate_dim": 64, "num_heads": 2, "dropout": 0.0}
    return TextClassifier(PIECES, LABELS, **numbers)


def batch() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Labels that hang on two pieces together: what rounding spoils."""
    random = np.random.default_rng(3)
    ids = random.integers(3, PIECES, (256, 6)).astype(np.int32)
    return {"ids": ids}, ((ids[:, 0] + ids[:, 1]) % LABELS).astype(np.int32)[:, None]


def loss(model: TextClassifier) -> float:
    inputs, labels = batch()
    logits = ops.convert_to_numpy(model(inputs, training=False))
    powers = logits - logits.max(axis=1, keepdims=True)
    logs = powers - np.log(np.exp(powers).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels[:, 0]].mean())


def train(model: TextClassifier, steps: int, quantize: str | None) -> None:
    config = TrainingConfig(steps=steps, learning_rate=3e-3, warmup_steps=1, averaging=None, quantize=quantize)
    training_model = compile_for_training(model, config, LabelObjective("single"))
    inputs, labels = batch()
    for _ in range(steps):
        training_model.train_on_batch(inputs, labels)


def test_it_lowers_the_loss_of_the_rounded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps more, with rounded weights and as usual, from the same weights; 2 bits, which small models feel."""
    monkeypatch.setitem(GRIDS, "int4", Grid(2, 32))
    model = classifier()
    train(model, 60, None)
    start = model.get_weights()
    losses = {}
    for quantize in ("int4", None):
        model.set_weights(start)
        train(model, 30, quantize)
        round_in_training(model, "int4")
        losses[quantize] = with_rounded(model, lambda: loss(model))()
    assert losses["int4"] < losses[None] - 0.02


def test_rounded_weights_are_put_back() -> None:
    model = classifier()
    round_in_training(model, "int4")
    kept = [ops.convert_to_numpy(weight).copy() for weight in model.weights]

    def stop() -> None:
        table = ops.convert_to_numpy(model.token_embedding.embeddings)
        assert not np.array_equal(table, kept[0])
        assert len(np.unique(table[0])) <= 16, "a row of one block"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with_rounded(model, stop)()
    for weight, before in zip(model.weights, kept, strict=True):
        np.testing.assert_array_equal(weight, before)
    round_in_training(model, None)
    assert model.token_embedding.grid is None


def test_quantize_is_checked() -> None:
    from keras_transformer.errors import UserError

    with pytest.raises(UserError, match=r"^quantize is 'int2', expected int8 or int4, or none$"):
        TrainingConfig(quantize="int2")
