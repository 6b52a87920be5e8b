"""The losses of a classifier against NumPy, and that neither padding nor the parts of a batch change them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer._gradients import gradient
from keras_transformer.models import TextClassifier
from keras_transformer.training import LabelObjective, TrainingModel
from tests.layers.reference import randomize, softmax

IDS = np.array([[5, 6, 7, 0], [8, 9, 0, 0], [4, 3, 9, 8]], "int32")
SINGLE = np.array([[2], [0], [1]], "int32")
MULTI = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], "int32")
VALUES = np.array([[1.5, 0.0, -3.0], [0.5, 9.0, 2.0], [4.0, 2.0, 1.0]], "float32")
LABELS = {"single": SINGLE, "multi": MULTI, "regression": VALUES}


def training_model(kind: str, parts: int = 1, consistency: float = 0.0, dropout: float = 0.0, **options: Any) -> Any:
    scale = {"scale": [1.0, 2.0, 4.0], "offset": [0.5, 0.0, 1.0]} if kind == "regression" else {}
    keras.utils.set_random_seed(0)
    model = TextClassifier(
        12, 3, num_encoder_layers=1, hidden_dim=8, intermediate_dim=12, num_heads=2, dropout=dropout, **scale
    )
    randomize(model)
    return TrainingModel(model, LabelObjective(kind, **options), parts=parts, consistency=consistency)


def loss_of(model: Any, ids: np.ndarray, labels: np.ndarray, training: bool = True) -> float:
    """Returns the mean loss over texts."""
    inputs = {"ids": ids}
    sums = model.sums(inputs, model(inputs, training=training), labels, training)
    return float(sums.loss) / float(sums.weight)


def padded(kind: str, labels: np.ndarray, rows: int) -> np.ndarray:
    filling: Any = np.nan if kind == "regression" else -1
    return np.concatenate([labels, np.full((rows, labels.shape[1]), filling, labels.dtype)])


@pytest.mark.parametrize("kind", ["single", "multi", "regression"])
def test_padding_and_parts_change_nothing(kind: str) -> None:
    expected = loss_of(training_model(kind), IDS, LABELS[kind])
    ids = np.pad(IDS, ((0, 4), (0, 3)))
    for parts in (1, 2, 3):
        assert loss_of(training_model(kind, parts), ids, padded(kind, LABELS[kind], 4)) == pytest.approx(
            expected, abs=1e-5
        )
    assert loss_of(training_model(kind, consistency=4.0), IDS, LABELS[kind]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["single", "multi", "regression"])
def test_gradients_of_padding_are_finite(kind: str) -> None:
    model = training_model(kind, consistency=1.0, dropout=0.2, adversarial=1.0)
    with tf.GradientTape() as tape:
        inputs = {"ids": np.pad(IDS, ((0, 2), (0, 0)))}
        loss = model.compute_loss(inputs, padded(kind, LABELS[kind], 2), model(inputs, training=True))
    found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    found = [tf.convert_to_tensor(one).numpy() for one in found]
    assert all(np.isfinite(one).all() for one in found)
    assert float(found[-1]) == pytest.approx(3 / 64)
    assert all(np.abs(one).max() > 0 for one in found)


def test_cross_entropy() -> None:
    model = training_model("single", label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5], focal=2.0)
    log_p = np.log(softmax(np.asarray(model.model({"ids": IDS})).astype("float64")))
    right = np.eye(3)[SINGLE[:, 0]]
    losses = -((0.9 * right + 0.1 / 3) * log_p).sum(-1)
    losses *= (1 - np.exp((right * log_p).sum(-1))) ** 2 * np.array([0.5, 1.0, 2.0])
    assert loss_of(model, IDS, SINGLE) == pytest.approx(losses.mean(), abs=1e-5)
    model.compute_loss({"ids": IDS}, SINGLE, model({"ids": IDS}, training=True))
    found = {mean.name: float(mean.result()) for mean in model.metrics}
    assert found["nll"] == pytest.approx(-(right * log_p).sum(-1).mean(), abs=1e-5)
    assert found["accuracy"] == pytest.approx((log_p.argmax(-1) == SINGLE[:, 0]).mean())


def test_binary_cross_entropy() -> None:
    model = training_model("multi", label_smoothing=0.2, class_weights=[1.0, 3.0, 0.5], focal=1.0)
    p = 1 / (1 + np.exp(-np.asarray(model.model({"ids": IDS})).astype("float64")))
    goal = 0.8 * MULTI + 0.1
    losses = -(goal * np.log(p) + (1 - goal) * np.log(1 - p))
    losses *= 1 - np.where(MULTI, p, 1 - p)
    losses *= np.where(MULTI, [1.0, 3.0, 0.5], 1.0)
    assert loss_of(model, IDS, MULTI) == pytest.approx(losses.mean(), abs=1e-5)
    model.compute_loss({"ids": IDS}, MULTI, model({"ids": IDS}, training=True))
    found = {mean.name: float(mean.result()) for mean in model.metrics}
    assert found["accuracy"] == pytest.approx(((p > 0.5) == MULTI).all(-1).mean())


def test_squared_error_in_units_of_the_scale() -> None:
    model = training_model("regression")
    errors = (np.asarray(model.model({"ids": IDS})) - VALUES) / [1.0, 2.0, 4.0]
    assert loss_of(model, IDS, VALUES) == pytest.approx(0.5 * (errors**2).mean(), rel=1e-5)
    model.compute_loss({"ids": IDS}, VALUES, model({"ids": IDS}, training=True))
    found = {mean.name: float(mean.result()) for mean in model.metrics}
    assert found["absolute_error"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)


def test_consistency_is_the_divergence_of_two_predictions() -> None:
    model = training_model("single", consistency=4.0)
    p, q = (np.random.default_rng(i).normal(size=(3, 3)).astype("float32") for i in (0, 1))
    sums = model.sums({"ids": IDS}, [np.concatenate([p, q])], SINGLE, training=True)
    log_p, log_q = np.log(softmax(p)), np.log(softmax(q))
    apart = ((np.exp(log_p) - np.exp(log_q)) * (log_p - log_q)).sum()
    right = np.eye(3)[SINGLE[:, 0]]
    expected = -0.5 * (right * (log_p + log_q)).sum() + apart
    assert float(sums.loss) == pytest.approx(expected, abs=1e-4)
    assert float(sums.weight) == 3


def test_mixup_mixes_vectors_and_losses() -> None:
    model = training_model("single", mixup=0.4)
    inputs = {"ids": IDS}
    outputs, share = model(inputs, training=True)[0]
    pooled = np.asarray(model.model.pooled(*model.model.encode(IDS)))
    share = float(share)
    assert 0.5 <= share <= 1
    mixed = np.asarray(model.model.outputs_of(share * pooled + (1 - share) * pooled[::-1]))
    np.testing.assert_allclose(np.asarray(outputs), mixed, atol=1e-5)
    log_p = np.log(softmax(mixed))
    labels = SINGLE[:, 0]
    own, other = (-np.take_along_axis(log_p, y[:, None], 1)[:, 0] for y in (labels, labels[::-1]))
    sums = model.sums(inputs, [(outputs, share)], SINGLE, training=True)
    assert float(sums.loss) == pytest.approx((share * own + (1 - share) * other).sum(), abs=1e-4)
    assert np.asarray(model(inputs, training=False)[0]).shape == (3, 3)  # no mixing but in training


def test_adversarial_loss_is_higher() -> None:
    plain, moved = training_model("single"), training_model("single", adversarial=0.5)
    loss, raised = loss_of(plain, IDS, SINGLE), loss_of(moved, IDS, SINGLE)
    assert raised > loss + 1e-3
    assert loss_of(moved, IDS, SINGLE, training=False) == pytest.approx(loss, abs=1e-6)


def test_gradient() -> None:
    x = keras.ops.convert_to_tensor([1.0, -2.0])
    np.testing.assert_allclose(np.asarray(gradient(lambda x: keras.ops.sum(x * x), x)), [2.0, -4.0])


def test_no_such_kind() -> None:
    with pytest.raises(ValueError, match="kind must be one of single, multi, regression; received 'triple'"):
        LabelObjective("triple")
