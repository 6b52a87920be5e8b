"""Search for target sequences over one small step interface: see `interface` for shapes and for what a model gives.

Shapes are static and the loops are `keras.ops.while_loop`: the same code runs in evaluation and prediction, is traced
into the SavedModel and converted to TFLite.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_transformer.generation.beam import beam_search
from keras_transformer.generation.constraints import NEVER, Constraints
from keras_transformer.generation.draws import uniforms
from keras_transformer.generation.interface import Hypotheses, SpecialIds, Step
from keras_transformer.generation.largest import largest
from keras_transformer.generation.options import GREEDY, SearchOptions
from keras_transformer.generation.probabilities import log_partition


def generate_ids(
    step: Step,
    cache: Any,
    batch_size: Any,
    max_length: int,
    special: SpecialIds,
    options: SearchOptions = GREEDY,
    constraints: Constraints | None = None,
    seed: Any = None,
    temperature: Any = None,
    source_mask: Any = None,
    token_scores: bool = False,
    bound_length: int | None = None,
) -> Hypotheses:
    """Searches as `options` say: greedily, with a beam, or by drawing.

    Args:
        step: the model.
        cache: what the first step receives, of `batch_size * rows_per_sentence(options)` rows.
        batch_size: b.
        max_length: l, the most ids of a hypothesis, the end included.
        special: ids that begin, end and fill up.
        options: how to search. Lengths, penalties, forbidden words and the prefix come as `constraints`, in ids.
        constraints: rules in ids; default none.
        seed, temperature: int32 and float32 scalars in place of those of `options`.
        source_mask: float32 `[b, s]`, 1 where the source has an id; for the coverage penalty.
        token_scores: whether to return the log-probability of every id.
        bound_length: the length that a hypothesis may reach, if `max_length` is but a first try: a search that ends
            in less than `max_length` steps has then found what one of `bound_length` finds.

    Example:
        ```python
        memory = model.memory(source_ids)
        found = generate_ids(
            lambda ids, index, cache: model.step(ids, index, cache, memory),
            model.empty_cache(batch_size, 64), batch_size, 64, SpecialIds(1, 2, 0),
        )
        ```
    """
    constraints = constraints or Constraints()
    if not options.samples and options.beam > 1:
        return beam_search(
            step,
            cache,
            batch_size,
            max_length,
            special,
            options,
            constraints,
            source_mask,
            token_scores,
            bound_length or max_length,
        )
    draw = None
    if options.samples:
        numbers = uniforms(options.seed if seed is None else seed, options.samples, max_length)
        draw = Draw(options, options.temperature if temperature is None else temperature, numbers)
    return follow(step, cache, batch_size, max_length, special, constraints, draw, token_scores)


def rows_per_sentence(options: SearchOptions) -> int:
    """Returns how many hypotheses of a sentence are under way at once."""
    return options.samples or options.beam


def answers_per_sentence(options: SearchOptions) -> int:
    """Returns how many hypotheses of a sentence come back."""
    return options.samples or options.n_best


class Draw:
    """Chooses the next id at random.

    Args:
        options: how.
        temperature: float32 scalar.
        numbers: float32 `[k, l]`, a random number for every sample and position.
    """

    def __init__(self, options: SearchOptions, temperature: Any, numbers: Any):
        self.options, self.temperature, self.numbers = options, temperature, numbers

    def __call__(self, logits: Any, index: Any) -> Any:
        """Returns int32 `[b, k]`, drawn from `logits [b, k, v]`; filters act in the order top-k, top-p, min-p."""
        options, vocabulary = self.options, logits.shape[-1]
        logits = logits / self.temperature
        ids = None
        if options.top_k or options.top_p < 1:
            logits, ids = ops.top_k(logits, min(options.top_k or vocabulary, vocabulary))
        probabilities = ops.softmax(logits, axis=-1)
        if options.top_p < 1:
            before = ops.cumsum(probabilities, axis=-1) - probabilities
            probabilities = ops.where(before < options.top_p, probabilities, 0.0)
        if options.min_p > 0:
            least = options.min_p * ops.max(probabilities, axis=-1, keepdims=True)
            probabilities = ops.where(probabilities >= least, probabilities, 0.0)
        sums = ops.cumsum(probabilities, axis=-1)
        threshold = ops.take(self.numbers, index, axis=1)[None, :, None] * sums[..., -1:]
        place = ops.sum(ops.cast(sums <= threshold, "int32"), axis=-1)
        if ids is None:
            return place
        chosen = ops.arange(ids.shape[-1], dtype="int32") == place[..., None]
        return ops.sum(ops.where(chosen, ops.cast(ids, "int32"), 0), axis=-1)


def follow(
    step: Step,
    cache: Any,
    batch_size: Any,
    max_length: int,
    special: SpecialIds,
    constraints: Constraints,
    draw: Draw | None,
    token_scores: bool,
) -> Hypotheses:
    """Continues every hypothesis by one id a step, until all have ended: the likeliest id, or one drawn.

    For arguments and result see `generate_ids`.
    """
    beams = 1 if draw is None else draw.numbers.shape[0]
    shape = (batch_size, beams)

    def unfinished(state: dict[str, Any]) -> Any:
        return ops.logical_and(state["index"] < max_length, ops.logical_not(ops.all(state["ended"])))

    def advance(state: dict[str, Any]) -> tuple[dict[str, Any]]:
        index, ids, ended = state["index"], state["ids"], state["ended"]
        output = step(ops.reshape(state["last"], (-1,)), index, state["cache"])
        logits = ops.reshape(output.logits, (*shape, output.logits.shape[-1]))
        logits = constraints.penalise(logits, ids, index)
        allowed = constraints.forbid(logits, ids, index, special.end_id)
        if draw is None:
            best, chosen = (ops.reshape(found, shape) for found in largest(allowed, 1))
        else:
            chosen = draw(allowed, index)
            is_chosen = ops.arange(logits.shape[-1], dtype="int32") == chosen[..., None]
            best = ops.max(ops.where(is_chosen, logits, NEVER), axis=-1)
        gain = ops.where(ended, 0.0, best - ops.reshape(log_partition(logits), shape))
        chosen = ops.where(ended, special.pad_id, chosen)
        ended = ops.logical_or(ended, ops.equal(chosen, special.end_id))
        if constraints.max_lengths is not None:
            ended = ops.logical_or(ended, index + 1 >= constraints.max_lengths[:, None])
        following = {
            "index": index + 1,
            "last": chosen,
            "ended": ended,
            "ids": ops.slice_update(ids, (0, 0, index), ops.expand_dims(chosen, -1)),
            "scores": state["scores"] + gain,
            "cache": output.cache,
        }
        if token_scores:
            following["gains"] = ops.slice_update(state["gains"], (0, 0, index), gain[..., None])
        return (following,)

    state = {
        "index": ops.convert_to_tensor(0, dtype="int32"),
        "last": ops.full(shape, special.start_id, dtype="int32"),
        "ended": ops.zeros(shape, dtype="bool"),
        "ids": ops.full((*shape, max_length), special.pad_id, dtype="int32"),
        "scores": ops.zeros(shape, dtype="float32"),
        "cache": cache,
    }
    if token_scores:
        state["gains"] = ops.zeros((*shape, max_length), dtype="float32")
    (state,) = ops.while_loop(unfinished, advance, (state,))
    lengths = _lengths(state["ids"], special.end_id, constraints.max_lengths)
    return Hypotheses(state["ids"], lengths, state["scores"], state["scores"], state["index"], state.get("gains"))


def _lengths(ids: Any, end_id: int, max_lengths: Any) -> Any:
    """Ids up to the first end id, or up to the limit: a padding id before it is one that the model chose."""
    length = ops.shape(ids)[2]
    limit = length if max_lengths is None else max_lengths[:, None, None]
    places = ops.where(ops.equal(ids, end_id), ops.arange(length, dtype="int32"), limit)
    return ops.min(places, axis=-1)
