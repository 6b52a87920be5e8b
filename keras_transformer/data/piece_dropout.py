"""MaxMatch-dropout: training text cut into other pieces in every epoch, fast enough to do it again each time.

The matches that a byte-piece vocabulary has at one place are prefixes of each other. So the longest match of every byte
(stored once, see `keras_transformer.text.longest_matches`) and a table from each piece to the next shorter piece that
it begins with are all that is needed: all rows walk through their bytes at once, one piece at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_transformer.data.store import Ragged

Step = tuple[np.ndarray, np.ndarray, int]  # rows, the id that each takes, and its number in the row

_GAMMA, _MIX_1, _MIX_2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class PieceDropout:
    """Cuts rows into pieces, refusing each longest match with probability `rate`, then the next shorter one, and so on.

    The single byte is taken where all others were refused. Hiraoka, "MaxMatch-Dropout: Subword Regularization for
    WordPiece" (2022), https://aclanthology.org/2022.findings-acl.298. What is refused depends on the seed, the column,
    the epoch and the byte alone: not on which rows are asked for together.

    Args:
        pieces: the bytes of every id, the 256 single bytes among them.
        rate: probability of refusing a match, at least 0 and less than 1.
        seed: of the draws.

    Example:
        ```python
        PieceDropout(tokenizer.pieces, rate=0.1, seed=0).cut(matches, rows, epochs, column=0)
        ```
    """

    def __init__(self, pieces: Sequence[bytes], rate: float, seed: int):
        self.rate = rate
        self.seed = seed
        ids = {piece: id for id, piece in enumerate(pieces) if piece}
        self._sizes = np.array([len(piece) for piece in pieces], np.int64)
        self._shorter = np.array([_next_shorter(piece, ids) for piece in pieces], np.int32)

    def cut(
        self,
        matches: Ragged,
        rows: np.ndarray,
        epochs: np.ndarray,
        column: int,
        longest: int,
        cuts_long_rows: bool = False,
    ) -> Ragged:
        """Returns the pieces of `rows`, in their order.

        Args:
            matches: for each row the id of the longest piece at each byte.
            rows: int64 `[n]`.
            epochs: int64 `[n]`, how often each row was given out before.
            column: number of the column: the two sides of a pair are cut independently.
            longest: a row that would have more pieces is cut without dropout, which is known to fit.
            cuts_long_rows: whether it is cut with dropout nevertheless, and loses what is behind that many pieces.
        """
        keys = self._keys(epochs, column)
        if cuts_long_rows:
            return _gather(*self._walk(matches, rows, keys, self.rate, longest))
        counts, steps = self._walk(matches, rows, keys, self.rate)
        over = np.flatnonzero(counts > longest)
        if not len(over):
            return _gather(counts, steps)
        whole_counts, whole_steps = self._walk(matches, rows[over], keys[over], 0.0)
        counts[over] = whole_counts
        kept = [_without(step, over) for step in steps]
        return _gather(counts, kept + [(over[places], ids, number) for places, ids, number in whole_steps])

    def _keys(self, epochs: np.ndarray, column: int) -> np.ndarray:
        """Returns the key of each row's draws, uint64 `[n]`: one for each epoch."""
        known, places = np.unique(epochs, return_inverse=True)
        seeds = [np.random.SeedSequence([self.seed, column, int(epoch)]) for epoch in known]
        return np.array([seed.generate_state(1, np.uint64)[0] for seed in seeds], np.uint64)[places]

    def _walk(
        self, matches: Ragged, rows: np.ndarray, keys: np.ndarray, rate: float, most: int | None = None
    ) -> tuple[np.ndarray, list[Step]]:
        """Returns the number of pieces of each row, and the steps: all first pieces, all second ... up to `most`."""
        counts = np.zeros(len(rows), np.int64)
        steps: list[Step] = []
        active = np.arange(len(rows))
        places, ends = matches.offsets[rows], matches.offsets[rows + 1]
        inside = places < ends
        number = 0
        while True:
            active, places, ends, keys = active[inside], places[inside], ends[inside], keys[inside]
            if not len(active) or number == most:
                return counts, steps
            ids = matches.ids[places]
            if rate:
                self._refuse(ids, uniform(keys, places), rate)
            steps.append((active, ids, number))
            counts[active] += 1
            number += 1
            places = places + self._sizes[ids]
            inside = places < ends

    def _refuse(self, ids: np.ndarray, draws: np.ndarray, rate: float) -> None:
        """Replaces ids by shorter ones: by the n-th shorter with probability `rate` to the n-th, from one draw each."""
        bound = rate
        refused = np.flatnonzero(draws < bound)
        while len(refused) and (ids[refused] != self._shorter[ids[refused]]).any():
            ids[refused] = self._shorter[ids[refused]]
            bound *= rate
            refused = refused[draws[refused] < bound]


def uniform(keys: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Returns numbers in [0, 1) that depend on key and counter alone: number `counter` of the stream `key`.

    SplitMix64: Steele et al., "Fast Splittable Pseudorandom Number Generators" (2014).
    """
    x = keys + (counters.astype(np.uint64) + np.uint64(1)) * _GAMMA
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def _next_shorter(piece: bytes, ids: dict[bytes, int]) -> int:
    """Returns the id of the longest piece that `piece` begins with and is not; its own if it is a single byte."""
    return next((ids[piece[:end]] for end in range(len(piece) - 1, 0, -1) if piece[:end] in ids), ids.get(piece, 0))


def _without(step: Step, rows: np.ndarray) -> Step:
    active, ids, number = step
    keep = ~np.isin(active, rows)
    return active[keep], ids[keep], number


def _gather(counts: np.ndarray, steps: list[Step]) -> Ragged:
    """Puts the first, second ... pieces of all rows into their places, row by row."""
    offsets = np.concatenate([[0], counts.cumsum()])
    flat = np.empty(offsets[-1], np.int32)
    for active, ids, number in steps:
        flat[offsets[active] + number] = ids
    return Ragged(flat, offsets)
