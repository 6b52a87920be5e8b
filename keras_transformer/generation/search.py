"""Search for the best target sequence, over one small step interface.

A step is a function `(ids [b], index, cache) -> (logits [b, v], cache)`: the logits that follow `ids`, which stand at
position `index`. What does not change from step to step (the encoded source) belongs into the function; what does,
into the cache. Shapes are static, the loop is `keras.ops.while_loop`: the same code runs in evaluation, is traced into
the SavedModel and converted to TFLite.

Shapes: b batch, v vocabulary size, l maximum length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

Step = Callable[[Any, Any, Any], tuple[Any, Any]]


class Hypotheses(NamedTuple):
    """What a search found.

    Attributes:
        ids: int32 `[b, l]`, without the start id, with the end id where it was reached, padding after it.
        lengths: int32 `[b]`, number of ids before the end id.
        scores: float32 `[b]`, sum of the log-probabilities of the ids, the end id included.
    """

    ids: Any
    lengths: Any
    scores: Any


def greedy_search(
    step: Step, cache: Any, batch_size: Any, max_length: int, start_id: int, end_id: int, pad_id: int
) -> Hypotheses:
    """Takes the likeliest id at every step, until every sequence has ended or has `max_length` ids.

    Args:
        step: see the module.
        cache: the cache that the first step receives, a nested structure of tensors.
        batch_size: b.
        max_length: l.
        start_id, end_id, pad_id: special ids.

    Example:
        ```python
        memory = model.memory(source_ids)
        found = greedy_search(
            lambda ids, index, cache: model.step(ids, index, cache, memory),
            model.empty_cache(batch_size, 64), batch_size, 64, start_id=1, end_id=2, pad_id=0,
        )
        ```
    """

    def unfinished(index: Any, last: Any, ended: Any, *_: Any) -> Any:
        return ops.logical_and(index < max_length, ops.logical_not(ops.all(ended)))

    def advance(index: Any, last: Any, ended: Any, ids: Any, scores: Any, cache: Any) -> tuple[Any, ...]:
        logits, cache = step(last, index, cache)
        # top_k rather than argmax: keras.ops.argmax has no form in TFLite's built-in operators
        best, chosen = ops.top_k(logits, 1)
        log_probability = best[:, 0] - ops.logsumexp(logits, axis=-1)
        last = ops.where(ended, pad_id, ops.cast(chosen[:, 0], "int32"))
        scores = scores + ops.where(ended, 0.0, log_probability)
        ids = ops.slice_update(ids, (0, index), last[:, None])
        ended = ops.logical_or(ended, ops.equal(last, end_id))
        return index + 1, last, ended, ids, scores, cache

    _, _, _, ids, scores, _ = ops.while_loop(
        unfinished,
        advance,
        (
            ops.convert_to_tensor(0, dtype="int32"),
            ops.full((batch_size,), start_id, dtype="int32"),
            ops.zeros((batch_size,), dtype="bool"),
            ops.full((batch_size, max_length), pad_id, dtype="int32"),
            ops.zeros((batch_size,), dtype="float32"),
            cache,
        ),
    )
    # up to the first end id: a padding id before it is one that the model chose
    places = ops.where(ops.equal(ids, end_id), ops.arange(max_length, dtype="int32")[None], max_length)
    return Hypotheses(ids, ops.min(places, axis=-1), scores)
