"""One vector of a sequence. Shapes: b batch, n sequence length, w width of the model."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.layers.masks import MASKED, add_bias, combined_mask

POOLINGS = ("mean", "max", "first", "attention")


@keras.saving.register_keras_serializable(package="keras_transformer")
class Pooling(keras.layers.Layer):
    """Makes one vector of the vectors of a sequence, without those of padding.

    - "mean" and "max": of each component, over the positions.
    - "first": the vector of the first position.
    - "attention": the mean with weights `softmax(x u)`, where u is learned (Yang et al., "Hierarchical Attention
      Networks" (2016), https://aclanthology.org/N16-1174, without its inner layer).

    A row that is padding everywhere gives zeros with "mean" and "max", and never NaN.

    Args:
        kind: "mean", "max", "first" or "attention".

    Call arguments:
        inputs: `[b, n, w]`.
        padding_mask: `[b, n]`, 1 or True for what is no padding; none means all.

    Returns: `[b, w]`.

    Raises:
        ValueError: there is no such kind.

    Example:
        ```python
        Pooling("mean")(keras.ops.ones((2, 7, 128))).shape  # (2, 128)
        ```
    """

    def __init__(self, kind: str = "mean", **kwargs: Any):
        super().__init__(**kwargs)
        if kind not in POOLINGS:
            raise ValueError(f"kind must be one of {', '.join(POOLINGS)}; received {kind!r}")
        self.kind = kind
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        if self.kind == "attention":
            self.query = self.add_weight(name="query", shape=(input_shape[-1], 1), initializer="zeros")
        self.built = True

    def call(self, inputs: Any, padding_mask: Any = None, mask: Any = None) -> Any:
        if self.kind == "first":
            return inputs[:, 0]
        kept = combined_mask(padding_mask, mask)
        kept = ops.ones_like(inputs[..., 0], dtype="float32") if kept is None else ops.cast(kept, "float32")
        kept = ops.expand_dims(kept, -1)  # [b, n, 1]
        x = ops.cast(inputs, "float32")
        if self.kind == "attention":
            logits = add_bias(
                ops.matmul(x, ops.cast(ops.convert_to_tensor(self.query), "float32")), (1.0 - kept) * MASKED
            )
            highest = ops.stop_gradient(ops.max(logits, axis=1, keepdims=True))
            weights = ops.exp(logits - highest)
            pooled = ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)
        elif self.kind == "mean":
            pooled = ops.sum(x * kept, axis=1) / ops.maximum(ops.sum(kept, axis=1), 1.0)
        else:
            pooled = ops.max(x * kept + (1.0 - kept) * MASKED, axis=1) * ops.max(kept, axis=1)
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], input_shape[-1])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}
