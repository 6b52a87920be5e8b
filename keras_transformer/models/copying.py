"""Copying pieces of the source: the pointer-generator of See, Liu and Manning (https://arxiv.org/abs/1704.04368).

Shapes: b batch, t target length, s source length, w width, v vocabulary size.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_transformer.layers.masks import add_bias, combined_bias
from keras_transformer.layers.projection import projection

TINY = 1e-30  # a probability that is as good as none, and whose logarithm is a number


class CopyMemory(NamedTuple):
    """What can be copied: the same at every step and for every hypothesis.

    Attributes:
        keys: `[b, s, w]`, of the source's positions.
        ids: int32 `[b, s]`, the pieces that stand there.
    """

    keys: Any
    ids: Any


class CopyStates(NamedTuple):
    """What a decoder says before it is made into probabilities of pieces.

    Attributes:
        hidden: `[b, t, w]`, which the embedding matrix turns into logits of what is written.
        gate: float32 `[b, t]`, the logit of writing rather than copying.
        attention: float32 `[b, t, s]`, what would be copied; rows sum to 1.
    """

    hidden: Any
    gate: Any
    attention: Any


@keras.saving.register_keras_serializable(package="keras_transformer")
class CopyHead(keras.layers.Layer):
    """Mixes what a decoder writes with what it copies: equations 8 and 9 of the paper,

    `P(y) = p_gen * softmax(logits)[y] + (1 - p_gen) * sum of the attention on all places of the source where y stands`.

    The attention is one head of its own, from the decoder's output to the encoder's, so that the heads of the blocks
    stay free to look elsewhere. `p_gen` is a sigmoid of the decoder's output, which has the decoder's input and its
    context in it, and of what the attention looks at.

    Args:
        use_bias: whether the projections have a bias.
        kernel_initializer, bias_initializer: of the projections.

    Call arguments:
        hidden: `[b, t, w]`, the decoder's output.
        encoded: `[b, s, w]`, the encoder's output.
        source_ids: int32 `[b, s]`; id 0 is padding and is not copied.
        logits: `[b, t, v]`, of what is written.

    Returns: logarithms of probabilities, `[b, t, v]`.

    Example:
        ```python
        head = CopyHead()
        head(hidden, encoded, source_ids, logits)  # [b, t, v]
        ```
    """

    def __init__(
        self,
        use_bias: bool = True,
        kernel_initializer: Any = "lecun_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, hidden_shape: tuple, encoded_shape: tuple, *_: Any) -> None:
        width = hidden_shape[-1]
        self.query = projection(self, "query", width, width)
        self.key = projection(self, "key", encoded_shape[-1], width)
        self.gate = projection(self, "gate", 2 * width, 1)
        self.built = True

    def call(self, hidden: Any, encoded: Any, source_ids: Any, logits: Any) -> Any:
        bias = combined_bias(ops.not_equal(source_ids, 0))
        gate, attention = self.look(hidden, self.key(encoded), bias[:, 0])
        return ops.cast(mixed(logits, gate, attention, source_ids), self.compute_dtype)

    def look(self, hidden: Any, keys: Any, bias: Any) -> tuple[Any, Any]:
        """Returns the gate's logit `[b, t]` and the attention `[b, t, s]`, float32.

        Args:
            hidden: `[b, t, w]`.
            keys: `[b, s, w]`, from `key`.
            bias: float32 `[b, 1, s]`, what keeps attention off the padding.
        """
        query = self.query(hidden)
        query = query * ops.cast(1 / math.sqrt(query.shape[-1]), query.dtype)
        logits = add_bias(ops.cast(ops.matmul(query, ops.transpose(keys, (0, 2, 1))), "float32"), bias)
        # Keras's softmax warns of an axis of 1, which is a source of one piece
        attention = ops.ones_like(logits) if logits.shape[-1] == 1 else ops.softmax(logits, axis=-1)
        seen = ops.matmul(ops.cast(attention, keys.dtype), keys)
        gate = self.gate(ops.concatenate([ops.cast(hidden, seen.dtype), seen], axis=-1))
        return ops.cast(gate, "float32")[..., 0], attention

    def compute_output_spec(self, hidden: Any, encoded: Any, source_ids: Any, logits: Any) -> Any:
        return keras.KerasTensor(logits.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def mixed(logits: Any, gate: Any, attention: Any, source_ids: Any) -> Any:
    """Returns logarithms of the mixed probabilities, float32 `[b, t, v]`; see `CopyHead` and `CopyStates`."""
    batch, length, vocabulary = ops.shape(logits)
    rows = ops.arange(batch * length, dtype="int32")[:, None] * vocabulary
    ids = ops.broadcast_to(source_ids[:, None], ops.shape(attention))
    places = ops.reshape(rows + ops.reshape(ids, (batch * length, -1)), (-1, 1))
    copied = ops.scatter(
        places, ops.reshape(attention, (-1,)), (batch * length * vocabulary,)
    )  # adds what falls together
    writes = ops.sigmoid(gate)[..., None]
    written = writes * ops.softmax(ops.cast(logits, "float32"), axis=-1)
    return ops.log(written + (1.0 - writes) * ops.reshape(copied, (batch, length, vocabulary)) + TINY)
