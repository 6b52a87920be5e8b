"""Beam search. Shapes: see `interface`; k hypotheses of a sentence, m candidates, s source length."""

from __future__ import annotations

from typing import Any

from keras import ops, tree

from keras_transformer.generation.constraints import NEVER, Constraints
from keras_transformer.generation.interface import Hypotheses, SpecialIds, Step
from keras_transformer.generation.largest import largest
from keras_transformer.generation.options import SearchOptions
from keras_transformer.generation.probabilities import log_partition

Rows = dict[str, Any]  # what is known of hypotheses: tensors `[b, k or m, ...]` by name


def beam_search(
    step: Step,
    cache: Any,
    batch_size: Any,
    max_length: int,
    special: SpecialIds,
    options: SearchOptions,
    constraints: Constraints,
    source_mask: Any,
    token_scores: bool,
    bound_length: int,
) -> Hypotheses:
    """Keeps the `options.beam` likeliest open hypotheses of every sentence, and the best that have ended.

    At every step the candidates are all continuations of the open hypotheses. Those of the best k that end are
    finished: scored once and for all, and kept if they are among the k best finished ones. The best k that do not end
    stay open. A sentence is done when its `n_best` finished hypotheses are at least as good as anything that an open
    one can still become; the search ends when all sentences are done, or at `max_length`, where open hypotheses
    count as they are.

    For arguments and result see `generate_ids`.
    """
    beams = options.beam
    limits, longest = max_length, bound_length
    if constraints.max_lengths is not None:
        limits, longest = constraints.max_lengths[:, None], ops.minimum(constraints.max_lengths, bound_length)
    score = Score(options, longest, source_mask)

    def unfinished(state: dict[str, Any]) -> Any:
        index, best_open = state["index"], state["open"]["totals"][:, 0]
        worst_done = state["done"]["scores"][:, options.n_best - 1]
        can_win = ops.logical_and(best_open > NEVER / 2, score.bound(best_open, index + 1) > worst_done)
        return ops.logical_and(index < max_length, ops.any(can_win))

    def advance(state: dict[str, Any]) -> tuple[dict[str, Any]]:
        index = state["index"]
        output = step(ops.reshape(state["open"]["last"], (-1,)), index, state["cache"])
        logits = ops.reshape(output.logits, (batch_size, beams, output.logits.shape[-1]))
        logits = constraints.penalise(logits, state["open"]["ids"], index)
        allowed = constraints.forbid(logits, state["open"]["ids"], index, special.end_id)
        grown = candidates(state["open"], allowed, log_partition(logits), index)
        if score.counts_coverage:
            looked = ops.reshape(output.attention, (batch_size, beams, -1))
            grown["coverage"] = grown["coverage"] + pick(looked, grown["parents"])

        is_end = ops.equal(grown["last"], special.end_id)
        is_final = ops.logical_or(is_end, index + 1 >= limits)
        following = {
            "index": index + 1,
            "done": finish(state["done"], grown, index, is_end, is_final, score),
            "open": go_on(grown, is_final, beams),
        }
        parents = following["open"].pop("parents")
        return ({**following, "cache": reorder(output.cache, parents)},)

    state = start(batch_size, max_length, special, options, score, token_scores)
    (state,) = ops.while_loop(unfinished, advance, ({**state, "cache": cache},))
    return best_finished(state, options.n_best)


class Score:
    """What finished hypotheses are ordered by: https://arxiv.org/abs/1609.08144, equation 14.

    `log-probability / ((5 + length) / 6) ** alpha + beta * sum over the source of log(min(attention, 1))`, the
    attention summed over the hypothesis.

    Args:
        options: alpha is `length_penalty`, beta `coverage_penalty`.
        max_length: the most ids of a hypothesis, a number or int32 `[b]`.
        source_mask: float32 `[b, s]`; needed if there is a coverage penalty.
    """

    def __init__(self, options: SearchOptions, max_length: int, source_mask: Any):
        self.alpha, self.beta, self.max_length = options.length_penalty, options.coverage_penalty, max_length
        self.source_mask = source_mask
        self.counts_coverage = self.beta > 0

    def __call__(self, totals: Any, length: Any, coverage: Any) -> Any:
        """Returns the scores `[b, m]` of hypotheses of `length` ids, the end included."""
        scores = totals if self.alpha == 0 else totals / self._divisor(length)
        if self.counts_coverage:
            covered = ops.log(ops.clip(coverage, 1e-9, 1.0)) * self.source_mask[:, None]
            scores = scores + self.beta * ops.sum(covered, axis=-1)
        return scores

    def bound(self, totals: Any, length: Any) -> Any:
        """Returns what open hypotheses of `length` ids cannot exceed: every id more can only lower the total.

        A total is at most 0: the larger its divisor the better, which is the longest hypothesis or the next one.
        """
        if self.alpha == 0:
            return totals
        return totals / self._divisor(self.max_length if self.alpha > 0 else length)

    def _divisor(self, length: Any) -> Any:
        return ops.power((5.0 + ops.cast(length, "float32")) / 6.0, self.alpha)


def start(
    batch_size: Any, max_length: int, special: SpecialIds, options: SearchOptions, score: Score, token_scores: bool
) -> dict[str, Any]:
    """Returns the state before the first step: one open hypothesis for each sentence, none finished."""
    shape = (batch_size, options.beam)
    is_first = ops.arange(options.beam, dtype="int32") == 0
    ids = ops.full((*shape, max_length), special.pad_id, dtype="int32")
    none = ops.full(shape, NEVER, dtype="float32")
    open_ = {
        "ids": ids,
        "last": ops.full(shape, special.start_id, dtype="int32"),
        "totals": ops.where(ops.broadcast_to(is_first, shape), 0.0, none),
    }
    done = {"ids": ids, "lengths": ops.zeros(shape, dtype="int32"), "scores": none, "totals": none}
    if token_scores:
        open_["gains"] = done["gains"] = ops.zeros((*shape, max_length), dtype="float32")
    if score.counts_coverage:
        open_["coverage"] = ops.zeros((*shape, ops.shape(score.source_mask)[1]), dtype="float32")
    return {"index": ops.convert_to_tensor(0, dtype="int32"), "open": open_, "done": done}


def candidates(open_: Rows, allowed: Any, partition: Any, index: Any) -> Rows:
    """Returns the 2k best continuations of the open hypotheses, the best first, with their `parents [b, m]`.

    2k, because at most k of them end: k are left to stay open.
    """
    beams, vocabulary = allowed.shape[1:]
    values, ids = largest(allowed, min(2 * beams, vocabulary))
    width = values.shape[-1]
    gains = ops.where(values > NEVER / 2, values - partition, NEVER)
    totals = ops.maximum(open_["totals"][:, :, None] + gains, NEVER)
    totals, places = ops.top_k(_flat(totals), min(2 * beams, beams * width))
    places = ops.cast(places, "int32")
    parents = ops.floor_divide(places, width)
    grown = {name: pick(value, parents) for name, value in open_.items() if name not in ("last", "totals")}
    grown.update(totals=totals, parents=parents, last=pick(_flat(ids), places))
    grown["ids"] = ops.slice_update(grown["ids"], (0, 0, index), grown["last"][..., None])
    if "gains" in grown:
        grown["gains"] = ops.slice_update(grown["gains"], (0, 0, index), pick(_flat(gains), places)[..., None])
    return grown


def finish(done: Rows, grown: Rows, index: Any, is_end: Any, is_final: Any, score: Score) -> Rows:
    """Returns the k best finished hypotheses: those there were, and those of the best k candidates that are final."""
    beams, count = done["totals"].shape[1], grown["totals"].shape[1]
    is_alive = grown["totals"] > NEVER / 2
    counts = ops.logical_and(ops.logical_and(is_final, is_alive), ops.arange(count, dtype="int32") < beams)
    new = {
        **grown,
        "lengths": index + ops.cast(ops.logical_not(is_end), "int32"),
        "scores": ops.where(counts, score(grown["totals"], index + 1, grown.get("coverage")), NEVER),
    }
    both = {name: ops.concatenate([done[name], new[name]], axis=1) for name in done}
    _, kept = ops.top_k(both["scores"], beams)
    return {name: pick(value, ops.cast(kept, "int32")) for name, value in both.items()}


def go_on(grown: Rows, is_final: Any, beams: int) -> Rows:
    """Returns the k best candidates that are not final."""
    totals, kept = ops.top_k(ops.where(is_final, NEVER, grown["totals"]), beams)
    kept = ops.cast(kept, "int32")
    return {**{name: pick(value, kept) for name, value in grown.items()}, "totals": totals}


def best_finished(state: dict[str, Any], count: int) -> Hypotheses:
    """Returns the `count` best finished hypotheses of a state."""
    found = {name: value[:, :count] for name, value in state["done"].items()}
    return Hypotheses(
        found["ids"], found["lengths"], found["scores"], found["totals"], state["index"], found.get("gains")
    )


def pick(rows: Any, places: Any) -> Any:
    """Returns `rows [b, m, ...]` at `places [b, k]` of each sentence: `[b, k, ...]`."""
    batch, count = ops.shape(rows)[:2]
    places = places + ops.arange(batch, dtype="int32")[:, None] * count
    return ops.take(ops.reshape(rows, (batch * count, *ops.shape(rows)[2:])), places, axis=0)


def reorder(cache: Any, parents: Any) -> Any:
    """Returns a cache of `b * k` rows in the order of `parents [b, k]`, each within its sentence."""
    batch, beams = ops.shape(parents)
    places = ops.reshape(parents + ops.arange(batch, dtype="int32")[:, None] * beams, (-1,))
    return tree.map_structure(lambda part: ops.take(part, places, axis=0), cache)


def _flat(x: Any) -> Any:
    """`[b, k, m]` to `[b, k * m]`."""
    batch, beams, width = ops.shape(x)
    return ops.reshape(x, (batch, beams * width))
