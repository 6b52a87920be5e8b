"""The whole translator as one graph of static shapes: UTF-8 bytes in, UTF-8 bytes out, batch 1.

Legend: S bytes of source, T pieces of target, B bytes of target.
"""

from __future__ import annotations

import tensorflow as tf

from keras_transformer.export.limits import SOURCE_CUT, SOURCE_LONG, TARGET_CUT, TARGET_UNFINISHED, Limits
from keras_transformer.export.saved_model import weights_of
from keras_transformer.generation import TextToText
from keras_transformer.text import LitePieces


class LiteModule(tf.Module):
    """A `TextToText` as a function that TFLite's built-in operators can express.

    The tokenizer is `LitePieces`, the search the predictor's own. There is a place for as many source pieces as there
    are source bytes: every byte is a piece at worst, so no text is cut by the tokenizer.

    Args:
        predictor: a loaded run.
        limits: bytes of source and target.

    Example:
        ```python
        module = LiteModule(keras_transformer.load("runs/mine"), Limits(256, 512))
        answer = module.answer(text, text_length)  # uint8 [1, 256], int32 [1]
        ```
    """

    def __init__(self, predictor: TextToText, limits: Limits) -> None:
        super().__init__(name="lite_module")
        self.weights = weights_of(predictor)
        self._pieces = LitePieces(predictor.tokenizer)
        self._predictor = predictor
        self._limits = limits
        self.input_signature = (
            tf.TensorSpec([1, limits.max_source_bytes], tf.uint8, name="text"),
            tf.TensorSpec([1], tf.int32, name="text_length"),
        )

    def answer(self, text: tf.Tensor, text_length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the answer to one text.

        Args:
            text: uint8 `[1, S]`; bytes from `text_length` on have no effect.
            text_length: int32 `[1]`, held to 0 to S.

        Returns:
            text: uint8 `[1, B]`, zeros after the answer.
            text_length: int32 `[1]`, bytes of the answer; 0 for an empty source.
            score: float32 `[1]`, log-probability of the answer; 0 for an empty source.
            status: int32 `[1]`, the sum of the flags in `limits`.
        """
        ids, count = self._pieces.encode(text[0], text_length[0])
        found = self._predictor.decoder().search(ids[None])
        is_text = count > 0
        length = tf.where(is_text, found.lengths[0, 0], 0)
        answer, answer_length, is_cut = self._decode(found.ids[0, 0], length)
        is_ended = tf.reduce_any(found.ids[0, 0] == self._predictor.tokenizer.end_id)
        status = (
            _flag(text_length[0] > self._limits.max_source_bytes, SOURCE_CUT)
            + _flag(tf.logical_and(is_text, tf.logical_not(is_ended)), TARGET_UNFINISHED)
            + _flag(is_cut, TARGET_CUT)
            + _flag(count > self._predictor.max_source_length, SOURCE_LONG)
        )
        return {
            "text": answer[None],
            "text_length": answer_length[None],
            "score": tf.where(is_text, found.scores[0, 0], 0.0)[None],
            "status": status[None],
        }

    def _decode(self, ids: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns uint8 `[B]`, its length and whether it was cut, which is done where a character begins."""
        room = self._limits.max_target_bytes
        text, length = self._pieces.decode(ids, count, room + 1)
        text = tf.cast(text, tf.int32)  # TFLite has no choice between uint8 values
        is_cut = length > room
        # A UTF-8 character has at most 4 bytes, all but the first of the form 10xxxxxx.
        last = text[room - 3 :]
        begins = tf.logical_or(last < 0x80, last >= 0xC0)
        boundary = tf.reduce_max(tf.where(begins, tf.range(room - 3, room + 1), 0))
        boundary = tf.where(boundary > 0, boundary, room)
        length = tf.where(is_cut, boundary, length)
        return tf.cast(tf.where(tf.range(room) < length, text[:room], 0), tf.uint8), length, is_cut


def _flag(condition: tf.Tensor, flag: int) -> tf.Tensor:
    return tf.cast(condition, tf.int32) * flag
