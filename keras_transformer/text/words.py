"""Where the words of a text are, by its bytes alone: the same rule in Python and in an exported file."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from keras_transformer.text.word_kinds import CODE_POINTS, GLUE, INNER, JOINS, PLAIN, SPACE, code_point_kinds

Rule = Literal["space", "punctuation", "punctuation_unicode14"]

RULES: tuple[Rule, ...] = ("space", "punctuation", "punctuation_unicode14")
NEW_RULES: dict[str, Rule] = {"space": "space", "punctuation": "punctuation_unicode14"}  # of what a training asks for

# stand right behind the word before, and right before the one behind
CLOSING = frozenset((".", ",", ";", ":", "?", "!", ")", "]", "}", "%"))
OPENING = frozenset(("(", "[", "{", "$"))
UNICODE_CLOSING = CLOSING | frozenset("…‥”。、，．！？；：）］｝」』》〉】،؛؟۔।॥‰")
UNICODE_OPENING = OPENING | frozenset("¿¡„‚（［｛「『《〈【£")

WHITE_SPACE = " \t\n\v\f\r"
SPACES = np.isin(np.arange(256), list(WHITE_SPACE.encode()))
PUNCTUATION = np.isin(np.arange(256), list(string.punctuation.encode()))


class Units(NamedTuple):
    """What a rule looks at, in order: bytes, or code points with those that join them.

    Attributes:
        starts: the first byte of each, int `[units]`.
        kinds: `SPACE`, `PLAIN`, `INNER` or `MARK` of each, uint8 `[units]`.
    """

    starts: np.ndarray
    kinds: np.ndarray


def word_spans(data: bytes, rule: Rule = "space") -> list[tuple[int, int]]:
    """Returns where each word begins and the byte behind its end.

    Args:
        data: UTF-8 text.
        rule: "space" parts words at ASCII white space alone, as text is whose tokens are parted already. "punctuation"
            also makes a word of every ASCII punctuation mark, but for one between two bytes that are neither space nor
            punctuation: `don't`, `3.14` and `U.S` are whole, `(Paris).` is four words. "punctuation_unicode14" does
            the same with the white space, the punctuation and the symbols of Unicode (categories P* and S*), of which
            few, such as `’` and `–`, are part of a word between letters; see `word_kinds`.

    Example:
        ```python
        word_spans(b"In Paris.", "punctuation")  # [(0, 2), (3, 8), (8, 9)]
        ```
    """
    starts, kinds = units_of(np.frombuffer(data, np.uint8), rule)
    ends = np.append(starts[1:], len(data))
    inside, plain = kinds != SPACE, np.pad(kinds == PLAIN, 1)
    whole = plain[1:-1] | ((kinds == INNER) & plain[:-2] & plain[2:])
    joined = np.pad(whole[:-1] & whole[1:], 1)  # of each unit and the next: one word
    begins, finishes = inside & ~joined[: len(kinds)], inside & ~joined[1 : len(kinds) + 1]
    return list(zip(starts[begins].tolist(), ends[finishes].tolist(), strict=True))


def units_of(data: np.ndarray, rule: Rule) -> Units:
    """Returns the units of a text, uint8 `[bytes]`."""
    if rule != "punctuation_unicode14":
        marks = PUNCTUATION if rule == "punctuation" else np.zeros_like(PUNCTUATION)
        kinds = np.where(SPACES, SPACE, np.where(marks, INNER, PLAIN)).astype(np.uint8)
        return Units(np.arange(len(data)), kinds[data])
    points, starts = _code_points(data)
    kinds = code_point_kinds()[points]
    before = np.concatenate([np.zeros(min(len(kinds), 1), np.uint8), kinds[:-1]])  # at first a space
    joins = ((kinds == JOINS) | (kinds == GLUE) | (before == GLUE)) & (kinds != SPACE) & (before != SPACE)
    kinds = np.where((kinds == JOINS) | (kinds == GLUE), PLAIN, kinds)
    return Units(starts[~joins], kinds[~joins])


def _code_points(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the code points of a text and where they begin; each byte that is no UTF-8 is a letter of its own."""
    ahead = np.pad(data.astype(np.int32), (0, 3))
    first, second, third, fourth = (ahead[shift : len(data) + shift] for shift in range(4))
    more = (ahead >= 0x80) & (ahead < 0xC0)
    one, two, three = (more[shift : len(data) + shift] for shift in (1, 2, 3))
    by_size = {
        2: ((first >= 0xC2) & (first < 0xE0) & one, (first - 0xC0) * 64 + second - 0x80),
        3: ((first >= 0xE0) & (first < 0xF0) & one & two, ((first - 0xE0) * 64 + second - 0x80) * 64 + third - 0x80),
        4: (
            (first >= 0xF0) & (first < 0xF5) & one & two & three,
            (((first - 0xF0) * 64 + second - 0x80) * 64 + third - 0x80) * 64 + fourth - 0x80,
        ),
    }
    points, sizes = np.where(first < 0x80, first, ord("a")), np.ones(len(data), np.int32)
    for size, (fits, point) in by_size.items():
        points, sizes = np.where(fits, point, points), np.where(fits, size, sizes)
    begins = np.ones(len(data) + 3, bool)
    for shift in (1, 2, 3):
        begins[shift : shift + len(data)] &= sizes <= shift
    starts = np.flatnonzero(begins[: len(data)])
    return np.minimum(points[starts], CODE_POINTS - 1), starts


def join_words(words: Sequence[str], rule: Rule = "space") -> tuple[bytes, list[int]]:
    """Returns words as a UTF-8 text that `word_spans` parts into them again, and the byte where each begins.

    A space stands between them. With the rules of punctuation there is none before a comma, a full stop and the like,
    as people write; but for sentences whose words the rule would then find elsewhere.

    Args:
        words: without white space.
        rule: see `word_spans`.

    Example:
        ```python
        join_words(["In", "Paris", "."], "punctuation")  # (b"In Paris.", [0, 3, 8])
        ```
    """
    data = [word.encode("utf-8", "replace") for word in words]
    if rule != "space":
        text, starts = _joined(data, [not glued for glued in _glued(words, rule)])
        if [start for start, _ in word_spans(text, rule)] == starts:
            return text, starts
    return _joined(data, [True] * (len(data) - 1))


def _glued(words: Sequence[str], rule: Rule) -> list[bool]:
    """Returns of each word but the last whether people write the next one right behind it."""
    if rule == "punctuation":
        return [word in CLOSING or before in OPENING for before, word in itertools.pairwise(words)]
    closing, opening = set(UNICODE_CLOSING), set(UNICODE_OPENING)
    (closing if "„" in words else opening).add("“")  # German closes with what English opens with
    (closing if "‚" in words else opening).add("‘")
    return [word in closing or before in opening for before, word in itertools.pairwise(words)]


def _joined(words: Sequence[bytes], spaces: Sequence[bool]) -> tuple[bytes, list[int]]:
    """Returns the text, with a space behind a word where `spaces` says so, and where the words begin."""
    parts = [word + b" " * space for word, space in zip(words, [*spaces, False], strict=False)]
    return b"".join(parts), [int(start) for start in np.cumsum([0, *map(len, parts)])[:-1]]
