"""A search as a Keras model, so that every backend compiles it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.generation.search import Hypotheses, greedy_search


class GreedyDecoder(keras.Model):
    """Source ids to target ids by greedy search.

    Args:
        model: a `Seq2SeqTransformer`.
        max_length: the most ids of a target.
        start_id, end_id, pad_id: special ids.

    Call arguments: `source_ids` int32 `[b, s]`, padded at the end.

    Returns: `Hypotheses` as a dict: `ids [b, max_length]`, `lengths [b]`, `scores [b]`.

    Example:
        ```python
        found = GreedyDecoder(model, max_length=64, start_id=1, end_id=2, pad_id=0).predict_on_batch(source_ids)
        ```
    """

    def __init__(self, model: keras.Model, max_length: int, start_id: int, end_id: int, pad_id: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.model = model
        self.max_length = max_length
        self.start_id, self.end_id, self.pad_id = start_id, end_id, pad_id
        self.built = True

    def call(self, source_ids: Any) -> dict[str, Any]:
        return self.search(source_ids)._asdict()

    def search(self, source_ids: Any) -> Hypotheses:
        """The search itself, for tracing into an export."""
        memory = self.model.memory(source_ids)
        batch_size = ops.shape(source_ids)[0]
        return greedy_search(
            lambda ids, index, cache: self.model.step(ids, index, cache, memory),
            self.model.empty_cache(batch_size, self.max_length),
            batch_size,
            self.max_length,
            start_id=self.start_id,
            end_id=self.end_id,
            pad_id=self.pad_id,
        )
