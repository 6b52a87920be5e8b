"""The choice of optimizers: clipping, norm, averages and decay against NumPy, and what stays frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.config import parse_config
from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.optimizers import (
    Adafactor,
    AdamW,
    Lion,
    NormAndAverages,
    freeze,
    make_optimizer,
    matches,
)

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@keras.saving.register_keras_serializable(package="test")
class PlainDescent(NormAndAverages, keras.optimizers.SGD):
    """The simplest optimizer, on which clipping and averages are seen at once."""


@dataclass
class Recipe:
    """The config of a recipe."""

    training: TrainingConfig = field(default_factory=TrainingConfig)


def clipped(gradient: np.ndarray, most: float | None) -> np.ndarray:
    norm = np.linalg.norm(gradient)
    return gradient if most is None or norm <= most else gradient * (most / norm)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_clipping_norm_and_averages_over_any_optimizer(clip_norm: float | None) -> None:
    random = np.random.default_rng(0)
    variables = [keras.Variable(np.ones((2, 2), "float32")), keras.Variable(np.ones(2, "float32"))]
    optimizer = PlainDescent(0.1, clip_norm=clip_norm, averaging=0.3)
    value = average = np.ones(6)
    for step in range(1, 6):
        gradient = random.normal(size=6).astype("float32") * step
        grads = [keras.ops.array(gradient[:4].reshape(2, 2)), keras.ops.array(gradient[4:])]
        optimizer.apply(grads, variables)
        assert float(optimizer.gradient_norm) == pytest.approx(float(np.linalg.norm(gradient)), rel=1e-5)
        value = value - 0.1 * clipped(gradient, clip_norm)
        share = min(0.3, (1 + step) / (10 + step))
        average = share * average + (1 - share) * value
    found = np.concatenate([np.asarray(variable).ravel() for variable in variables])
    np.testing.assert_allclose(found, value, rtol=1e-5)
    found = np.concatenate([np.asarray(variable).ravel() for variable in optimizer.averages])
    np.testing.assert_allclose(found, average, rtol=1e-5)


def lion(value: np.ndarray, gradients: list[np.ndarray], rate: float, decay: float) -> np.ndarray:
    """Algorithm 2 of https://arxiv.org/abs/2302.06675."""
    momentum = np.zeros_like(value)
    for gradient in gradients:
        value = value - rate * (np.sign(0.9 * momentum + 0.1 * gradient) + decay * value)
        momentum = 0.99 * momentum + 0.01 * gradient
    return value


def adamw(value: np.ndarray, gradients: list[np.ndarray], rate: float, decay: float) -> np.ndarray:
    """Algorithm 2 of https://arxiv.org/abs/1711.05101, the decay times the rate."""
    first = second = np.zeros_like(value)
    for step, gradient in enumerate(gradients, 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.98 * second + 0.02 * gradient**2
        update = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.98**step)) + 1e-9)
        value = value - rate * (update + decay * value)
    return value


class Weight(keras.layers.Layer):
    """Two weights with the paths of a kernel and a bias."""

    def build(self, shape: Any = None) -> None:
        self.kernel = self.add_weight(shape=(2, 2), initializer="ones", name="kernel")
        self.bias = self.add_weight(shape=(2,), initializer="ones", name="bias")


@pytest.mark.parametrize(("name", "reference"), [("lion", lion), ("adamw", adamw)])
def test_updates_equal_the_paper_and_biases_do_not_decay(name: str, reference: Callable[..., np.ndarray]) -> None:
    config = TrainingConfig(
        optimizer=name,
        weight_decay=0.5,
        schedule="constant",
        warmup_steps=1,
        learning_rate=0.01,
        clip_norm=None,
        averaging=None,
    )
    layer = Weight(name="dense")
    layer.build()
    optimizer = make_optimizer(config, layer.trainable_variables)
    random = np.random.default_rng(1)
    gradients = [random.normal(size=6).astype("float32") for _ in range(4)]
    for gradient in gradients:
        optimizer.apply(
            [keras.ops.array(gradient[:4].reshape(2, 2)), keras.ops.array(gradient[4:])], [layer.kernel, layer.bias]
        )
    kernel = reference(np.ones(4), [gradient[:4] for gradient in gradients], 0.01, 0.5)
    bias = reference(np.ones(2), [gradient[4:] for gradient in gradients], 0.01, 0.0)
    np.testing.assert_allclose(np.asarray(layer.kernel).ravel(), kernel, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.bias), bias, rtol=1e-5)


def test_adafactor_takes_relative_steps() -> None:
    """The first step moves a weight by rate times root mean square (https://arxiv.org/abs/1804.04235, algorithm 4)."""
    config = TrainingConfig(
        optimizer="adafactor", schedule="constant", warmup_steps=1, learning_rate=0.01, clip_norm=None
    )
    variable = keras.Variable(np.full((2, 3), 4.0, "float32"))
    optimizer = make_optimizer(config, [variable])
    optimizer.apply([keras.ops.ones((2, 3))], [variable])
    np.testing.assert_allclose(np.asarray(variable), 4.0 - 0.01 * 4.0, rtol=1e-4)


@pytest.mark.parametrize("cls", [AdamW, Lion, Adafactor])
def test_config_round_trip(cls: type) -> None:
    optimizer = cls(1e-3, clip_norm=0.5, averaging=0.9, weight_decay=0.1)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is cls
    assert again.name == cls.__name__.lower()
    assert again.get_config() == optimizer.get_config()
    assert (again.clip_norm, again.averaging, again.weight_decay) == (0.5, 0.9, 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam_w"}, "optimizer is 'adam_w', expected one of .* Did you mean 'adamw'"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0, expected 0 or more"),
        ({"weight_decay": 0.1}, "weight_decay is 0.1, expected 0 with optimizer adam; adamw is adam with weight decay"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "decay"),
    [
        (["--training.optimizer", "adamw"], 0.01),
        (["--training.optimizer", "adamw", "--training.weight_decay", "0"], 0.0),
        (["--training.optimizer", "lion"], None),
        (["--training.optimizer", "lion", "--training.weight_decay", "0.5"], 0.5),
        (["--training.optimizer", "adafactor", "--training.weight_decay", "0.5"], 0.5),
    ],
)
def test_adamw_decays_unless_told_otherwise(flags: list[str], decay: float | None) -> None:
    config = parse_config(Recipe, None, flags).training
    assert make_optimizer(config, []).weight_decay == decay


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("encoder_0", True),
        ("encoder_?", True),
        ("*/bias", True),
        ("*norm*", False),
        ("encoder", False),
        ("bias", False),
    ],
)
def test_patterns(pattern: str, fits: bool) -> None:
    assert matches("encoder_0/feed_forward/expand/bias", pattern) is fits


def test_frozen_weights_stay(make_model: Callable[..., Any]) -> None:
    training_model = make_model(TrainingConfig())
    model = training_model.model
    frozen = freeze(model, ["token_embedding", "encoder_*", "*norm*"])
    assert "token_embedding/embeddings" in frozen
    assert all(path.startswith(("token", "encoder")) or "norm" in path for path in frozen)
    training_model.compile(optimizer=make_optimizer(TrainingConfig(averaging=None), training_model.trainable_variables))
    before = {v.path: np.asarray(v).copy() for v in model.variables}
    ids = np.array([[3, 4], [5, 6]], "int32")
    training_model.train_on_batch({"source_ids": ids, "target_ids": ids}, ids)
    moved = {v.path for v in model.trainable_variables if (np.asarray(v) != before[v.path]).any()}
    stayed = {v.path for v in model.variables if (np.asarray(v) == before[v.path]).all()}
    assert set(frozen) <= stayed
    assert {"decoder_0/feed_forward/expand/kernel", "decoder_0/cross_attention/query/kernel"} <= moved


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["encodr_0"], r"freeze: no weight matches 'encodr_0'. Did you mean 'encoder_0'"),
        (
            ["decoder_*", "xyz"],
            r"freeze: no weight matches 'xyz'. The layers are token_embedding, encoder_0, decoder_0",
        ),
        (["*"], r"freeze: '\*' leave no weight to train, expected some to be left"),
    ],
)
def test_patterns_that_cannot_be_meant(patterns: list[str], message: str, make_model: Callable[..., Any]) -> None:
    model = make_model(TrainingConfig()).model
    trainable = len(model.trainable_variables)
    with pytest.raises(UserError, match=message):
        freeze(model, patterns)
    assert len(model.trainable_variables) == trainable
