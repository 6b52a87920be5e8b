"""Cuts rows sorted by length into batches of about the same number of tokens."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DIFFERENCE = 8  # differences between the sides of rows that are sorted alike; measured, see docs/methods.md


class Bucket(NamedTuple):
    """Where a batch lies in the sorted rows, and its shape."""

    start: int
    stop: int
    rows: int
    source_length: int
    target_length: int


def rounded(lengths: np.ndarray, multiple: int) -> np.ndarray:
    """Returns the lengths rounded up to a multiple, at least one of it."""
    return np.maximum(-(-lengths // multiple), 1) * multiple


def sort_keys(source_lengths: np.ndarray, target_lengths: np.ndarray, multiple: int) -> np.ndarray:
    """Returns what to sort rows by for little padding on both sides, int64 `[rows]`; many rows have the same.

    The longer side comes first, for it decides how many rows fit into a batch. Among rows that agree in it, the
    difference between the sides, as a multiple of `DIFFERENCE`, rises and falls in turn, so that where one length gives
    way to the next they agree. Exact differences would leave less padding, and batches of texts that are alike in more
    than length, whose gradients are far from that of all: see docs/methods.md, "Batches".
    """
    longer = np.maximum(source_lengths, target_lengths) // multiple
    step = max(multiple, DIFFERENCE)
    difference = (target_lengths - source_lengths + step // 2) // step
    span = 2 * int(np.abs(difference).max()) + 1
    return longer * span + np.where(longer % 2 == 1, -difference, difference)


def cut(source_lengths: np.ndarray, target_lengths: np.ndarray, batch_tokens: int, fill: bool) -> list[Bucket]:
    """Cuts sorted rows into batches as large as the budget allows, on either side.

    Args:
        source_lengths, target_lengths: rounded, in the order of the rows.
        batch_tokens: the most tokens on either side, padding included; no row is longer.
        fill: give each batch as many rows as its lengths allow, the last of them padding: few shapes.
    """
    longer = np.maximum(source_lengths, target_lengths)
    buckets: list[Bucket] = []
    start, count = 0, len(longer)
    while start < count:
        # the batch's longest row decides how many rows fit: find the largest stop that still fits
        window = min(count, start + batch_tokens // int(longer[start]))
        widest = np.maximum.accumulate(longer[start:window])
        fits = widest * np.arange(1, window - start + 1) <= batch_tokens
        rows = len(fits) if fits.all() else int(np.argmin(fits))
        buckets.append(_bucket(source_lengths, target_lengths, start, start + rows))
        start += rows
    if fill:
        return [bucket._replace(rows=batch_tokens // max(bucket[3:])) for bucket in buckets]
    return buckets


def cut_into(
    count: int, source_lengths: np.ndarray, target_lengths: np.ndarray, batch_tokens: int, fill: bool
) -> list[Bucket]:
    """As `cut`, but into exactly `count` batches, where rows and lengths differ from round to round.

    The budget is lowered as far as `count` batches suffice for, and what is still missing comes from halving the
    batches of most rows. Should `count` batches of the full budget not suffice, it is raised, by as little as need be.

    Args:
        count: of batches; at most that of the rows.
        Others: see `cut`.
    """
    longest = int(max(source_lengths.max(), target_lengths.max()))

    def enough(budget: int) -> bool:
        return len(cut(source_lengths, target_lengths, budget, False)) <= count

    low, high = longest - 1, max(batch_tokens, longest)  # low is too little, or as good as
    while not enough(high):
        low, high = high, high + max(high // 64, 1)
    while high - low > max(1, high // 256):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    buckets = cut(source_lengths, target_lengths, high, False)
    while len(buckets) < count:
        largest = max(range(len(buckets)), key=lambda i: buckets[i].rows)
        start, stop = buckets[largest][:2]
        middle = (start + stop + 1) // 2
        bounds = ((start, middle), (middle, stop))
        buckets[largest : largest + 1] = [_bucket(source_lengths, target_lengths, *bound) for bound in bounds]
    if fill:
        budget = max(batch_tokens, high)
        return [bucket._replace(rows=budget // max(bucket[3:])) for bucket in buckets]
    return buckets


def _bucket(source_lengths: np.ndarray, target_lengths: np.ndarray, start: int, stop: int) -> Bucket:
    longest_source, longest_target = int(source_lengths[start:stop].max()), int(target_lengths[start:stop].max())
    return Bucket(start, stop, stop - start, longest_source, longest_target)
