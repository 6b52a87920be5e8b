"""Where the words of a text are, by its bytes alone: the same rule in Python and in an exported file."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from typing import Literal

import numpy as np

Rule = Literal["space", "punctuation"]

CLOSING = frozenset((".", ",", ";", ":", "?", "!", ")", "]", "}", "%"))  # stand right behind the word before
OPENING = frozenset(("(", "[", "{", "$"))  # and right before the one behind

WHITE_SPACE = " \t\n\v\f\r"
SPACES = np.isin(np.arange(256), list(WHITE_SPACE.encode()))
PUNCTUATION = np.isin(np.arange(256), list(string.punctuation.encode()))


def word_spans(data: bytes, rule: Rule = "space") -> list[tuple[int, int]]:
    """Returns where each word begins and the byte behind its end.

    Args:
        data: UTF-8 text.
        rule: "space" parts words at ASCII white space alone, as text is whose tokens are parted already. "punctuation"
            also makes a word of every ASCII punctuation mark, but for one between two bytes that are neither space nor
            punctuation: `don't`, `3.14` and `U.S` are whole, `(Paris).` is four words.

    Example:
        ```python
        word_spans(b"In Paris.", "punctuation")  # [(0, 2), (3, 8), (8, 9)]
        ```
    """
    starts, ends = word_bounds(np.frombuffer(data, np.uint8), rule)
    return list(zip(np.flatnonzero(starts).tolist(), (np.flatnonzero(ends) + 1).tolist(), strict=True))


def join_words(words: Sequence[str], rule: Rule = "space") -> tuple[bytes, list[int]]:
    """Returns words as a UTF-8 text that `word_spans` parts into them again, and the byte where each begins.

    A space stands between them. With "punctuation" there is none before a comma, a full stop and the like, as people
    write; but for sentences whose words the rule would then find elsewhere.

    Args:
        words: without white space.
        rule: see `word_spans`.

    Example:
        ```python
        join_words(["In", "Paris", "."], "punctuation")  # (b"In Paris.", [0, 3, 8])
        ```
    """
    data = [word.encode("utf-8", "replace") for word in words]
    if rule == "punctuation":
        spaces = [not (word in CLOSING or before in OPENING) for before, word in itertools.pairwise(words)]
        text, starts = _joined(data, spaces)
        if [start for start, _ in word_spans(text, rule)] == starts:
            return text, starts
    return _joined(data, [True] * (len(data) - 1))


def _joined(words: Sequence[bytes], spaces: Sequence[bool]) -> tuple[bytes, list[int]]:
    """Returns the text, with a space behind a word where `spaces` says so, and where the words begin."""
    parts = [word + b" " * space for word, space in zip(words, [*spaces, False], strict=False)]
    return b"".join(parts), [int(start) for start in np.cumsum([0, *map(len, parts)])[:-1]]


def word_bounds(data: np.ndarray, rule: Rule = "space") -> tuple[np.ndarray, np.ndarray]:
    """Returns for every byte whether a word begins there, and whether one ends with it, bool `[bytes]`."""
    inside = ~SPACES[data]
    plain = inside & ~PUNCTUATION[data]
    before, behind = np.roll(plain, 1), np.roll(plain, -1)
    before[:1] = behind[-1:] = False
    alone = inside & ~plain & ~(before & behind) if rule == "punctuation" else np.zeros_like(inside)
    joined = inside[:-1] & inside[1:] & ~alone[:-1] & ~alone[1:]  # of each byte and the next: one word
    edge = np.zeros(min(len(data), 1), bool)
    return inside & ~np.concatenate([edge, joined]), inside & ~np.concatenate([joined, edge])
