"""Which source word each word of an answer looks at. Needs neither Keras nor TensorFlow.

Shapes: t pieces of the answer, s pieces of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.errors import UserError


class Alignment(NamedTuple):
    """Where a model looks in a text for each word of an answer.

    Attributes:
        text: the words of the text.
        answer: the words of the answer.
        weights: float32 `[answer words, text words]`; rows sum to 1.
    """

    text: list[str]
    answer: list[str]
    weights: np.ndarray


def align_words(weights: np.ndarray, source: Sequence[bytes], target: Sequence[bytes]) -> Alignment:
    """Sums weights over pieces up to words: that of a word is the mean over its pieces, that to one the sum.

    Args:
        weights: float32 `[t, s]`.
        source, target: bytes of the pieces.

    Raises:
        UserError: there is no piece on one of the two sides.
    """
    if not len(source) or not len(target):
        raise UserError("an empty text has no alignment")
    source_words, source_of = words_of(source)
    target_words, target_of = words_of(target)
    to_words = np.eye(len(source_words), dtype=np.float32)[source_of]
    of_words = np.eye(len(target_words), dtype=np.float32)[target_of].T
    weights = of_words / of_words.sum(axis=1, keepdims=True) @ weights @ to_words
    return Alignment(source_words, target_words, weights)


def words_of(pieces: Sequence[bytes]) -> tuple[list[str], list[int]]:
    """Joins pieces to words, which begin where a piece begins with a space, and returns the word of each piece."""
    words: list[bytes] = []
    places = []
    for piece in pieces:
        if not words or piece[:1].isspace():
            words.append(b"")
        words[-1] += piece
        places.append(len(words) - 1)
    return [word.strip().decode("utf-8", "replace") for word in words], places


def chosen_heads(model: Any, layer: int | None = None, heads: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Returns the (layer, head) pairs of cross-attention whose weights are averaged; both are counted from 0.

    Args:
        model: a `Seq2SeqTransformer`.
        layer: of the decoder; none means the last.
        heads: of that layer; none means all.

    Raises:
        UserError: there is no such layer or head, or a head is named twice.

    Example:
        ```python
        translator.align("A man rides.", "Ein Mann reitet.", chosen_heads(translator.model, layer=3, heads=[0, 2]))
        ```
    """
    layers = model.num_decoder_layers
    layer = layers - 1 if layer is None else layer
    if not 0 <= layer < layers:
        raise UserError(f"align_layer is {layer}, expected 0 to {layers - 1}: the decoder has {layers}")
    heads = range(model.num_heads) if heads is None else heads
    for head in heads:
        if not 0 <= head < model.num_heads:
            raise UserError(
                f"align_heads has {head}, expected 0 to {model.num_heads - 1}: a layer has {model.num_heads}"
            )
    if not heads or len(set(heads)) < len(heads):
        raise UserError(f"align_heads is {list(heads)}, expected one head or more, each once")
    return [(layer, head) for head in heads]
