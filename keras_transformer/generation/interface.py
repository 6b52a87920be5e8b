"""What a search asks of a model, and what it gives back.

Shapes: b sentences, r rows (hypotheses under way: as many for every sentence, those of a sentence in a row),
n hypotheses returned for a sentence, l maximum length, v vocabulary size, s source length.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class StepOutput(NamedTuple):
    """What a model says of the next id.

    Attributes:
        logits: float32 `[r, v]`.
        cache: what the next step is to receive: a nested structure of tensors with r rows.
        attention: float32 `[r, s]`, where the model looked in the source; None unless it was asked for.
    """

    logits: Any
    cache: Any
    attention: Any = None


class Step(Protocol):
    """A model as a search sees it: `(ids [r], index, cache) -> StepOutput`.

    The logits follow `ids`, which stand at position `index`. What does not change from step to step, such as the
    encoded source, belongs into the function; what does, into the cache.
    """

    def __call__(self, ids: Any, index: Any, cache: Any) -> StepOutput: ...


class SpecialIds(NamedTuple):
    """The ids that begin, end and fill up a sequence."""

    start_id: int
    end_id: int
    pad_id: int


class Hypotheses(NamedTuple):
    """What a search found, the best first.

    Attributes:
        ids: int32 `[b, n, l]`, without the start id, with the end id where it was reached, padding after it.
        lengths: int32 `[b, n]`, number of ids before the end id.
        scores: float32 `[b, n]`, what the hypotheses are ordered by: the log-probability, with penalties if there are
            any. Below `generation.constraints.NEVER / 2` where there are fewer than n.
        log_probabilities: float32 `[b, n]`, sum over the ids, the end id included.
        steps: int32 scalar, the steps that were made. Fewer than `max_length`: the search came to its own end.
        token_log_probabilities: float32 `[b, n, l]`, 0 after the end; None unless asked for.
    """

    ids: Any
    lengths: Any
    scores: Any
    log_probabilities: Any
    steps: Any
    token_log_probabilities: Any = None
