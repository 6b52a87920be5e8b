"""Batches of texts with labels, for models that are an encoder with a head.

Shapes: b batch, n length of a text in pieces, k numbers that label a text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_transformer.data.augmentation import Augmentation
from keras_transformer.data.batching import Batch, Round, TokenBatches
from keras_transformer.data.buckets import Bucket
from keras_transformer.data.piece_dropout import PieceDropout
from keras_transformer.data.store import LABELS, TokenStore

TEXT = "text"
NO_LABEL = -1
_AUGMENT, _MASK = 2, 3  # tell their draws from others of the same seed
MASKED_SHARE, REPLACED_SHARE, KEPT_SHARE = 0.15, 0.1, 0.1  # https://arxiv.org/abs/1810.04805, 3.1


class EncoderBatches(TokenBatches):
    """Batches of texts with their labels, in a deterministic order, see `TokenBatches`.

    A batch is `({"ids": int32 [b, n]}, labels)`. Without `piece_sizes` a row of the store's column "labels" is what
    labels a text: `labels [b, k]`. With them it holds a number for every byte of the text, `NO_LABEL` where there is
    none, and a piece has the greatest of its bytes: `labels [b, n]`, whatever pieces the text is cut into.
    Rows of padding have `pad_label`. A text of more pieces than the longest in the store, which dropout may make of it,
    is cut there.

    Args:
        store: with columns "text" and "labels", and the text's matches if there is `dropout`.
        label_dtype: "int32" or "float32".
        pad_label: label of padding.
        augmentation: changes texts anew in every epoch; not with `piece_sizes`.
        piece_sizes: the bytes of every id, for labels by piece.
        Others: see `TokenBatches`.

    Example:
        ```python
        batches = EncoderBatches(store, batch_tokens=4096, seed=0)
        inputs, labels = next(batches.from_step(0))
        ```
    """

    cuts_long_rows = True

    def __init__(
        self,
        store: TokenStore,
        batch_tokens: int,
        seed: int,
        pad_id: int = 0,
        length_multiple: int = 1,
        dropout: PieceDropout | None = None,
        shares: Sequence[float] | None = None,
        curriculum_steps: int = 0,
        label_dtype: str = "int32",
        pad_label: float = NO_LABEL,
        augmentation: Augmentation | None = None,
        piece_sizes: Sequence[int] | None = None,
    ):
        self.labels = store.column(LABELS)
        self.label_dtype = label_dtype
        self.pad_label = pad_label
        self.augmentation = augmentation
        self.piece_sizes = None if piece_sizes is None else np.asarray(piece_sizes)
        super().__init__(
            store, {TEXT: 0}, batch_tokens, seed, pad_id, length_multiple, dropout, shares, curriculum_steps
        )

    def _batch(self, now: Round, bucket: Bucket) -> Batch:
        ids = self._padded(now, bucket, 0)
        rows = now.rows[bucket.start : bucket.stop]
        if self.piece_sizes is not None:
            return {"ids": ids}, self._labels_of_pieces(ids, rows)
        if self.augmentation is not None:
            ids = self.augmentation(ids, self._random(now, bucket, _AUGMENT), self.pad_id)
        return {"ids": ids}, self._labels_of_rows(rows, bucket.rows)

    def _labels_of_rows(self, rows: np.ndarray, count: int) -> np.ndarray:
        width = int(self.labels.lengths_of(rows[:1])[0])
        labels = np.full((count, width), self.pad_label, self.label_dtype)
        labels[: len(rows)] = self.labels.padded(rows, width, 0).view(self.label_dtype)
        return labels

    def _labels_of_pieces(self, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Returns for every piece the greatest label of its bytes, int32 `[b, n]`."""
        assert self.piece_sizes is not None
        labels = np.full(ids.shape, self.pad_label, np.int32)
        for place, row in enumerate(rows):
            pieces = ids[place][ids[place] != self.pad_id]
            if len(pieces):
                ends = self.piece_sizes[pieces].cumsum()
                starts = self.labels.offsets[row] + np.concatenate([[0], ends[:-1]])
                last = int(self.labels.offsets[row] + ends[-1])
                labels[place, : len(pieces)] = np.maximum.reduceat(self.labels.ids[:last], starts)
        return labels

    def _random(self, now: Round, bucket: Bucket, purpose: int) -> np.random.Generator:
        """Random numbers that depend on seed, round and batch alone."""
        return np.random.Generator(np.random.PCG64([self.seed, now.number, bucket.start, purpose]))


class MaskedBatches(EncoderBatches):
    """The texts of `EncoderBatches` with pieces hidden, to be guessed: what a masked language model is trained on.

    Devlin et al., "BERT" (2018), https://arxiv.org/abs/1810.04805, 3.1: of 15% of the pieces, four in five are
    replaced by `mask_id`, one in ten by a random piece, and one in ten is left. A batch is `({"ids"}, labels [b, n])`,
    int32: the label of such a piece is its id, that of others `pad_id`.

    Args:
        mask_id: an id that stands for no bytes.
        vocabulary_size: ids that there are; those above `mask_id` are drawn from.
        Others: see `EncoderBatches`.
    """

    def __init__(
        self,
        store: TokenStore,
        batch_tokens: int,
        seed: int,
        mask_id: int,
        vocabulary_size: int,
        pad_id: int = 0,
        length_multiple: int = 1,
        dropout: PieceDropout | None = None,
    ):
        self.mask_id = mask_id
        self.vocabulary_size = vocabulary_size
        super().__init__(store, batch_tokens, seed, pad_id, length_multiple, dropout)

    def _batch(self, now: Round, bucket: Bucket) -> Batch:
        ids = self._padded(now, bucket, 0)
        random = self._random(now, bucket, _MASK)
        hidden = (random.random(ids.shape) < MASKED_SHARE) & (ids != self.pad_id)
        how = random.random(ids.shape)
        others = random.integers(self.mask_id + 1, self.vocabulary_size, ids.shape, np.int32)
        shown = np.where(how < REPLACED_SHARE, others, np.where(how < REPLACED_SHARE + KEPT_SHARE, ids, self.mask_id))
        return {"ids": np.where(hidden, shown, ids)}, np.where(hidden, ids, self.pad_id)
