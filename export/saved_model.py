"""The SavedModel: strings in, strings out, any batch size. Loading one needs `import tensorflow_text`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tensorflow as tf

from keras_transformer.generation import TextToText
from keras_transformer.text import TensorFlowPieces

if TYPE_CHECKING:
    from keras_transformer.export.lite_module import LiteModule

SIGNATURE = "serving_default"


class TextModule(tf.Module):
    """A `TextToText` as a function from strings to strings.

    Args:
        predictor: a loaded run.

    Example:
        ```python
        save_module(TextModule(keras_transformer.load("runs/mine")), "serving_default", "saved_model")
        ```
    """

    def __init__(self, predictor: TextToText) -> None:
        super().__init__(name="text_module")
        self.weights = weights_of(predictor)
        self._pieces = TensorFlowPieces(predictor.tokenizer)
        self._predictor = predictor
        self.input_signature = (tf.TensorSpec([None], tf.string, name="text"),)

    def answer(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the answer to each text; an empty text has an empty answer of score 0.

        Args:
            text: string `[b]`.

        Returns:
            text: string `[b]`.
            score: float32 `[b]`, log-probability of the answer.
            length: int32 `[b]`, its pieces.
        """
        pad_id = self._predictor.tokenizer.pad_id
        ids = self._pieces.encode(text)
        is_text = ids.row_lengths() > 0
        # One place more than the longest: a batch of empty texts then has something to attend to.
        ids = tf.pad(ids.to_tensor(pad_id), [[0, 0], [0, 1]], constant_values=pad_id)
        found = self._predictor.decoder().search(ids)
        length = tf.where(is_text, found.lengths[:, 0], 0)
        in_use = tf.range(tf.shape(found.ids)[2])[None] < length[:, None]
        return {
            "text": self._pieces.decode(tf.where(in_use, found.ids[:, 0], pad_id)),
            "score": tf.where(is_text, found.scores[:, 0], 0.0),
            "length": length,
        }


def weights_of(predictor: TextToText) -> list[tf.Variable]:
    """Returns the model's variables in the form that a `tf.Module` tracks; a Keras model alone is not tracked."""
    return [variable.value for variable in predictor.model.variables]


def save_module(module: TextModule | LiteModule, signature: str, path: str | os.PathLike[str]) -> None:
    """Writes the method `answer` of a module as a SavedModel with one signature. Each variable is stored once."""
    # A function that is an attribute of the module would be stored a second time, beside the signature's.
    function = tf.function(module.answer, input_signature=module.input_signature)
    tf.saved_model.save(module, str(path), signatures={signature: function.get_concrete_function()})
