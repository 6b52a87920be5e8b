"""Hands batches to `keras.Model.fit`.

The one module of the core that knows TensorFlow by name, and only where TensorFlow is the backend: a generator given
to `fit` would become a `tf.data` pipeline with autotuning, which at the end of a dataset waits for the tuner's next
wake-up, 10 ms to 40 s later (measured on TensorFlow 2.21). The same pipeline with autotuning off does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

Batch = tuple[dict[str, np.ndarray], np.ndarray]
PREFETCH = 4


def default_length_multiple() -> int:
    """Returns what lengths in a batch are best rounded up to a multiple of (see `Seq2SeqBatches`).

    TensorFlow takes a new shape as it comes, at no cost. XLA, which other backends run on, compiles every shape.
    """
    return 1 if keras.backend.backend() == "tensorflow" else 8


def feed(batches: Callable[[], Iterator[Batch]]) -> Any:
    """Returns what `fit` and `evaluate` take, from a function that starts a fresh iteration.

    Args:
        batches: gives `(inputs, labels)`; inputs are int32 `[b, n]` by name, labels int32 `[b, n]`.

    Example:
        ```python
        training_model.fit(feed(lambda: batches.from_step(0)), steps_per_epoch=100)
        ```
    """
    if keras.backend.backend() != "tensorflow":
        return batches()

    import tensorflow as tf

    names = next(batches())[0].keys()
    ids = tf.TensorSpec((None, None), tf.int32)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(dict.fromkeys(names, ids), ids))
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(PREFETCH).with_options(options)
