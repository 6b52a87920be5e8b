"""The longest piece at every byte of a text: what MaxMatch would take if it came there. NumPy alone.

A text's pieces under MaxMatch-dropout begin at other bytes than its pieces without it. With the longest match of every
byte at hand, finding them is a walk of one lookup a piece, and the text itself is needed no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_transformer.text.byte_pieces import BytePieceTokenizer, text_bytes
from keras_transformer.text.double_array import MATCH_ID_RANGE, NO_BYTE, DoubleArray, build_double_array


class LongestMatches:
    """Finds the longest matches of whole batches of texts.

    Args:
        tokenizer: gives the vocabulary.

    Example:
        ```python
        LongestMatches(tokenizer).match_batch(["A man"])[0]  # 5 ids: of "A", " man", "man", "a" and "n"
        ```
    """

    def __init__(self, tokenizer: BytePieceTokenizer) -> None:
        self._trie = build_double_array(tokenizer.pieces)
        self._room = tokenizer.max_piece_bytes

    def match_batch(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Returns for each text the id of the longest piece that begins at each of its bytes, int32 `[bytes]`."""
        data = [text_bytes(text) for text in texts]
        joined = np.frombuffer(b"\0".join([*data, b""]), np.uint8)
        ends = np.cumsum(
            [len(text) + 1 for text in data], dtype=np.int64
        )  # a gap behind each, which no piece goes over
        symbols = np.full(len(joined) + self._room, NO_BYTE, np.int32)
        symbols[: len(joined)] = joined
        symbols[ends - 1] = NO_BYTE
        found = longest_matches(self._trie, symbols)
        return [found[end - 1 - len(text) : end - 1] for text, end in zip(data, ends.tolist(), strict=True)]


def longest_matches(trie: DoubleArray, symbols: np.ndarray) -> np.ndarray:
    """Returns the id of the longest piece at each symbol, int32 like `symbols`; 0 where there is no byte.

    All places walk the trie at once, one byte at a time; those without a way on drop out.

    Args:
        trie: of the vocabulary.
        symbols: int32, bytes and `NO_BYTE`; ends with as many `NO_BYTE` as the longest piece has bytes.
    """
    places = np.flatnonzero(symbols != NO_BYTE)
    slots = symbols[places]
    matches = np.zeros(len(symbols), np.int32)
    depth = 0
    while len(places):
        # the longer of two matches is the greater, and 0 is none
        matches[places] = np.maximum(matches[places], trie.match[slots])
        depth += 1
        byte = symbols[places + depth]
        slots = trie.base[slots] + byte
        goes_on = trie.label[slots] == byte
        places, slots = places[goes_on], slots[goes_on]
    return matches % MATCH_ID_RANGE
