"""Writes event files for TensorBoard: the one module of the training that knows TensorFlow by name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image import metadata as image_metadata

from keras_transformer._files import replacing
from keras_transformer._markdown import table
from keras_transformer.training.distribution import strategy_of

PROJECTOR_CONFIG = """\
embeddings {{
  tensor_name: "{name}"
  tensor_shape: {rows}
  tensor_shape: {width}
  tensor_path: "{name}.bytes"
  metadata_path: "{name}.tsv"
}}
"""


class TensorBoardLog:
    """Writes TensorBoard event files. A folder that cannot be written costs the panels, not the training.

    Args:
        folder: created if missing.

    Attributes:
        is_open: whether what is written arrives: false once something could not be written, which is warned of then.

    Example:
        ```python
        log = TensorBoardLog("runs/mine/logs")
        log.scalars({"train/loss": 2.3}, step=100)
        log.close()
        ```
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = os.fspath(folder)
        self.is_open = True
        self.is_profiling = False
        self._attempt(self._open)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Writes one point of each curve."""
        self._write(lambda: [tf.summary.scalar(name, value, step=step) for name, value in values.items()])

    def text(self, name: str, markdown: str, step: int) -> None:
        """Writes a panel of text."""
        self._write(lambda: tf.summary.text(name, markdown, step=step))

    def image(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """Writes a picture that is encoded already, of `size` (width, height) in pixels."""
        content = [str(size[0]), str(size[1]), png]
        metadata = image_metadata.create_summary_metadata(display_name=None, description=None)
        self._write(lambda: tf.summary.write(name, tf.constant(content), step=step, metadata=metadata))

    def histogram(self, name: str, edges: np.ndarray, counts: np.ndarray, step: int) -> None:
        """Writes a histogram that is counted already: `edges [n + 1]` of its buckets, and the `counts [n]` in them.

        TensorFlow would count by a matrix of values by buckets: a second and a gigabyte for a large embedding.
        """
        buckets = np.stack([edges[:-1], edges[1:], counts], axis=1).astype(np.float64)
        metadata = histogram_metadata.create_summary_metadata(display_name=None, description=None)
        self._write(lambda: tf.summary.write(name, tf.constant(buckets), step=step, metadata=metadata))

    def hyper_parameters(self, values: dict[str, bool | float | str], run: str) -> None:
        """Writes what a run was made with, for the dashboard that compares runs; `run` tells it from the others."""
        self._write(lambda: hparams.hparams(values, trial_id=run))

    def projector(self, name: str, vectors: np.ndarray, labels: str) -> None:
        """Writes vectors for the embedding projector, in place of those that were there.

        Args:
            name: what they are called, and their files.
            vectors: `[n, width]`.
            labels: tab-separated values: n lines below a head.
        """
        raw = vectors.astype("<f4")  # a copy
        # the plug-in reads a tensor as text wherever that is valid UTF-8; a byte of 0xff never is, and is the lowest of
        # the first number's mantissa
        raw.view(np.uint8)[0, 0] = 0xFF
        config = PROJECTOR_CONFIG.format(name=name, rows=raw.shape[0], width=raw.shape[1])
        files = {
            f"{name}.bytes": raw.tobytes(),
            f"{name}.tsv": labels.encode("utf-8", errors="backslashreplace"),
            "projector_config.pbtxt": config.encode(),
        }
        self._attempt(lambda: self._replace(files))

    def start_profile(self) -> None:
        """Begins to record what TensorFlow does. Another backend has its own profiler: nothing is recorded."""
        if keras.backend.backend() == "tensorflow":
            self._attempt(lambda: tf.profiler.experimental.start(self.folder))
            self.is_profiling = self.is_open

    def stop_profile(self) -> None:
        """Ends the recording, if there is one, and writes it."""
        if self.is_profiling:
            self.is_profiling = False
            self._attempt(tf.profiler.experimental.stop)

    def flush(self) -> None:
        """Makes what was written so far visible."""
        self._attempt(self._flush)

    def close(self) -> None:
        self.stop_profile()
        self._attempt(lambda: self.writer.close())

    def _open(self) -> None:
        self.writer = tf.summary.create_file_writer(self.folder)
        self.writer.init()

    def _flush(self) -> None:
        self.writer.flush()
        if not os.path.isdir(self.folder):  # TensorFlow goes on writing to a file that is gone
            raise FileNotFoundError(2, "the folder is gone")

    def _write(self, write: Callable[[], object]) -> None:
        def write_here() -> None:
            with self.writer.as_default(step=0):
                write()

        self._attempt(write_here)

    def _replace(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            with replacing(os.path.join(self.folder, name)) as file:
                file.write(data)

    def _attempt(self, action: Callable[[], object]) -> None:
        if not self.is_open:
            return
        try:
            action()
        except (OSError, tf.errors.OpError) as error:
            self.is_open = False
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else _reason(error)
            warnings.warn(
                f"{self.folder}: TensorBoard's files cannot be written: {reason}; the training goes on without them",
                UserWarning,
                stacklevel=1,
            )


def _reason(error: tf.errors.OpError) -> str:
    """Returns what TensorFlow found, in one line, without where in its graph it did."""
    message = str(error.message)
    return (message.partition("}} ")[2].partition(" [Op:")[0] or message).strip().partition("\n")[0].strip()


def gradients(training_model: Any, inputs: dict[str, Any], labels: Any) -> list[np.ndarray | None]:
    """Returns the gradient of the loss per real target token, without dropout, for every trainable variable in order.

    Run operator by operator: for one batch now and then that is quicker than tracing a graph would be. Leaves metrics
    and random seeds as they are. None where the loss does not depend on a variable, and for all of them on another
    backend than TensorFlow, where Keras has no way to a gradient, and on several devices.

    Args:
        training_model: a `TrainingModel`.
        inputs, labels: a batch, as it is trained on.
    """
    if keras.backend.backend() != "tensorflow" or strategy_of(training_model):
        return [None] * len(training_model.model.trainable_variables)
    with tf.GradientTape() as tape:
        sums = training_model.sums(inputs, training_model(inputs, training=False), labels)
    # of the sum, not of the mean: small gradients stay above float16's smallest number
    found = tape.gradient(sums.loss, [variable.value for variable in training_model.model.trainable_variables])
    weight = max(float(sums.weight), 1.0)
    return [None if gradient is None else tf.convert_to_tensor(gradient).numpy() / weight for gradient in found]


def sample_table(samples: Sequence[tuple[str, str, str]]) -> str:
    """Returns a Markdown table of (source, reference, output); text stays text."""
    return table(["source", "reference", "model"], samples)
