"""A search as a Keras model, so that every backend compiles it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.errors import UserError
from keras_transformer.generation.constraints import Constraints
from keras_transformer.generation.interface import Hypotheses, SpecialIds, StepOutput
from keras_transformer.generation.options import GREEDY, SearchOptions
from keras_transformer.generation.search import generate_ids, rows_per_sentence


class Decoder(keras.Model):
    """Source ids to target ids.

    Args:
        model: a `Seq2SeqTransformer`.
        max_length: the most ids of a target, the end included.
        special: ids that begin, end and fill up.
        options: how to search.
        forbidden: ids that are never taken.
        prefix: ids to begin with.
        token_scores: whether to return the log-probability of every id.
        try_length: search with so many ids only, which is quicker: what was found is final where the `steps` are fewer.

    Call arguments: `source_ids` int32 `[b, s]`, padded at the end.

    Returns: `Hypotheses` as a dict, without what was not asked for; `steps` are int32 `[b]`.

    Raises:
        UserError: the options do not fit the vocabulary or `max_length`.

    Example:
        ```python
        found = Decoder(model, 64, SpecialIds(1, 2, 0)).predict_on_batch(source_ids)
        found["ids"][:, 0]
        ```
    """

    def __init__(
        self,
        model: keras.Model,
        max_length: int,
        special: SpecialIds,
        options: SearchOptions = GREEDY,
        forbidden: tuple[int, ...] = (),
        prefix: tuple[int, ...] = (),
        token_scores: bool = False,
        try_length: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.model = model
        self.max_length = max_length
        self.special = special
        self.options = options
        self.forbidden, self.prefix = forbidden, prefix
        self.token_scores = token_scores
        self.try_length = try_length
        self._check()
        # XLA compiles anew for every shape of a batch, which takes longer than the search
        self.jit_compile = keras.backend.backend() != "tensorflow"
        self.built = True

    def _check(self) -> None:
        vocabulary, options = self.model.vocabulary_size, self.options
        if rows_per_sentence(options) > vocabulary and not options.samples:
            raise UserError(f"beam is {options.beam}, more than the {vocabulary} pieces of the vocabulary")
        if options.top_k > vocabulary:
            raise UserError(f"top_k is {options.top_k}, more than the {vocabulary} pieces of the vocabulary")
        if options.min_length >= self.max_length:
            raise UserError(
                f"min_length is {options.min_length}, but an answer has at most {self.max_length - 1} pieces"
            )
        possible = set(range(vocabulary)) - set(self.forbidden) - set(self.special)
        if not possible:
            raise UserError("forbidden leaves no piece to make an answer of; forbid less")
        room = self._limit()
        if len(self.prefix) > room:
            raise UserError(f"prefix has {len(self.prefix)} pieces, more than the {room} that an answer may have")

    def _limit(self) -> int:
        """The most pieces of an answer, the end not counted."""
        longest = self.max_length - 1
        return longest if self.options.max_length is None else min(longest, self.options.max_length)

    def call(self, source_ids: Any) -> dict[str, Any]:
        found = self.search(source_ids, max_length=self.try_length)
        found = found._replace(steps=ops.broadcast_to(found.steps, ops.shape(found.scores)[:1]))
        return {name: value for name, value in found._asdict().items() if value is not None}

    def search(self, source_ids: Any, seed: Any = None, temperature: Any = None, max_length: Any = None) -> Hypotheses:
        """The search itself, for tracing into an export.

        Args:
            source_ids: `[b, s]`.
            seed, temperature: scalars in place of those of the options.
            max_length: try with so many ids first, a number or an int32 scalar: the answer is that of the whole length
                if `steps` are fewer.
        """
        length = self.max_length if max_length is None else max_length
        length = min(length, self.max_length) if isinstance(length, int) else length
        batch_size, options = ops.shape(source_ids)[0], self.options
        memory = self.model.memory(source_ids)
        looks = options.coverage_penalty > 0

        def step(ids: Any, index: Any, cache: Any) -> StepOutput:
            return self.model.step(ids, index, cache, memory, return_attention=looks)

        is_source = ops.not_equal(source_ids, self.special.pad_id)
        return generate_ids(
            step,
            self.model.empty_cache(batch_size * rows_per_sentence(options), length),
            batch_size,
            length,
            self.special,
            options,
            self._constraints(is_source),
            seed,
            temperature,
            ops.cast(is_source, "float32") if looks else None,
            self.token_scores,
            bound_length=self.max_length,
        )

    def _constraints(self, is_source: Any) -> Constraints:
        options, batch_size = self.options, ops.shape(is_source)[0]
        longest = None
        if options.max_length is not None or options.max_ratio is not None or options.force_end:
            longest = ops.full((batch_size,), self._limit(), dtype="int32")
        shortest = ops.full((batch_size,), options.min_length, dtype="int32")
        if options.max_ratio is not None or options.min_ratio > 0:
            pieces = ops.cast(ops.sum(ops.cast(is_source, "int32"), axis=1), "float32")
            if options.max_ratio is not None:
                longest = ops.minimum(longest, _rounded_up(pieces * options.max_ratio))
                longest = ops.maximum(longest, max(options.min_length, len(self.prefix), 1))
            shortest = ops.maximum(shortest, _rounded_up(pieces * options.min_ratio))
        shortest = ops.minimum(shortest, self._limit() if longest is None else longest)
        has_shortest = options.min_length > 0 or options.min_ratio > 0
        if longest is not None:  # the end takes a place of its own
            longest = longest + 1 if options.force_end else longest
        return Constraints(
            min_lengths=shortest if has_shortest else None,
            max_lengths=longest,
            force_end=options.force_end,
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram=options.no_repeat_ngram,
            forbidden=self.forbidden,
            prefix_ids=ops.convert_to_tensor([self.prefix], dtype="int32") if self.prefix else None,
            prefix_lengths=ops.convert_to_tensor([len(self.prefix)], dtype="int32") if self.prefix else None,
        )


def _rounded_up(x: Any) -> Any:
    return ops.cast(ops.ceil(x), "int32")
