"""An encoder that gives a whole text its labels, or its numbers.

Shapes: b batch, n length, w width, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.pooling import Pooling
from keras_transformer.layers.projection import Projection
from keras_transformer.models.encoder import EncoderModel
from keras_transformer.text.byte_pieces import START_ID


@keras.saving.register_keras_serializable(package="keras_transformer")
class TextClassifier(EncoderModel):
    """Transformer encoder, pooling, and a linear layer: one output for each label.

    An ordinary functional `keras.Model` from `{"ids": int32 [b, n]}` to float32 `[b, k]`: logits of the labels, or for
    a regression the numbers themselves, `output * scale + offset`. Id 0 is padding, and what is there changes nothing.

    Args:
        vocabulary_size: v.
        num_labels: k.
        pooling: how the text becomes one vector: "mean", "max", "first" (a start id is put before the text, and its
            vector taken) or "attention"; see `Pooling`.
        scale, offset: of each output, for a regression: what is learned then is about as large as 1. Default 1 and 0.
        options: see `EncoderModel`.

    Raises:
        ValueError: there is no such pooling; an argument that a layer refuses.

    Example:
        ```python
        model = TextClassifier.from_preset("tiny", vocabulary_size=8000, num_labels=6, pooling="attention")
        logits = model({"ids": ids})
        ```
    """

    predictor = "keras_transformer.predictors.labels"  # whose `load` makes one of a run

    def __init__(
        self,
        vocabulary_size: int,
        num_labels: int,
        pooling: str = "mean",
        scale: Sequence[float] | None = None,
        offset: Sequence[float] | None = None,
        **options: Any,
    ):
        self.num_labels = num_labels
        self.pooling = pooling
        self.scale = None if scale is None else [float(number) for number in scale]
        self.offset = None if offset is None else [float(number) for number in offset]
        super().__init__(vocabulary_size, **options)

    def _make_head(self, hidden_dim: int, dropout: float, dtype: Any) -> None:
        self.pooling_layer = Pooling(self.pooling, dtype=dtype, name="pooling")
        self.head_dropout = Dropout(dropout, dtype="float32", name="head_dropout")
        self.output_layer = Projection(self.num_labels, dtype="float32", name="output")

    @property
    def head_layers(self) -> list[keras.layers.Layer]:
        return [self.pooling_layer, self.output_layer]

    def read_ids(self, ids: Any) -> Any:
        """Returns `ids [b, n]`, with a start id before each row if the pooling is "first"."""
        if self.pooling != "first":
            return ids
        return ops.concatenate([ops.full_like(ids[:, :1], START_ID), ids], axis=1)

    def head(self, encoded: Any, padding_mask: Any, training: bool | None = None) -> Any:
        return self.outputs_of(self.pooled(encoded, padding_mask, training))

    def pooled(self, encoded: Any, padding_mask: Any, training: bool | None = None) -> Any:
        """Returns one vector for each text, float32 `[b, w]`."""
        pooled = ops.cast(self.pooling_layer(encoded, padding_mask=padding_mask), "float32")
        return self.head_dropout(pooled, training=training)

    def outputs_of(self, pooled: Any) -> Any:
        """Returns the outputs `[b, k]` of `pooled [b, w]`."""
        x = self.output_layer(pooled)
        x = x if self.scale is None else x * ops.convert_to_tensor(self.scale, dtype="float32")
        return x if self.offset is None else x + ops.convert_to_tensor(self.offset, dtype="float32")

    def attention_maps(self, ids: Any) -> dict[str, Any]:
        """Returns `{"encoder": [b, blocks, h, n, n]}`, the weights of every block and head: for people to look at.

        With pooling "first" there is one position more, before those of the text.
        """
        return {"encoder": self.encoder_attention(self.read_ids(ids))}

    def get_config(self) -> dict[str, Any]:
        own = {"num_labels": self.num_labels, "pooling": self.pooling, "scale": self.scale, "offset": self.offset}
        return {**super().get_config(), **own}
