"""Times the loss over a vocabulary, forward and backward, against TensorFlow's own operators over all the logits.

    .venv/bin/python benchmarks/loss.py

Peers, in the same run on the same data: `tf.nn.sparse_softmax_cross_entropy_with_logits`; and for R-Drop, where every
position is computed twice, the same of both, with the divergences of their `tf.nn.log_softmax`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from keras_transformer.training import linear_cross_entropy

POSITIONS, WIDTH, VOCABULARY = 4096, 128, 9504
CHUNKS = (128, 256, 512, 1024)
ALPHA = 5.0  # of R-Drop
REPEATS = 15


def main() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, VOCABULARY, POSITIONS).astype("int32")
    embeddings = tf.constant(random.normal(size=(VOCABULARY, WIDTH)), tf.float32)
    print(f"{POSITIONS} positions, width {WIDTH}, vocabulary {VOCABULARY}; median of {REPEATS}")
    for dtype in (tf.float32, tf.bfloat16):
        hidden = tf.constant(random.normal(size=(POSITIONS, WIDTH)), dtype)
        for name, peer, alpha in (("cross-entropy", cross_entropy, 0.0), ("R-Drop", r_drop, ALPHA)):
            of_labels = labels[: POSITIONS // 2] if alpha else labels
            reference = milliseconds(partial(peer, of_labels), hidden, embeddings)
            print(f"{dtype.name}, {name}: TensorFlow, all logits {reference:.1f} ms")
            for chunk in CHUNKS:
                time_ = milliseconds(partial(ours, of_labels, chunk, alpha), hidden, embeddings)
                print(
                    f"{dtype.name}, {name}: linear_cross_entropy, chunks of {chunk}: {time_:.1f} ms, "
                    f"{reference / time_:.2f} times"
                )


def ours(labels: Any, chunk: int, alpha: float, hidden: Any, embeddings: Any) -> Any:
    weights = tf.ones(len(labels))
    return linear_cross_entropy(hidden, embeddings, labels, weights, chunk=chunk, consistency=alpha).loss


def cross_entropy(labels: Any, hidden: Any, embeddings: Any) -> Any:
    logits = tf.matmul(hidden, tf.cast(embeddings, hidden.dtype), transpose_b=True)
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32)))


def r_drop(labels: Any, hidden: Any, embeddings: Any) -> Any:
    """As https://arxiv.org/abs/2106.14448, section 2.2, has it."""
    logits = tf.cast(tf.matmul(hidden, tf.cast(embeddings, hidden.dtype), transpose_b=True), tf.float32)
    twice = np.concatenate([labels, labels])
    likelihood = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(twice, logits)) / 2
    first, second = tf.split(tf.nn.log_softmax(logits), 2)
    divergences = tf.reduce_sum((tf.exp(first) - tf.exp(second)) * (first - second))
    return likelihood + ALPHA / 4 * divergences


def milliseconds(loss: Callable[..., Any], hidden: Any, embeddings: Any) -> float:
    """Returns the median time of value and gradients."""

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch([hidden, embeddings])
            value = loss(hidden, embeddings)
        return value, tape.gradient(value, [hidden, embeddings])

    step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    main()
