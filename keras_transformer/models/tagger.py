"""An encoder that gives every word of a text a label.

Shapes: b batch, n length in pieces, w width, k labels.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.projection import Projection
from keras_transformer.models.crf import LinearChainCRF
from keras_transformer.models.encoder import EncoderModel


@keras.saving.register_keras_serializable(package="keras_transformer")
class TextTagger(EncoderModel):
    """Transformer encoder and a linear layer on every piece; with a CRF the labels of words depend on each other.

    An ordinary functional `keras.Model` from `{"ids": int32 [b, n]}` to float32 logits `[b, n, k]`. The label of a
    word is that of the piece in which it begins; other pieces have logits too, which mean nothing. Id 0 is padding.

    Args:
        vocabulary_size: v.
        num_labels: k.
        crf: whether labels depend on those before them, see `LinearChainCRF`.
        options: see `EncoderModel`.

    Raises:
        ValueError: an argument that a layer refuses.

    Example:
        ```python
        model = TextTagger.from_preset("tiny", vocabulary_size=8000, num_labels=9, crf=True)
        logits = model({"ids": ids})
        labels = model.decode(logits, counted)  # counted [b, n]: where words begin
        ```
    """

    predictor = "keras_transformer.predictors.tags"  # whose `load` makes one of a run

    def __init__(self, vocabulary_size: int, num_labels: int, crf: bool = False, **options: Any):
        self.num_labels = num_labels
        self.has_crf = crf
        super().__init__(vocabulary_size, **options)

    def _make_head(self, hidden_dim: int, dropout: float, dtype: Any) -> None:
        self.head_dropout = Dropout(dropout, dtype="float32", name="head_dropout")
        self.output_layer = Projection(self.num_labels, dtype="float32", name="output")
        self.crf = LinearChainCRF(self.num_labels, name="crf") if self.has_crf else None

    @property
    def head_layers(self) -> list[keras.layers.Layer]:
        return [self.output_layer, *([] if self.crf is None else [self.crf])]

    def head(self, encoded: Any, padding_mask: Any, training: bool | None = None) -> Any:
        logits = self.output_layer(self.head_dropout(ops.cast(encoded, "float32"), training=training))
        return logits if self.crf is None else self.crf(logits)

    def decode(self, logits: Any, counted: Any) -> Any:
        """Returns the labels int32 `[b, n]` of `logits [b, n, k]`; `counted [b, n]` says where words begin."""
        if self.crf is not None:
            return self.crf.decode(logits, counted)
        return ops.cast(ops.argmax(logits, axis=-1), "int32")

    def attention_maps(self, ids: Any) -> dict[str, Any]:
        """Returns `{"encoder": [b, blocks, h, n, n]}`, the weights of every block and head: for people to look at."""
        return {"encoder": self.encoder_attention(ids)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_labels": self.num_labels, "crf": self.has_crf}
