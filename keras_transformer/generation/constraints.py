"""What an answer may and may not contain, as changes to the logits of the next id.

Shapes: b sentences, k hypotheses of each, v vocabulary size, l maximum length, p prefix length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

# The logit of an id that may not be taken, and the score of a hypothesis that does not exist. Finite, so that no
# difference of two of them is NaN; so large that adding any real score to it changes nothing.
NEVER = -1e30


@dataclass(frozen=True)
class Constraints:
    """Rules in ids. Each may be left out.

    Args:
        min_lengths: int32 `[b]`, ids before the end.
        max_lengths: int32 `[b]`, ids in all.
        force_end: whether the last of `max_lengths` ids must be the end.
        repetition_penalty: logits of ids that the hypothesis has are divided by it if above 0, else multiplied.
        no_repeat_ngram: n-grams of this size occur once.
        forbidden: ids that are never taken.
        prefix_ids: int32 `[b, p]`, ids to begin with, whatever the other rules say.
        prefix_lengths: int32 `[b]`, how many of them.
    """

    min_lengths: Any = None
    max_lengths: Any = None
    force_end: bool = False
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    forbidden: tuple[int, ...] = ()
    prefix_ids: Any = None
    prefix_lengths: Any = None

    def penalise(self, logits: Any, ids: Any, index: Any) -> Any:
        """Returns `logits [b, k, v]` after the repetition penalty; `ids [b, k, l]` are the ones before `index`."""
        if self.repetition_penalty == 1.0:
            return logits
        before = ops.cast(ops.arange(ops.shape(ids)[2], dtype="int32") < index, "float32")
        seen = _marked(ids, ops.broadcast_to(before, ops.shape(ids)), logits) > 0
        penalised = ops.where(logits > 0, logits / self.repetition_penalty, logits * self.repetition_penalty)
        return ops.where(seen, penalised, logits)

    def forbid(self, logits: Any, ids: Any, index: Any, end_id: int) -> Any:
        """Returns `logits [b, k, v]` with `NEVER` where an id may not follow at position `index`."""
        vocabulary = ops.arange(logits.shape[-1], dtype="int32")
        is_end, unruled = vocabulary == end_id, logits
        if self.forbidden:
            logits = ops.where(_any_equal(vocabulary, self.forbidden), NEVER, logits)
        if self.no_repeat_ngram:
            logits = ops.where(self._repeats(logits, ids, index), NEVER, logits)
        if self.min_lengths is not None:
            is_early = ops.reshape(index < self.min_lengths, (-1, 1, 1))
            logits = ops.where(ops.logical_and(is_early, is_end), NEVER, logits)
        if self.force_end and self.max_lengths is not None:
            is_last = ops.reshape(index >= self.max_lengths - 1, (-1, 1, 1))
            logits = ops.where(ops.logical_and(is_last, ops.logical_not(is_end)), NEVER, logits)
        if self.prefix_ids is not None:
            place = ops.minimum(index, self.prefix_ids.shape[1] - 1)
            wanted = ops.reshape(ops.take(self.prefix_ids, place, axis=1), (-1, 1, 1))
            is_prefix = ops.reshape(index < self.prefix_lengths, (-1, 1, 1))
            logits = ops.where(is_prefix, ops.where(vocabulary == wanted, unruled, NEVER), logits)
        return logits

    def _repeats(self, logits: Any, ids: Any, index: Any) -> Any:
        """Returns `[b, k, v]`: whether an id would complete an n-gram that the hypothesis has already."""
        size, length = self.no_repeat_ngram, ops.shape(ids)[2]
        if isinstance(length, int) and length < size:
            return ops.zeros_like(logits, dtype="bool")
        places = ops.arange(length - size + 1, dtype="int32")
        match = places + (size - 1) < index
        for offset in range(size - 1):
            # the last ids, from the oldest; before there are so many, no place matches
            last = ops.take(ids, ops.maximum(index - (size - 1) + offset, 0), axis=2)[:, :, None]
            match = ops.logical_and(match, ids[:, :, offset : offset + length - size + 1] == last)
        match = ops.broadcast_to(match, ops.shape(ids[:, :, size - 1 :]))
        return _marked(ids[:, :, size - 1 :], ops.cast(match, "float32"), logits) > 0


def _marked(ids: Any, marks: Any, logits: Any) -> Any:
    """Returns float32 `[b, k, v]`: for each id the sum of the `marks [b, k, m]` at its places in `ids [b, k, m]`."""
    batch, beams, vocabulary = ops.shape(logits)
    rows = ops.arange(batch * beams, dtype="int32")[:, None]
    ids = ops.reshape(ids, (batch * beams, -1))
    flat = ops.reshape(rows * vocabulary + ids, (-1, 1))
    found = ops.scatter(flat, ops.reshape(marks, (-1,)), (batch * beams * vocabulary,))
    return ops.reshape(found, (batch, beams, vocabulary))


def _any_equal(vocabulary: Any, ids: tuple[int, ...]) -> Any:
    listed = ops.convert_to_tensor(ids, dtype="int32")
    return ops.any(vocabulary[:, None] == listed[None], axis=1)
