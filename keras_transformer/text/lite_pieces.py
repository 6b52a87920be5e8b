"""The byte-piece tokenizer out of TFLite's built-in operators: static shapes, no loop, no custom operator.

Legend: S bytes of text, T ids, K bytes of the longest piece, B bytes of output.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_transformer.text.byte_pieces import PAD_ID, BytePieceTokenizer
from keras_transformer.text.double_array import MATCH_ID_RANGE, NO_BYTE, build_double_array


class LitePieces(tf.Module):
    """Encodes and decodes one text at a time inside a graph that becomes a `.tflite` file.

    The vocabulary stands in the graph as constants: 9 bytes for each slot of a double-array trie (`encode`; 0.17 MB
    for 8,000 pieces), the pieces' bytes and their places (`decode`; 0.09 MB).

    Args:
        tokenizer: gives the vocabulary. `encode` and `decode` equal its own.

    Example:
        ```python
        lite = LitePieces(tokenizer)
        ids, count = lite.encode(text, length)  # uint8 [256], int32 [] -> int32 [256], int32 []
        text, length = lite.decode(ids, count, max_bytes=512)
        ```
    """

    def __init__(self, tokenizer: BytePieceTokenizer) -> None:
        super().__init__(name="lite_pieces")
        self.tokenizer = tokenizer
        self._trie = build_double_array(tokenizer.pieces)
        lengths = [len(piece) for piece in tokenizer.pieces]
        self._piece_lengths = np.array(lengths, np.uint8)  # [vocabulary]
        self._piece_places = (np.cumsum(lengths) - lengths).astype(np.int32)  # [vocabulary]
        self._piece_bytes = np.frombuffer(b"".join(tokenizer.pieces), np.uint8)  # begins with the piece of byte 0

    def encode(self, text: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the ids of a text.

        A text of more than S bytes is for the caller to cut or to refuse: only its first S bytes can be given here.

        Args:
            text: uint8 `[S]`, UTF-8. S must be static.
            length: int32 `[]`, how many of these bytes are text, held to 0 to S. Bytes after them have no effect.

        Returns:
            ids: int32 `[S]`, the pieces in order, then `pad_id`.
            count: int32 `[]`, the number of pieces.

        Raises:
            ValueError: S is not static.
        """
        capacity = _static_size(text, "text")
        length = tf.clip_by_value(length, 0, capacity)
        symbols = tf.where(tf.range(capacity) < length, tf.cast(text, tf.int32), NO_BYTE)
        match = self._longest_matches(symbols)
        starts = _chain(tf.range(capacity + 1) + match // MATCH_ID_RANGE)[:capacity]
        ids = tf.gather(match % MATCH_ID_RANGE, starts)  # after the text nothing matches: id 0, padding
        return ids, tf.reduce_sum(tf.cast(starts < length, tf.int32))

    def decode(
        self, ids: tf.Tensor, count: tf.Tensor, max_bytes: int, whole_pieces: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the bytes of a sequence of ids. Special ids give nothing.

        Args:
            ids: int32 `[T]`; an id outside the vocabulary counts as the nearest one inside. T must be static.
            count: int32 `[]`, how many of these ids to decode, held to 0 to T.
            max_bytes: B, the room for output. What does not fit is cut off.
            whole_pieces: cut before the first piece that does not fit as a whole, instead of after B bytes.

        Returns:
            text: uint8 `[B]`, zeros after the text.
            length: int32 `[]`, the bytes of text, at most B. `byte_count` tells how many there were before the cut.

        Raises:
            ValueError: T is not static.
        """
        ids, starts, ends = self._layout(ids, count)
        fitting = tf.where(ends <= max_bytes, ends, 0) if whole_pieces else tf.minimum(ends, max_bytes)
        length = tf.reduce_max(fitting)
        position = tf.range(max_bytes)
        piece = last_at_most(starts, position)  # [B]
        place = tf.gather(tf.gather(self._piece_places, ids) - starts, piece) + position
        place = tf.where(position < length, place, 0)  # the vocabulary's bytes begin with a zero
        return tf.gather(self._piece_bytes, place), length

    def byte_count(self, ids: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Returns how many bytes these ids stand for, before any cut: int32 `[]`. The arguments are `decode`'s."""
        return self._layout(ids, count)[2][-1]

    def _longest_matches(self, symbols: tf.Tensor) -> tf.Tensor:
        """Returns the longest piece that begins at each position and after the last, as `DoubleArray.match` gives it.

        The trie is walked K steps from all positions at once, without a look at whether the steps exist; then
        everything from each walk's first missing step on is dropped. `[S]` to `[S + 1]`, int32.
        """
        steps, width = self.tokenizer.max_piece_bytes, symbols.shape[0] + 1
        ahead = _shifted(symbols, steps, width)  # [K, S + 1], row k holds the symbol k places on
        first, *rest = tf.unstack(ahead)
        walk = [first]
        for symbol in rest:
            walk.append(tf.gather(self._trie.base, walk[-1]) + symbol)
        slots = tf.stack(walk)  # [K, S + 1]
        missing = tf.cast(tf.gather(self._trie.label, slots), tf.int32) != ahead
        missed = tf.cumsum(tf.cast(missing, tf.int32), axis=0)
        return tf.reduce_max(tf.where(missed == 0, tf.gather(self._trie.match, slots), 0), axis=0)

    def _layout(self, ids: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the ids, padding in place of those not in use, and where each begins and ends in the text: `[T]`."""
        in_use = tf.range(_static_size(ids, "ids")) < count
        ids = tf.where(in_use, tf.clip_by_value(ids, 0, self.tokenizer.vocabulary_size - 1), PAD_ID)
        lengths = tf.cast(tf.gather(self._piece_lengths, ids), tf.int32)
        ends = tf.cumsum(lengths)
        return ids, ends - lengths, ends


def _shifted(symbols: tf.Tensor, rows: int, width: int) -> tf.Tensor:
    """Returns int32 `[rows, width]` whose row k is `symbols` from place k on, then `NO_BYTE`.

    Reading a repeated line in rows one longer than itself moves each row one place further: one TILE and one RESHAPE
    in place of a SLICE for every row.
    """
    padded = tf.pad(symbols, [[0, width - symbols.shape[0] + rows]], constant_values=NO_BYTE)
    length = padded.shape[0]
    repeated = tf.tile(padded, [rows + 1])[: rows * (length + 1)]
    return tf.reshape(repeated, [rows, length + 1])[:, :width]


def _chain(following: tf.Tensor) -> tf.Tensor:
    """Returns `[0, f(0), f(f(0)), ...]` for a function given by its values, as many as there are values.

    By doubling: what f applied n times gives for the first n members are the next n; then n doubles.
    """
    size = following.shape[0]
    chain = tf.zeros([1], tf.int32)
    while chain.shape[0] < size:
        chain = tf.concat([chain, tf.gather(following, chain)], axis=0)
        following = tf.gather(following, following)
    return chain[:size]


def last_at_most(ascending: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns for each value the last index whose entry is at most the value. The first entry must be.

    A binary search over all values at once: four operators for each doubling of the entries, where comparing all
    with all would need memory for entries times values.
    """
    steps = (ascending.shape[0] - 1).bit_length()
    padded = tf.pad(ascending, [[0, 2**steps - ascending.shape[0]]], constant_values=tf.int32.max)
    index = tf.zeros_like(values)
    for step in reversed(range(steps)):
        further = index + 2**step
        index = tf.where(tf.gather(padded, further) <= values, further, index)
    return index


def _static_size(vector: tf.Tensor, name: str) -> int:
    """Returns the number of entries of a vector, which must be known while the graph is built."""
    shape = tf.TensorShape(vector.shape)
    if shape.rank != 1 or shape[0] is None:
        raise ValueError(f"{name} must be a vector of static size, received shape {shape}")
    return int(shape[0])
