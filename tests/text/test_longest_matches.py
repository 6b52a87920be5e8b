"""The longest match at every byte, against the tokenizer's reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.text import BytePieceTokenizer, LongestMatches

PIECES = [b"ab", b"abcab", b"bc", b"\0\0", b"\xff\xfe", b"ca", b"a" * 24]
TOKENIZER = BytePieceTokenizer(PIECES)
MATCHES = LongestMatches(TOKENIZER)


def expected(text: bytes) -> list[int]:
    """The first piece of what is left is the longest match there."""
    return [int(TOKENIZER.encode(text[start:])[0]) for start in range(len(text))]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.text("abc\0", max_size=60)), max_size=5))
def test_every_byte(texts: list[str | bytes]) -> None:
    found = MATCHES.match_batch(texts)
    assert [ids.tolist() for ids in found] == [expected(t.encode() if isinstance(t, str) else t) for t in texts]


def test_no_match_goes_over_the_end_of_a_text() -> None:
    first, second = MATCHES.match_batch(["a" * 23, "ab"])
    assert TOKENIZER.pieces[first[0]] == b"a"
    assert [TOKENIZER.pieces[id] for id in second] == [b"ab", b"b"]
    assert first.dtype == np.int32


def test_a_vocabulary_of_single_bytes() -> None:
    bare = BytePieceTokenizer([])
    assert LongestMatches(bare).match_batch(["aé"])[0].tolist() == bare.encode("aé").tolist()
