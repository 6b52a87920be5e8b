"""Batches of about the same number of tokens, from rows of about the same length.

Shapes: b batch, s source length, t target length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_transformer.data.buckets import Bucket, cut, cut_into, rounded, sort_keys
from keras_transformer.data.mixing import Mixture
from keras_transformer.data.piece_dropout import PieceDropout
from keras_transformer.data.store import Ragged, TokenStore, matches_of
from keras_transformer.errors import UserError

Batch = tuple[dict[str, np.ndarray], np.ndarray]
DROPOUT_ROWS = 200_000  # rows that are cut into pieces at once: what bounds the memory, 50 MB for short sentences
ROOM = 0.01  # batches a round has more than its first would need, for rounds that happen to be longer
FIRST_SHARE = 0.1  # of the batches, the shortest, that a curriculum begins with
_CURRICULUM = 1  # tells its draws from others of the same seed and step


@dataclass
class Round:
    """The rows that are cut into batches together: an epoch, or a part of one.

    Attributes:
        number: counted from 0.
        sides: hold the texts, a side for each column.
        order: rows of the sides, sorted by length; a bucket is a stretch of it.
        rows: the rows of the store that these are.
        buckets: the batches, from short to long.
        batch_order: in which order they are given out.
    """

    number: int
    sides: tuple[Ragged, ...]
    order: np.ndarray
    rows: np.ndarray
    buckets: list[Bucket]
    batch_order: np.ndarray


class TokenBatches(ABC):
    """Batches of texts in a deterministic order; what is in a batch, a subclass says.

    Rows are sorted by length (see `sort_keys`) and cut into batches whose padded texts hold at most `batch_tokens` on
    each side. Rows that are sorted alike are shuffled, and so are the batches, anew in every epoch: the order
    depends on the arguments and the step alone, so that training can be taken up at any step.

    Without `dropout` and `shares` every epoch has batches of the same rows and longer sides. With them, lengths differ
    from epoch to epoch, but not the number of batches, by which steps are told from epochs: the first epoch decides it,
    with 1% of room, and every other is cut into as many, somewhat smaller or larger ones. No row is ever left
    out, and a batch exceeds `batch_tokens` only if 1% was not enough, and then by as little as possible. Dropout makes
    no row longer than the longest is without: it leaves such a row whole for that epoch, or cuts it there if
    `cuts_long_rows`.

    With a curriculum (Platanios et al., "Competence-based Curriculum Learning for Neural Machine Translation" (2019),
    https://arxiv.org/abs/1903.09848) the first steps draw their batches from the shortest ones: from a tenth of them
    at first, from the share sqrt(0.1^2 + (1 - 0.1^2) * step / curriculum_steps) at a step, from all at the last.

    Args:
        store: with the columns, and their matches if there is `dropout`.
        columns: one or two columns of texts, and how many ids a batch adds to each.
        batch_tokens: the most tokens, padding included, on either side of a batch.
        seed: of the order.
        pad_id: the id of padding.
        length_multiple: lengths are rounded up to a multiple. 1 is best where a new shape costs nothing; above 1,
            batches are also filled up with rows of padding, so that XLA has few shapes to compile.
        dropout: cuts the texts into other pieces in every epoch.
        shares: of each source of the store in an epoch; default in proportion to its size. An epoch has as many rows
            as the store.
        curriculum_steps: steps until batches of all lengths are in; 0 means from the start.

    Attributes:
        batches_per_epoch: number of batches.
        padding_shares: share of padding among all positions of an epoch, of each side.
        padding_share: that of the last side.
        parts, counts: rows that each source has, and rows of each in an epoch.

    Raises:
        UserError: `batch_tokens` is less than the longest row; the store lacks a column.
    """

    cuts_long_rows = False

    def __init__(
        self,
        store: TokenStore,
        columns: Mapping[str, int],
        batch_tokens: int,
        seed: int,
        pad_id: int,
        length_multiple: int = 1,
        dropout: PieceDropout | None = None,
        shares: Sequence[float] | None = None,
        curriculum_steps: int = 0,
    ):
        self.sides = tuple(store.column(name) for name in columns)
        self.added = tuple(columns.values())
        self.matches = [store.column(matches_of(name)) for name in columns] if dropout else []
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.pad_id = pad_id
        self.length_multiple = length_multiple
        self.dropout = dropout
        self.curriculum_steps = curriculum_steps
        self._longest = tuple(int(side.lengths.max()) for side in self.sides)
        self._check_budget()
        rounds_per_epoch = -(-len(store) // DROPOUT_ROWS) if dropout else 1
        self._mixture = Mixture(store.parts, -(-len(store) // rounds_per_epoch), seed, shares)
        self._batches_per_round: int | None = None
        first = self._round(0)
        self._batches_per_round = len(first.buckets)
        self.batches_per_epoch = len(first.buckets) * rounds_per_epoch
        self.parts = store.parts
        self.counts = tuple(count * rounds_per_epoch for count in self._mixture.counts)
        self.padding_shares = self._padding_shares(first)
        self.padding_share = self.padding_shares[-1]

    def _check_budget(self) -> None:
        most = max(longest + added for longest, added in zip(self._longest, self.added, strict=True))
        longest = int(rounded(np.array(most), self.length_multiple))
        if longest > self.batch_tokens:
            multiple = self.length_multiple
            how = f" (rounded up to a multiple of {multiple})" if multiple > 1 else ""
            raise UserError(
                f"a batch of {self.batch_tokens} tokens cannot hold the longest row of {longest}{how}; "
                f"set training.batch_tokens to {longest} or more"
            )

    def _padding_shares(self, now: Round) -> tuple[float, ...]:
        shares = []
        for place, (side, added) in enumerate(zip(now.sides, self.added, strict=True)):
            positions = sum(bucket.rows * bucket[3 + place] for bucket in now.buckets)
            shares.append(1 - float((side.lengths[now.order] + added).sum()) / positions)
        return tuple(shares)

    def from_step(self, step: int) -> Iterator[Batch]:
        """Yields batches without end, beginning with that of `step`, counted from 0 over all epochs."""
        assert self._batches_per_round is not None
        number, place = divmod(step, self._batches_per_round)
        while True:
            now = self._round(number)
            for bucket in now.batch_order[place:]:
                yield self._batch(now, now.buckets[bucket if step >= self.curriculum_steps else self._easy(step)])
                step += 1
            number, place = number + 1, 0

    def one_epoch(self) -> Iterator[Batch]:
        """Yields every batch once."""
        for number in range(self.batches_per_epoch // (self._batches_per_round or 1)):
            now = self._round(number)
            for bucket in now.batch_order:
                yield self._batch(now, now.buckets[bucket])

    @abstractmethod
    def _batch(self, now: Round, bucket: Bucket) -> Batch:
        """Returns inputs and labels."""

    def _round(self, number: int) -> Round:
        """Draws the rows of a round, cuts them into pieces if they are to be, and those into batches."""
        rows, epochs = self._mixture.draw(number)
        sides, places = self.sides, rows
        if self.dropout is not None:
            columns = enumerate(zip(self.matches, self._longest, strict=True))
            sides = tuple(
                self.dropout.cut(side, rows, epochs, i, most, self.cuts_long_rows) for i, (side, most) in columns
            )
            places = np.arange(len(rows))
        random = np.random.Generator(np.random.PCG64([self.seed, number]))
        shuffled = random.permutation(len(places))
        rows, places = rows[shuffled], places[shuffled]
        lengths = [
            rounded(side.lengths_of(places) + added, self.length_multiple)
            for side, added in zip(sides, self.added, strict=True)
        ]
        first, last = lengths[0], lengths[-1]
        order = np.argsort(sort_keys(first, last, self.length_multiple), kind="stable")
        buckets = self._cut(first[order], last[order])
        return Round(number, sides, places[order], rows[order], buckets, random.permutation(len(buckets)))

    def _cut(self, source_lengths: np.ndarray, target_lengths: np.ndarray) -> list[Bucket]:
        lengths, fill = (source_lengths, target_lengths), self.length_multiple > 1
        if self._mixture.is_epoch and self.dropout is None:
            return cut(*lengths, self.batch_tokens, fill)  # the same longer sides in every round
        count = self._batches_per_round
        if count is None:
            needed = len(cut(*lengths, self.batch_tokens, fill))
            count = min(needed + max(1, round(ROOM * needed)), len(source_lengths))
        return cut_into(count, *lengths, self.batch_tokens, fill)

    def _easy(self, step: int) -> int:
        """Draws one of the batches that are short enough for a step of the curriculum."""
        assert self._batches_per_round is not None
        share = (FIRST_SHARE**2 + (1 - FIRST_SHARE**2) * step / self.curriculum_steps) ** 0.5
        random = np.random.Generator(np.random.PCG64([self.seed, step, _CURRICULUM]))
        return int(random.integers(np.ceil(share * self._batches_per_round)))

    def _padded(self, now: Round, bucket: Bucket, side: int) -> np.ndarray:
        """Returns the ids of a side of a batch, int32 `[b, n]`."""
        rows = now.order[bucket.start : bucket.stop]
        ids = np.full((bucket.rows, bucket[3 + side]), self.pad_id, dtype=np.int32)
        ids[: len(rows)] = now.sides[side].padded(rows, ids.shape[1], self.pad_id)
        return ids


class Seq2SeqBatches(TokenBatches):
    """Batches of sentence pairs in a deterministic order, see `TokenBatches`.

    A batch is `({"source_ids": [b, s], "target_ids": [b, t]}, labels [b, t])`, int32: the target with the start id
    before it, and the labels with the end id behind them.

    Args:
        store: with columns "source" and "target", and their matches if there is `dropout`.
        start_id, end_id: special ids.
        Others: see `TokenBatches`.

    Attributes:
        padding_share, source_padding_share: share of padding among all target and all source positions of an epoch.
        Others: see `TokenBatches`.

    Example:
        ```python
        batches = Seq2SeqBatches(store, batch_tokens=4096, seed=0, start_id=1, end_id=2, pad_id=0)
        inputs, labels = next(batches.from_step(0))
        ```
    """

    def __init__(
        self,
        store: TokenStore,
        batch_tokens: int,
        seed: int,
        start_id: int,
        end_id: int,
        pad_id: int,
        length_multiple: int = 1,
        dropout: PieceDropout | None = None,
        shares: Sequence[float] | None = None,
        curriculum_steps: int = 0,
    ):
        self.start_id, self.end_id = start_id, end_id
        columns = {"source": 0, "target": 1}  # the start or end id
        super().__init__(store, columns, batch_tokens, seed, pad_id, length_multiple, dropout, shares, curriculum_steps)
        self.source_padding_share = self.padding_shares[0]

    def _batch(self, now: Round, bucket: Bucket) -> Batch:
        rows = now.order[bucket.start : bucket.stop]
        source, labels = self._padded(now, bucket, 0), self._padded(now, bucket, 1)
        target = np.full_like(labels, self.pad_id)
        target[: len(rows), 0] = self.start_id
        target[:, 1:] = labels[:, :-1]
        labels[np.arange(len(rows)), now.sides[1].lengths_of(rows)] = self.end_id
        return {"source_ids": source, "target_ids": target}, labels
