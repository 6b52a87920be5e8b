"""Times the loss over a vocabulary, forward and backward, against TensorFlow's own sparse cross-entropy.

    .venv/bin/python benchmarks/loss.py

Peer: `tf.nn.sparse_softmax_cross_entropy_with_logits` over all the logits at once, in the same run on the same data.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from keras_transformer.training import linear_cross_entropy

POSITIONS, WIDTH, VOCABULARY = 4096, 128, 9504
CHUNKS = (128, 256, 512, 1024)
REPEATS = 15


def main() -> None:
    random = np.random.default_rng(0)
    labels = tf.constant(random.integers(0, VOCABULARY, POSITIONS), tf.int32)
    weights = tf.ones(POSITIONS)
    embeddings = tf.constant(random.normal(size=(VOCABULARY, WIDTH)), tf.float32)
    print(f"{POSITIONS} positions, width {WIDTH}, vocabulary {VOCABULARY}; median of {REPEATS}")
    for dtype in (tf.float32, tf.bfloat16):
        hidden = tf.constant(random.normal(size=(POSITIONS, WIDTH)), dtype)

        def peer(hidden: Any, embeddings: Any) -> Any:
            logits = tf.matmul(hidden, tf.cast(embeddings, hidden.dtype), transpose_b=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
            return tf.reduce_sum(loss)

        reference = milliseconds(peer, hidden, embeddings)
        print(f"{dtype.name}: sparse_softmax_cross_entropy_with_logits {reference:.1f} ms")
        for chunk in CHUNKS:

            def ours(hidden: Any, embeddings: Any, chunk: int = chunk) -> Any:
                return linear_cross_entropy(hidden, embeddings, labels, weights, chunk=chunk).loss

            time_ = milliseconds(ours, hidden, embeddings)
            print(
                f"{dtype.name}: linear_cross_entropy, chunks of {chunk}: {time_:.1f} ms, {reference / time_:.2f} times"
            )


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
