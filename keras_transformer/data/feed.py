"""Hands batches to `keras.Model.fit`.

The one module of the core that knows TensorFlow by name, and only where TensorFlow is the backend: a generator given
to `fit` would become a `tf.data` pipeline with autotuning, which at the end of a dataset waits for the tuner's next
wake-up, 10 ms to 40 s later (measured on TensorFlow 2.21). The same pipeline with autotuning off does not wait.
"""

from __future__ import annotations

import contextlib
import queue
import threading
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


def feed(
    batches: Callable[[], Iterator[Batch]], strategy: Any = None, pad_id: int = 0, pad_label: float | None = None
) -> Any:
    """Returns what `fit` and `evaluate` take, from a function that starts a fresh iteration.

    With several devices, by a `strategy` or by the `keras.distribution` that is in force, every batch is parted
    between them by rows; where rows are too few, rows of padding fill it up. With several hosts, each gives the part
    of its own devices.

    Args:
        batches: gives `(inputs, labels)`; inputs are int32 `[b, n]` by name, labels `[b, k]`, int32 or float32.
        strategy: of `tf.distribute`, that the model was made under; default one device.
        pad_id: the id of padding.
        pad_label: the label of padding; default `pad_id`.

    Example:
        ```python
        training_model.fit(feed(lambda: batches.from_step(0)), steps_per_epoch=100)
        ```
    """
    if keras.backend.backend() != "tensorflow":
        distribution = keras.distribution.distribution()  # here: a thread has its own
        return read_ahead(batches() if distribution is None else _own_parts(batches(), distribution, pad_id, pad_label))

    import tensorflow as tf

    inputs, labels = next(batches())
    ids = tf.TensorSpec((None, None), tf.int32)
    signature = (dict.fromkeys(inputs, ids), tf.TensorSpec((None, None), labels.dtype))
    options = tf.data.Options()
    options.autotune.enabled = False
    if strategy is None:
        return (
            tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(PREFETCH).with_options(options)
        )

    devices = strategy.num_replicas_in_sync

    def all_parts() -> Iterator[Batch]:
        for batch in batches():
            yield from parted(batch, devices, pad_id, pad_label)  # each device takes the next in turn

    parts = tf.data.Dataset.from_generator(all_parts, output_signature=signature).prefetch(PREFETCH * devices)
    return strategy.distribute_datasets_from_function(lambda _: parts.with_options(options))


def parted(batch: Batch, count: int, pad_id: int, pad_label: float | None = None) -> list[Batch]:
    """Returns `count` parts of a batch, of as many rows each; what is missing is padding, which counts in no loss."""
    inputs, labels = batch
    missing = -len(labels) % count

    def parts(values: np.ndarray, filling: float) -> list[np.ndarray]:
        return np.split(np.pad(values, ((0, missing), (0, 0)), constant_values=filling), count)

    parts_by_name = {name: parts(ids, pad_id) for name, ids in inputs.items()}
    parted_labels = enumerate(parts(labels, pad_id if pad_label is None else pad_label))
    return [({name: own[i] for name, own in parts_by_name.items()}, part) for i, part in parted_labels]


def _own_parts(batches: Iterator[Batch], distribution: Any, pad_id: int, pad_label: float | None) -> Iterator[Batch]:
    """Yields what this process gives of each batch to its devices."""
    import jax  # of all backends the one with a distribution; what Keras itself tells depends on its version

    devices, processes, process = distribution.device_mesh.devices.size, jax.process_count(), jax.process_index()
    for batch in batches:
        parts = parted(batch, devices, pad_id, pad_label)
        own = parts[process * devices // processes :][: devices // processes]
        inputs = {name: np.concatenate([part[name] for part, _ in own]) for name in batch[0]}
        yield inputs, np.concatenate([labels for _, labels in own])


def read_ahead(batches: Iterator[Batch], count: int = PREFETCH) -> Iterator[Batch]:
    """Yields the same batches in the same order, the next ones made by a thread meanwhile.

    The thread ends when the iteration does, or is closed or dropped; what `batches` raises is raised here.

    Args:
        batches: iterated by the thread alone.
        count: the most that are made ahead.
    """
    ready: queue.Queue[tuple[Batch | None, BaseException | None]] = queue.Queue(count)
    left = threading.Event()

    def read() -> None:
        error = None
        try:
            for batch in batches:
                ready.put((batch, None))
                if left.is_set():
                    return
        except BaseException as raised:  # the other thread's to handle
            error = raised
        ready.put((None, error))

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if batch is None:
                break
            yield batch
        if error is not None:
            raise error
    finally:
        left.set()
        while thread.is_alive():  # it may wait for room
            with contextlib.suppress(queue.Empty):
                ready.get_nowait()
            thread.join(0.01)
