"""Batches of about the same number of tokens, from rows of about the same length.

Shapes: b batch, s source length, t target length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_transformer.data.store import TokenStore
from keras_transformer.errors import UserError

# Lengths are rounded up to a multiple of this: few shapes, so that XLA compiles few times, and little padding.
LENGTH_MULTIPLE = 4


class Bucket(NamedTuple):
    """Where a batch lies in the sorted rows, and its shape."""

    start: int
    stop: int
    rows: int
    source_length: int
    target_length: int


class Seq2SeqBatches:
    """Batches of sentence pairs in a deterministic order.

    Rows are sorted by their rounded target length, then source length, and cut into batches whose padded source and
    padded target each hold at most `batch_tokens`. Rows of equal lengths are shuffled, and so are the batches, anew in
    every epoch: the order depends on `seed` and the step alone, so that training can be taken up at any step. The
    shapes are the same in every epoch. The last batch of all is filled up with rows of padding.

    A batch is `({"source_ids": [b, s], "target_ids": [b, t]}, labels [b, t])`, int32: the target with the start id
    before it, and the labels with the end id behind them.

    Args:
        store: with columns "source" and "target".
        batch_tokens: the most tokens, padding included, on either side of a batch.
        seed: of the order.
        start_id, end_id, pad_id: special ids.

    Attributes:
        batches_per_epoch: number of batches.
        padding_share: share of padding among all target positions.

    Raises:
        UserError: `batch_tokens` is less than the longest row; the store has no such columns.

    Example:
        ```python
        batches = Seq2SeqBatches(store, batch_tokens=4096, seed=0, start_id=1, end_id=2, pad_id=0)
        inputs, labels = next(batches.from_step(0))
        ```
    """

    def __init__(self, store: TokenStore, batch_tokens: int, seed: int, start_id: int, end_id: int, pad_id: int):
        self.source, self.target = store.column("source"), store.column("target")
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.start_id, self.end_id, self.pad_id = start_id, end_id, pad_id
        source_lengths = _rounded(self.source.lengths)
        target_lengths = _rounded(self.target.lengths + 1)  # the start or end id
        longest = int(max(source_lengths.max(), target_lengths.max()))
        if longest > batch_tokens:
            raise UserError(
                f"a batch of {batch_tokens} tokens cannot hold the longest row of {longest} (rounded up to a multiple "
                f"of {LENGTH_MULTIPLE}); set training.batch_tokens to {longest} or more"
            )
        # ascending and descending source lengths in turn: where one target length gives way to the next, they agree
        descending = (target_lengths // LENGTH_MULTIPLE) % 2 == 1
        self._keys = target_lengths * (2 * longest) + np.where(descending, longest - source_lengths, source_lengths)
        order = np.argsort(self._keys, kind="stable")
        self._buckets = _cut(source_lengths[order], target_lengths[order], batch_tokens)
        self.batches_per_epoch = len(self._buckets)
        positions = sum(bucket.rows * bucket.target_length for bucket in self._buckets)
        self.padding_share = 1 - float((self.target.lengths + 1).sum()) / positions

    def from_step(self, step: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Yields batches without end, beginning with that of `step`, counted from 0 over all epochs."""
        epoch, skip = divmod(step, self.batches_per_epoch)
        while True:
            for start, bucket in self._epoch(epoch)[skip:]:
                yield self._batch(start, bucket)
            epoch, skip = epoch + 1, 0

    def one_epoch(self) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Yields every batch once."""
        for rows, bucket in self._epoch(0):
            yield self._batch(rows, bucket)

    def _epoch(self, epoch: int) -> list[tuple[np.ndarray, Bucket]]:
        random = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        shuffled = random.permutation(len(self._keys))
        order = shuffled[np.argsort(self._keys[shuffled], kind="stable")]
        batches = [(order[bucket.start : bucket.stop], bucket) for bucket in self._buckets]
        return [batches[i] for i in random.permutation(len(batches))]

    def _batch(self, rows: np.ndarray, bucket: Bucket) -> tuple[dict[str, np.ndarray], np.ndarray]:
        source = np.full((bucket.rows, bucket.source_length), self.pad_id, dtype=np.int32)
        source[: len(rows)] = self.source.padded(rows, bucket.source_length, self.pad_id)
        labels = np.full((bucket.rows, bucket.target_length), self.pad_id, dtype=np.int32)
        labels[: len(rows)] = self.target.padded(rows, bucket.target_length, self.pad_id)
        target = np.full_like(labels, self.pad_id)
        target[: len(rows), 0] = self.start_id
        target[:, 1:] = labels[:, :-1]
        labels[np.arange(len(rows)), self.target.lengths[rows]] = self.end_id
        return {"source_ids": source, "target_ids": target}, labels


def _rounded(lengths: np.ndarray) -> np.ndarray:
    return np.maximum(-(-lengths // LENGTH_MULTIPLE), 1) * LENGTH_MULTIPLE


def _cut(source_lengths: np.ndarray, target_lengths: np.ndarray, batch_tokens: int) -> list[Bucket]:
    """Cuts sorted rows into batches as large as the budget allows."""
    buckets: list[Bucket] = []
    start, count = 0, len(source_lengths)
    while start < count:
        # the batch's longest row decides how many rows fit: find the largest stop that still fits
        window = min(count, start + batch_tokens // LENGTH_MULTIPLE)
        widest = np.maximum.accumulate(np.maximum(source_lengths[start:window], target_lengths[start:window]))
        fits = widest * np.arange(1, window - start + 1) <= batch_tokens
        rows = len(fits) if fits.all() else int(np.argmin(fits))
        stop = start + rows
        source_length = int(source_lengths[start:stop].max())
        target_length = int(target_lengths[start:stop].max())
        full = batch_tokens // max(source_length, target_length)
        buckets.append(Bucket(start, stop, full if stop == count and buckets else rows, source_length, target_length))
        start = stop
    return buckets
