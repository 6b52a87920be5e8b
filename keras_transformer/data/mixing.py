"""In which order, and how often, the rows of one source or of several are given out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mixing_shares(sizes: Sequence[int], weights: Sequence[float] | None = None, temperature: float = 1.0) -> np.ndarray:
    """Returns the share that each source has in training, float64 `[sources]`, which sum to 1.

    Shares go with `weights` where they are given; else with size to the power of 1 / `temperature`: 1 mixes by size,
    larger values bring small sources up, infinity mixes all alike. Arivazhagan et al., "Massively Multilingual Neural
    Machine Translation in the Wild" (2019), https://arxiv.org/abs/1907.05019, section 4.2.

    Example:
        ```python
        mixing_shares([900, 100], temperature=2)  # [0.75, 0.25]
        ```
    """
    if weights is None:  # sizes for one of the largest: no power of them overflows
        scores = (np.asarray(sizes, np.float64) / max(sizes)) ** (1 / temperature)
    else:
        scores = np.asarray(weights, np.float64)
    return scores / scores.sum()


class Mixture:
    """Gives out rows in rounds: in every round the same number of each source, in an order of its own.

    Each source is an endless stream: all its rows in one random order, then all in another. Round r takes the next
    rows of every stream. So nothing but the seed and r decides what a round holds, and no row comes up a second time
    before all others of its source have come up once.

    Args:
        sizes: rows of each source.
        rows: of a round, all sources together.
        seed: of the orders.
        shares: of each source in a round; default in proportion to its size.

    Attributes:
        counts: rows of each source in a round, at least 1.

    Example:
        ```python
        rows, epochs = Mixture(sizes=[900, 100], rows=1000, seed=0, shares=[0.75, 0.25]).draw(0)
        ```
    """

    def __init__(self, sizes: Sequence[int], rows: int, seed: int, shares: Sequence[float] | None = None):
        self.sizes = tuple(sizes)
        self.seed = seed
        self._last: dict[int, tuple[int, np.ndarray]] = {}
        self.counts = _counts(mixing_shares(sizes) if shares is None else np.asarray(shares), rows)

    @property
    def is_epoch(self) -> bool:
        """Whether every round holds all rows once."""
        return self.counts == self.sizes

    def draw(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of a round, source by source, and how often each was given out before; int64 `[rows]`."""
        rows, epochs = [], []
        first_row = 0
        for source, (size, count) in enumerate(zip(self.sizes, self.counts, strict=True)):
            epoch, place = np.divmod(np.arange(number * count, (number + 1) * count), size)
            rows.append(
                first_row + np.concatenate([self._order(source, e)[place[epoch == e]] for e in np.unique(epoch)])
            )
            epochs.append(epoch)
            first_row += size
        return np.concatenate(rows), np.concatenate(epochs)

    def _order(self, source: int, epoch: int) -> np.ndarray:
        """Returns the order of a source's rows in an epoch, remembered until another is asked for."""
        if self._last.get(source, (-1,))[0] != epoch:
            random = np.random.Generator(np.random.PCG64([self.seed, source, epoch]))
            self._last[source] = (epoch, random.permutation(self.sizes[source]))
        return self._last[source][1]


def _counts(shares: np.ndarray, rows: int) -> tuple[int, ...]:
    """Parts `rows` by shares, the largest remainders rounded up, none less than 1."""
    exact = shares * rows
    counts = np.floor(exact + 1e-9)
    missing = rows - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return tuple(int(count) for count in np.maximum(counts, 1))
