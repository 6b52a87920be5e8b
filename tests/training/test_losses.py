"""The loss without all logits, against the loss with them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.training import TokenObjective, TrainingModel, linear_cross_entropy
from keras_transformer.training.updates import weighed
from tests.layers.reference import randomize, softmax

POSITIONS, WIDTH, VOCABULARY = 11, 6, 9
RANDOM = np.random.default_rng(0)
HIDDEN = RANDOM.normal(size=(POSITIONS, WIDTH)).astype("float32")
EMBEDDINGS = RANDOM.normal(size=(VOCABULARY, WIDTH)).astype("float32")
LABELS = RANDOM.integers(0, VOCABULARY, size=POSITIONS).astype("int32")
WEIGHTS = np.array([1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0], dtype="float32")


def naive(smoothing: float, weights: np.ndarray) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Returns the sums and the gradients of the loss to hidden states and embeddings, from all logits at once."""
    logits = HIDDEN.astype("float64") @ EMBEDDINGS.T.astype("float64")
    log_probabilities = np.log(softmax(logits))
    onehot = np.eye(VOCABULARY)[LABELS]
    goal = (1 - smoothing) * onehot + smoothing / VOCABULARY
    sums = {
        "loss": -(weights[:, None] * goal * log_probabilities).sum(),
        "negative_log_likelihood": -(weights[:, None] * onehot * log_probabilities).sum(),
        "correct": weights[logits.argmax(axis=-1) == LABELS].sum(),
        "weight": weights.sum(),
    }
    d_logits = weights[:, None] * (softmax(logits) - goal)
    return sums, d_logits @ EMBEDDINGS, d_logits.T @ HIDDEN


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [WEIGHTS, np.zeros_like(WEIGHTS)], ids=["some padding", "padding alone"])
@pytest.mark.parametrize("chunk", [1, 4, 11, 512])
def test_sums_and_gradients_equal_the_naive_ones(smoothing: float, weights: np.ndarray, chunk: int) -> None:
    hidden, embeddings = tf.constant(HIDDEN), tf.Variable(EMBEDDINGS)
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        sums = linear_cross_entropy(hidden, embeddings, LABELS, weights, smoothing, chunk)
        loss = 3.0 * sums.loss
    d_hidden, d_embeddings = tape.gradient(loss, [hidden, embeddings])
    expected, expected_d_hidden, expected_d_embeddings = naive(smoothing, weights)
    for name, value in expected.items():
        assert float(getattr(sums, name)) == pytest.approx(value, abs=1e-5, rel=1e-5), name
    np.testing.assert_allclose(d_hidden, 3 * expected_d_hidden, atol=1e-5)
    np.testing.assert_allclose(tf.convert_to_tensor(d_embeddings), 3 * expected_d_embeddings, atol=1e-5)


def consistent(hidden: Any, embeddings: Any, weights: np.ndarray, smoothing: float, alpha: float) -> Any:
    """R-Drop's loss (https://arxiv.org/abs/2106.14448, equation 4, halved) from all logits, in float64."""
    logits = tf.reshape(tf.matmul(hidden, embeddings, transpose_b=True), (2, len(LABELS), VOCABULARY))
    logs = tf.nn.log_softmax(logits)
    goal = (1 - smoothing) * np.eye(VOCABULARY)[LABELS] + smoothing / VOCABULARY
    entropy = -tf.reduce_sum(goal * (logs[0] + logs[1]), axis=-1)
    first, second = tf.exp(logs[0]), tf.exp(logs[1])
    divergence = tf.reduce_sum(first * (logs[0] - logs[1]) + second * (logs[1] - logs[0]), axis=-1)
    return tf.reduce_sum(weights * (entropy + alpha / 2 * divergence)) / 2


@pytest.mark.parametrize("chunk", [2, 6, 512])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_consistency_equals_the_equation(chunk: int, smoothing: float) -> None:
    random = np.random.default_rng(8)
    both = np.concatenate([HIDDEN, HIDDEN + random.normal(scale=0.5, size=HIDDEN.shape).astype("float32")])
    hidden, embeddings = tf.constant(both, tf.float64), tf.constant(EMBEDDINGS, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([hidden, embeddings])
        expected = consistent(hidden, embeddings, WEIGHTS, smoothing, alpha=5.0)
    expected_gradients = tape.gradient(expected, [hidden, embeddings])
    one, other = tf.constant(both), tf.constant(EMBEDDINGS)
    with tf.GradientTape() as tape:
        tape.watch([one, other])
        sums = linear_cross_entropy(one, other, LABELS, WEIGHTS, smoothing, chunk, consistency=5.0)
    for found, wanted in zip(tape.gradient(sums.loss, [one, other]), expected_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert float(sums.loss) == pytest.approx(float(expected), abs=1e-4)
    assert float(sums.weight) == WEIGHTS.sum()
    halves = [linear_cross_entropy(half, EMBEDDINGS, LABELS, WEIGHTS) for half in np.split(both, 2)]
    for name in ("negative_log_likelihood", "correct"):
        mean = sum(float(getattr(half, name)) for half in halves) / 2
        assert float(getattr(sums, name)) == pytest.approx(mean, abs=1e-4)


def test_rows_computed_twice_alike_are_consistent(training_model: TrainingModel) -> None:
    """Without dropout both halves predict the same, and the loss is the plain one."""
    x, y = batch(4, 6, 7)
    expected, expected_gradients = loss_and_gradients(training_model, x, y)
    training_model.consistency, training_model.parts = 5.0, 2
    try:
        loss, gradients = loss_and_gradients(training_model, x, y)
    finally:
        training_model.consistency, training_model.parts = 0.0, 1
    assert loss == pytest.approx(expected, abs=1e-5)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, atol=1e-5)


def test_large_logits_give_numbers() -> None:
    sums = linear_cross_entropy(HIDDEN * 1000, EMBEDDINGS, LABELS, WEIGHTS, 0.1)
    assert np.isfinite([float(value) for value in sums]).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near(dtype: str) -> None:
    with tf.GradientTape() as tape:
        hidden, embeddings = tf.constant(HIDDEN), tf.Variable(EMBEDDINGS)
        tape.watch(hidden)
        sums = linear_cross_entropy(tf.cast(hidden, dtype), embeddings, LABELS, WEIGHTS, 0.1, 4)
    d_hidden, d_embeddings = tape.gradient(sums.loss, [hidden, embeddings])
    expected, expected_d_hidden, expected_d_embeddings = naive(0.1, WEIGHTS)
    assert keras.backend.standardize_dtype(sums.loss.dtype) == "float32"
    assert float(sums.loss) == pytest.approx(expected["loss"], rel=0.02)
    np.testing.assert_allclose(d_hidden, expected_d_hidden, atol=0.05)
    np.testing.assert_allclose(tf.convert_to_tensor(d_embeddings), expected_d_embeddings, atol=0.1)


SENTENCES = [([3, 4, 5], [6, 7]), ([5, 6, 7, 8], [3, 4, 5, 8]), ([8], [4])]


def batch(rows: int, source_length: int, target_length: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns the three sentences in a batch of any shape, filled up with padding."""
    source = np.zeros((rows, source_length), "int32")
    target, labels = np.zeros((2, rows, target_length), "int32")
    for row, (source_ids, target_ids) in enumerate(SENTENCES):
        source[row, : len(source_ids)] = source_ids
        target[row, : len(target_ids) + 1] = [1, *target_ids]
        labels[row, : len(target_ids) + 1] = [*target_ids, 2]
    return {"source_ids": source, "target_ids": target}, labels


@pytest.fixture(scope="module")
def training_model() -> TrainingModel:
    model = Seq2SeqTransformer(
        9, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=8, intermediate_dim=12, num_heads=2, dropout=0.0
    )
    randomize(model)
    return TrainingModel(model, TokenObjective(label_smoothing=0.1))


def loss_and_gradients(
    training_model: TrainingModel, x: dict[str, np.ndarray], y: np.ndarray
) -> tuple[float, list[Any]]:
    """Returns the mean over tokens, and its gradients, as the optimizer makes them of the gradients of the sum."""
    with tf.GradientTape() as tape:
        loss = training_model.compute_loss(x, y, training_model(x, training=True))
    variables = training_model.trainable_variables
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, [variable.value for variable in variables])]
    weight = float(gradients[-1])  # that of the token weight
    mean = float(loss) / weight if weight else float(loss)
    sums, factor = weighed(gradients, variables)
    return mean, [gradient.numpy() * np.asarray(factor) for gradient in sums]


@pytest.mark.parametrize("shape", [(3, 9, 5), (3, 4, 12), (8, 4, 5), (40, 12, 16)])
def test_padding_and_batch_shape_change_neither_loss_nor_gradients(
    training_model: TrainingModel, shape: tuple[int, int, int]
) -> None:
    expected, expected_gradients = loss_and_gradients(training_model, *batch(3, 4, 5))
    loss, gradients = loss_and_gradients(training_model, *batch(*shape))
    assert loss == pytest.approx(expected, abs=1e-5)
    assert sum(np.abs(gradient).max() > 0 for gradient in expected_gradients) > 20
    for variable, gradient, other in zip(
        training_model.model.trainable_variables, gradients, expected_gradients, strict=True
    ):
        np.testing.assert_allclose(gradient, other, atol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize("parts", [2, 3, 4, 5])
def test_parts_change_nothing(training_model: TrainingModel, parts: int) -> None:
    """Also where there are more parts than rows."""
    x, y = batch(4, 6, 7)
    expected, expected_gradients = loss_and_gradients(training_model, x, y)
    training_model.parts = parts
    try:
        loss, gradients = loss_and_gradients(training_model, x, y)
    finally:
        training_model.parts = 1
    assert loss == pytest.approx(expected, abs=1e-5)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, atol=1e-5)


def test_the_loss_is_that_of_all_logits(training_model: TrainingModel) -> None:
    x, y = batch(5, 6, 7)
    for mean in training_model.metrics:
        mean.reset_state()
    loss, _ = loss_and_gradients(training_model, x, y)
    log_probabilities = np.log(softmax(np.asarray(training_model.model(x)).astype("float64")))
    real = y != 0
    goal = 0.9 * np.eye(9)[y] + 0.1 / 9
    assert loss == pytest.approx(-(goal * log_probabilities)[real].sum() / real.sum(), abs=1e-5)
    found = {mean.name: float(mean.result()) for mean in training_model.metrics}
    assert found["loss"] == pytest.approx(loss, abs=1e-6)
    assert found["nll"] == pytest.approx(
        -np.take_along_axis(log_probabilities, y[..., None], -1)[real].mean(), abs=1e-5
    )
    assert found["token_accuracy"] == pytest.approx((log_probabilities.argmax(-1) == y)[real].mean(), abs=1e-6)


def test_metrics_are_means_over_tokens(training_model: TrainingModel) -> None:
    """Two batches of 9 and 1 labels count 9 to 1."""
    for mean in training_model.metrics:
        mean.reset_state()
    x, y = batch(3, 4, 5)
    first, _ = loss_and_gradients(training_model, x, y)
    only = np.zeros_like(y)
    only[2, 0] = y[2, 0]
    second, _ = loss_and_gradients(training_model, x, only)
    labels = int((y != 0).sum())
    expected = (labels * first + second) / (labels + 1)
    assert float(training_model.means["loss"].result()) == pytest.approx(expected, abs=1e-5)
    assert float(training_model.means["loss"].count) == labels + 1


def test_a_batch_of_padding_alone_costs_nothing(training_model: TrainingModel) -> None:
    x, y = batch(3, 4, 5)
    loss, gradients = loss_and_gradients(training_model, x, np.zeros_like(y))
    assert loss == 0
    assert all((gradient == 0).all() for gradient in gradients)
