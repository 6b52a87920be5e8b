"""What the graphs of classifiers and taggers share: bytes in, an encoder in the smallest size that has room.

Legend: S bytes of text, P places for its pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_transformer.export.limits import NUMBER_HELD, SOURCE_CUT, SOURCE_LONG
from keras_transformer.export.lite_module import flag, in_smallest
from keras_transformer.export.saved_model import weights_of
from keras_transformer.text import LitePieces

FEW_PIECES = 16  # of the smallest size of the encoder
FEW_BYTES = 128  # of the smallest size of the tokenizer


class EncoderLiteModule(tf.Module):
    """A predictor with an encoder, for `.tflite` files: batch 1, built-in operators, static shapes.

    The tokenizer and the model run in the smallest of several sizes that has room for a text, so that a short text
    costs what a short text costs.

    Args:
        predictor: a loaded run.
        max_source_bytes: S. P is as many, or as the model was trained on.
    """

    def __init__(self, predictor: Any, max_source_bytes: int) -> None:
        super().__init__()
        self.weights = weights_of(predictor)
        self.pieces = LitePieces(predictor.tokenizer)
        self.predictor = predictor
        self.room = max_source_bytes
        self.places = min(max_source_bytes, predictor.max_length)

    @property
    def inputs(self) -> dict[str, tf.TensorSpec]:
        """What each function takes."""
        return {"text": tf.TensorSpec([1, self.room], tf.uint8), "text_length": tf.TensorSpec([1], tf.int32)}

    def encode(self, text: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the ids `[S]` of a text and how many they are, as `LitePieces.encode` does."""
        *small, full = sizes(FEW_BYTES, self.room, 4)

        def at(size: int) -> tuple[tf.Tensor, tf.Tensor]:
            ids, count = self.pieces.encode(text[:size], length)
            return tf.pad(ids, [[0, full - size]]), count

        return in_smallest(small, lambda size: length <= size, at, lambda: at(full))

    def outputs(self, ids: tf.Tensor, count: tf.Tensor, padded: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Returns what the model gives for the first P of the ids; `padded` makes one shape of all sizes' outputs."""
        *small, full = sizes(FEW_PIECES, self.places, 2)

        def at(size: int) -> tf.Tensor:
            return padded(self.predictor.model({"ids": ids[None, :size]}, training=False))

        return in_smallest(small, lambda size: count <= size, at, lambda: at(full))

    def status(self, text_length: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Returns the flags for a text of so many bytes `[1]` and pieces."""
        return (
            flag(text_length > self.room, SOURCE_CUT)
            + flag(text_length < 0, NUMBER_HELD)
            + flag(count > self.places, SOURCE_LONG)
        )


def sizes(smallest: int, full: int, factor: int) -> list[int]:
    """Returns sizes that grow by a factor, the full one last.

    Example:
        ```python
        sizes(16, 100, 2)  # [16, 32, 64, 100]
        ```
    """
    found = [smallest]
    while found[-1] * factor < full:
        found.append(found[-1] * factor)
    return [*(size for size in found if size < full), full]
