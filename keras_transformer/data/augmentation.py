"""Training text changed a little, anew in every epoch: words that change places, words left out.

Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks" (2019),
https://arxiv.org/abs/1901.11196: random swap and random deletion, on the pieces of a text.

Shapes: b batch, n length in pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SPACE = b" \t\r\n"


class Augmentation:
    """Swaps and deletes random words; a word begins with a piece that begins with white space.

    The first word keeps its place, for no space stands before it. A text of which every word would go stays whole.

    Args:
        pieces: the bytes of every id.
        swap: the probability that a word changes places with another.
        delete: the probability that a word is left out.

    Example:
        ```python
        changed = Augmentation(tokenizer.pieces, swap=0.1, delete=0.1)(ids, np.random.default_rng(0), pad_id=0)
        ```
    """

    def __init__(self, pieces: Sequence[bytes], swap: float = 0.0, delete: float = 0.0):
        self.swap = swap
        self.delete = delete
        self.begins_word = np.array([piece[:1] in SPACE and bool(piece) for piece in pieces])

    def __call__(self, ids: np.ndarray, random: np.random.Generator, pad_id: int) -> np.ndarray:
        """Returns changed texts, int32 `[b, n]`; those that lost words are padded at the end.

        Args:
            ids: int32 `[b, n]`, padded at the end.
            random: gives the draws.
            pad_id: the id of padding.
        """
        real = ids != pad_id
        begins = self.begins_word[ids] & real
        begins[:, 0] = False  # the first word begins there, space or not
        words = begins.cumsum(axis=1)  # number of each piece's word
        counts = np.where(real, words, 0).max(axis=1) + 1
        width = int(counts.max())
        kept = random.random((len(ids), width)) >= self.delete
        kept |= ~(kept & (np.arange(width) < counts[:, None])).any(axis=1, keepdims=True)
        ranks = np.tile(np.arange(width), (len(ids), 1))
        for row in np.flatnonzero(counts > 2):
            self._swap_words(ranks[row], int(counts[row]), random)
        stays = real & np.take_along_axis(kept, words, axis=1)
        keys = np.where(stays, np.take_along_axis(ranks, words, axis=1), width)
        order = np.argsort(keys, axis=1, kind="stable")
        return np.take_along_axis(np.where(stays, ids, pad_id), order, axis=1).astype(np.int32, copy=False)

    def _swap_words(self, ranks: np.ndarray, count: int, random: np.random.Generator) -> None:
        """Swaps the ranks of some of the words 1 to count - 1, in place."""
        for _ in range(random.binomial(count - 1, self.swap / 2)):
            one, other = 1 + random.choice(count - 1, 2, replace=False)
            ranks[one], ranks[other] = ranks[other], ranks[one]
