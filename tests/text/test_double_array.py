"""The trie: every piece is found in it, nothing else is, and it is built dense and fast."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.text.byte_pieces import BytePieceTokenizer
from keras_transformer.text.double_array import MATCH_ID_RANGE, NO_BYTE, DoubleArray, build_double_array


def walk(trie: DoubleArray, data: bytes) -> int | None:
    """Returns the slot that the bytes lead to, None where a transition is missing."""
    slot = data[0]
    for byte in data[1:]:
        slot = int(trie.base[slot]) + byte
        if trie.label[slot] != byte:
            return None
    return slot


def check(pieces: list[bytes]) -> DoubleArray:
    tokenizer = BytePieceTokenizer(pieces)
    trie = build_double_array(tokenizer.pieces)
    prefixes = {piece[:end]: 0 for piece in tokenizer.pieces for end in range(1, len(piece) + 1)}
    prefixes |= {piece: len(piece) * MATCH_ID_RANGE + id for id, piece in enumerate(tokenizer.pieces) if piece}
    slots = {}
    for prefix, match in prefixes.items():
        slot = walk(trie, prefix)
        assert slot is not None
        assert trie.match[slot] == match
        slots[slot] = prefix
    assert len(slots) == len(prefixes)  # each state has a slot to itself
    dead = int(trie.base[walk(trie, max(prefixes, key=len))])
    assert all(trie.label[slot] != slot - dead for slot in slots)  # so nothing is found any more from there
    for slot, prefix in slots.items():
        ahead = trie.base[slot] + np.arange(256)
        for byte in np.flatnonzero(trie.label[ahead] == np.arange(256)).tolist():
            if prefix + bytes([byte]) not in prefixes:  # a slot left over
                after = int(ahead[byte])
                assert after not in slots
                assert trie.match[after] == 0
                assert trie.base[after] == dead
    assert trie.base.min() >= 0
    assert trie.base.max() + NO_BYTE < len(trie.base)
    return trie


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=2, max_size=5), unique=True, max_size=30))
def test_any_pieces(pieces: list[bytes]) -> None:
    check(pieces)


def test_the_pieces_of_real_text(tokenizer: BytePieceTokenizer) -> None:
    check(tokenizer.pieces[259:])


def test_states_with_all_children() -> None:
    check(
        [bytes([first, second]) for first in (0, 7, 255) for second in range(256)] + [b"\x00\x00\x00", b"\xff\xff\xff"]
    )


def test_thirty_thousand_pieces_are_packed_densely_and_soon() -> None:
    rng = np.random.default_rng(1)
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    words = letters[(rng.exponential(5, (90_000, 9)) % 26).astype(int)]
    lengths = rng.integers(2, 10, len(words))
    pieces = sorted({word[:length].tobytes() for word, length in zip(words, lengths, strict=True)})[:32_000]
    assert len(pieces) == 32_000
    started = time.process_time()
    trie = build_double_array(BytePieceTokenizer(pieces).pieces)
    assert time.process_time() - started < 5  # 0.6 s on the machine this was written on
    states = len({piece[:end] for piece in pieces for end in range(1, len(piece) + 1)})
    assert len(trie.base) < 1.1 * states + 600
