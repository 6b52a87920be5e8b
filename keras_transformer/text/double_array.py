"""The pieces as a double-array trie: three flat tables in which a longest match is found by indexing alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NO_BYTE = 256  # the symbol that stands after the end of a text; no transition has it
MATCH_ID_RANGE = 1 << 24  # a match is length * MATCH_ID_RANGE + id: the longer of two matches is the greater


class DoubleArray(NamedTuple):
    """A trie over bytes. Slot `t` is the state that bytes led to; reading byte `b` in it leads to `base[t] + b`.

    The walk starts in slot `b` for the first byte `b`. A transition exists only where `label[base[t] + b] == b`. After
    one that does not exist the walk may be carried on (indices stay inside the tables, also for the symbol `NO_BYTE`);
    what it finds must be thrown away.

    Attributes:
        base: int32 `[slots]`.
        label: uint8 `[slots]`, the byte that leads into the slot.
        match: int32 `[slots]`, length and id of the piece that ends here (see `MATCH_ID_RANGE`), 0 if none does.
    """

    base: np.ndarray
    label: np.ndarray
    match: np.ndarray


def build_double_array(pieces: Sequence[bytes]) -> DoubleArray:
    """Builds the trie of a vocabulary.

    Every state has a base of its own, so the label alone tells whose transition a slot is. States are placed, those
    with the most children first, at the lowest base whose slots are all free. A slot left over may look like a
    transition by byte 0; it holds no match, and its base is the one that leads nowhere.

    Args:
        pieces: the bytes of every id, the 256 single bytes among them; ids with no bytes are left out.

    Reference: Aoe, "An Efficient Digital Search Algorithm by Using a Double-Array Structure" (1989), with the unique
    bases of Yata's darts-clone.
    """
    children: dict[bytes, set[int]] = {}
    for piece in pieces:
        for end in range(1, len(piece)):
            children.setdefault(piece[:end], set()).add(piece[end])

    free = _FreePlaces(states=len(children))
    slots = {bytes([byte]): byte for byte in range(256)}  # the root's transitions: its base is 0
    bases: dict[bytes, int] = {}
    for prefix in sorted(children, key=lambda prefix: (-len(children[prefix]), prefix)):
        base = bases[prefix] = free.take(children[prefix])
        slots.update((prefix + bytes([byte]), base + byte) for byte in children[prefix])

    dead_base = free.take(set())  # no state's own: no transition leads on from there
    size = max(dead_base, *bases.values(), 0) + NO_BYTE + 1
    base_table = np.full(size, dead_base, np.int32)
    label_table = np.zeros(size, np.uint8)
    match_table = np.zeros(size, np.int32)
    for prefix, slot in slots.items():
        base_table[slot] = bases.get(prefix, dead_base)
        label_table[slot] = prefix[-1]
    for id, piece in enumerate(pieces):
        if piece:
            match_table[slots[piece]] = len(piece) * MATCH_ID_RANGE + id
    return DoubleArray(base_table, label_table, match_table)


class _FreePlaces:
    """The slots and bases of a double array that no state has taken yet."""

    WINDOW = 16384  # places tried at once

    def __init__(self, states: int) -> None:
        capacity = 256 * (states + 2) + self.WINDOW  # a state always fits after the last taken slot
        self._slot_taken = np.zeros(capacity, bool)
        self._base_taken = np.zeros(capacity, bool)
        self._slot_taken[:256] = True
        self._base_taken[0] = True
        self._first_free_slot = 256

    def take(self, children: set[int]) -> int:
        """Takes the lowest free base whose slots for all the children are free, and these slots; returns the base."""
        while self._slot_taken[self._first_free_slot]:
            self._first_free_slot += 1
        base = self._first_free_slot - max(children, default=0)
        base = self._lowest_fit(max(base, 0), children)
        self._base_taken[base] = True
        for byte in children:
            self._slot_taken[base + byte] = True
        return base

    def _lowest_fit(self, start: int, children: set[int]) -> int:
        while True:
            taken = self._base_taken[start : start + self.WINDOW].copy()
            for byte in children:
                taken |= self._slot_taken[start + byte : start + byte + self.WINDOW]
            place = int(taken.argmin())
            if not taken[place]:
                return start + place
            start += self.WINDOW
