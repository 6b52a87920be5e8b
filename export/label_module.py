"""A classifier as graphs: texts in, probabilities out. One for `.tflite` files, one for the SavedModel.

Legend: S bytes of text, L labels, b batch.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_transformer.export.encoder_module import EncoderLiteModule
from keras_transformer.export.saved_model import DEFAULT, Function, weights_of
from keras_transformer.text import TensorFlowPieces


class LabelLiteModule(EncoderLiteModule):
    """A `TextToLabels` as a function that TFLite's built-in operators can express.

    Args:
        predictor: a loaded run.
        max_source_bytes: S.
    """

    def functions(self, signature: str) -> dict[str, Function]:
        """Returns the function to save, by the name of its signature."""
        return {signature: Function(self.classify, self.inputs)}

    def classify(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what a text is.

        Args:
            text: uint8 `[1, S]`; bytes from `text_length` on have no effect.
            text_length: int32 `[1]`, held to 0 to S.

        Returns:
            probabilities: float32 `[1, L]`, of each label; of a model of numbers these, as `values`.
            status: int32 `[1]`, the sum of the flags in `limits`.
        """
        ids, count = self.encode(text[0], text_length[0])
        logits = self.outputs(ids, count, lambda logits: logits)
        return {**answers(self.predictor, logits), "status": self.status(text_length, count)}


class LabelModule(tf.Module):
    """A `TextToLabels` as a function from strings, of any batch size, for the SavedModel.

    Args:
        predictor: a loaded run.
    """

    def __init__(self, predictor: Any) -> None:
        super().__init__(name="label_module")
        self.weights = weights_of(predictor)
        self._pieces = TensorFlowPieces(predictor.tokenizer)
        self._predictor = predictor

    def functions(self, signature: str) -> dict[str, Function]:
        """Returns the function to save, under `signature` and "serving_default"."""
        function = Function(self.classify, {"text": tf.TensorSpec([None], tf.string)})
        return {DEFAULT: function, signature: function}

    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what each text is: `probabilities`, or `values`, float32 `[b, L]`; and `label`, string `[b]`, the
        likeliest, where a text has just one."""
        pad_id = self._predictor.tokenizer.pad_id
        ids = self._pieces.encode(text)[:, : self._predictor.max_length]
        # One place at least: a batch of empty texts then has something to attend to.
        padded = tf.pad(ids.to_tensor(pad_id), [[0, 0], [0, tf.maximum(1 - ids.bounding_shape()[1], 0)]])
        found = answers(self._predictor, self._predictor.model({"ids": padded}, training=False))
        if self._predictor.kind == "single":
            labels = tf.constant([label.encode() for label in self._predictor.labels])
            found["label"] = tf.gather(labels, tf.argmax(found["probabilities"], axis=-1))
        return found


def answers(predictor: Any, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns logits `[b, L]` as what the model says: probabilities, calibrated, or the values themselves."""
    if predictor.kind == "regression":
        return {"values": logits}
    logits = logits / predictor.temperature
    return {"probabilities": tf.nn.softmax(logits) if predictor.kind == "single" else tf.sigmoid(logits)}
