"""The loss of a model that copies, without all logits, against the loss from the whole mixture."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.models.copying import CopyStates, mixed
from keras_transformer.training import TokenObjective, TrainingModel
from keras_transformer.training.copy_loss import copy_cross_entropy
from tests.layers.reference import randomize

BATCH, LENGTH, SOURCE_LENGTH, WIDTH, VOCABULARY = 2, 5, 7, 6, 9
RANDOM = np.random.default_rng(0)
HIDDEN = RANDOM.normal(size=(BATCH, LENGTH, WIDTH)).astype("float32")
EMBEDDINGS = RANDOM.normal(size=(VOCABULARY, WIDTH)).astype("float32")
GATE = RANDOM.normal(size=(BATCH, LENGTH)).astype("float32")
LOOKS = RANDOM.normal(size=(BATCH, LENGTH, SOURCE_LENGTH)).astype("float32")
SOURCE = np.array([[3, 4, 5, 4, 3, 6, 4], [8, 8, 8, 7, 0, 0, 0]], np.int32)
LABELS = np.array([[4, 3, 7, 2, 0], [8, 6, 2, 0, 0]], np.int32)  # copied from several places, from one, from none


def states_of(hidden: Any, gate: Any, looks: Any) -> CopyStates:
    masked = looks + np.where(SOURCE == 0, -1e9, 0.0)[:, None].astype("float32")
    return CopyStates(hidden, gate, ops.softmax(masked, axis=-1))


def dense_loss(states: CopyStates, embeddings: Any, smoothing: float) -> tuple[Any, Any]:
    """The loss and the negative log-likelihood from all probabilities at once."""
    logits = tf.matmul(states.hidden, embeddings, transpose_b=True)
    log_probabilities = mixed(logits, states.gate, states.attention, SOURCE)
    of_labels = tf.gather(log_probabilities, LABELS, batch_dims=2)
    written = tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
    weights = tf.cast(LABELS != 0, tf.float32)
    loss = -tf.reduce_sum(weights * ((1 - smoothing) * of_labels + smoothing * written))
    return loss, -tf.reduce_sum(weights * of_labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 4, 10, 512])
def test_sums_and_gradients_equal_those_of_the_whole_mixture(smoothing: float, chunk: int) -> None:
    found, expected = [], []
    for is_dense in (False, True):
        inputs = [tf.constant(x) for x in (HIDDEN, GATE, LOOKS)]
        embeddings = tf.Variable(EMBEDDINGS)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            states = states_of(*inputs)
            if is_dense:
                loss, likelihood = dense_loss(states, embeddings, smoothing)
            else:
                sums = copy_cross_entropy(states, embeddings, SOURCE, LABELS, 0, smoothing, chunk)
                loss, likelihood = sums.loss, sums.negative_log_likelihood
            tripled = 3.0 * loss
        gradients = tape.gradient(tripled, [*inputs, embeddings])
        values = [np.asarray(tf.convert_to_tensor(x)) for x in (loss, likelihood, *gradients)]
        (expected if is_dense else found).extend(values)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5, rtol=1e-4)
    assert float(sums.weight) == 7


def test_what_counts_as_correct() -> None:
    """A label that is surely written, one that is surely copied, and two that are neither."""
    hidden = np.zeros((1, 4, WIDTH), "float32")
    hidden[0, :, 0] = [30, 0, 0, 30]
    embeddings = np.zeros((VOCABULARY, WIDTH), "float32")
    embeddings[5, 0] = 1.0  # what is written, where anything is
    gate = np.array([[9.0, -9.0, -9.0, 9.0]], "float32")
    attention = np.zeros((1, 4, 3), "float32")
    attention[0, :, 1] = 1.0
    source = np.array([[3, 4, 6]], np.int32)
    labels = np.array([[5, 4, 3, 4]], np.int32)
    sums = copy_cross_entropy(CopyStates(hidden, gate, attention), tf.constant(embeddings), source, labels)
    assert (float(sums.correct), float(sums.weight)) == (2.0, 4.0)


def test_of_a_model_and_its_weights() -> None:
    """The one-shot logits of a model give the same loss, and every weight the same gradient."""
    size = {"num_encoder_layers": 1, "num_decoder_layers": 1, "hidden_dim": 8, "intermediate_dim": 8, "num_heads": 2}
    model = Seq2SeqTransformer(VOCABULARY, **size, dropout=0.0, copy=True)
    randomize(model, scale=0.3)
    inputs = {"source_ids": SOURCE, "target_ids": np.roll(LABELS, 1, axis=1)}
    results = []
    for is_dense in (False, True):
        with tf.GradientTape() as tape:
            if is_dense:
                of_labels = tf.gather(model(inputs), LABELS, batch_dims=2)
                loss = -tf.reduce_sum(tf.cast(LABELS != 0, tf.float32) * of_labels)
            else:
                embeddings = model.token_embedding.embeddings
                loss = copy_cross_entropy(model.copy_states(inputs), embeddings, SOURCE, LABELS).loss
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        results.append([np.asarray(tf.convert_to_tensor(x)) for x in (loss, *gradients)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype: str) -> None:
    exact = copy_cross_entropy(states_of(HIDDEN, GATE, LOOKS), tf.constant(EMBEDDINGS), SOURCE, LABELS, 0, 0.1)
    hidden = keras.ops.cast(HIDDEN, dtype)
    found = copy_cross_entropy(states_of(hidden, GATE, LOOKS), tf.constant(EMBEDDINGS), SOURCE, LABELS, 0, 0.1)
    assert float(found.loss) == pytest.approx(float(exact.loss), rel=0.02)


def test_the_logits_are_never_held_all_at_once() -> None:
    """No tensor of the graph, gradients included, is as large as all logits."""
    rows, vocabulary = 64, 4096

    @tf.function
    def run(hidden: tf.Tensor, embeddings: tf.Tensor) -> Any:
        source, labels = np.full((1, 8), 3, np.int32), np.full((1, rows), 3, np.int32)
        states = CopyStates(hidden, tf.zeros((1, rows)), tf.ones((1, rows, 8)) / 8)
        loss = copy_cross_entropy(states, embeddings, source, labels, label_smoothing=0.1, chunk=8).loss
        return tf.gradients(loss, [hidden, embeddings])

    specs = tf.TensorSpec((1, rows, WIDTH)), tf.TensorSpec((vocabulary, WIDTH))
    operations = run.get_concrete_function(*specs).graph.get_operations()
    sizes = [tensor.shape.num_elements() or 0 for operation in operations for tensor in operation.outputs]
    assert vocabulary * WIDTH <= max(sizes) < rows * vocabulary


def test_r_drop_has_no_form_for_it() -> None:
    size = {"num_encoder_layers": 1, "num_decoder_layers": 1, "hidden_dim": 8, "intermediate_dim": 8, "num_heads": 2}
    model = Seq2SeqTransformer(VOCABULARY, **size, copy=True)
    training_model = TrainingModel(model, TokenObjective(), consistency=2.0)
    inputs = {"source_ids": SOURCE, "target_ids": LABELS}
    with pytest.raises(ValueError, match=r"^R-Drop compares what is written alone, and this model copies; "):
        training_model.compute_loss(inputs, LABELS, training_model(inputs, training=True))
