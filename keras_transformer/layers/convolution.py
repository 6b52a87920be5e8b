"""What a piece and its neighbours make together, before any attention.

Shapes: b batch, n length, w width.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.masks import combined_mask


@keras.saving.register_keras_serializable(package="keras_transformer")
class LocalConvolution(keras.layers.Layer):
    """A convolution over each piece and its neighbours, added to what comes in: `x + dropout(relu(conv(x)))`.

    The n-gram features of Kim (2014), https://arxiv.org/abs/1408.5882, as a residual beneath a Transformer: from a few
    thousand texts attention does not learn that neighbours belong together.

    Called with `inputs [b, n, w]` and `padding_mask [b, n]`; returns `[b, n, w]`. Padding counts as zeros, as does what
    stands before and behind a text, so that it changes nothing how far a text is filled up.

    Args:
        window: how many pieces are seen together, an odd number: the piece and `window // 2` on either side.
        dropout: rate of dropout on what is added.

    Raises:
        ValueError: `window` is not odd, or less than 3.

    Example:
        ```python
        x = LocalConvolution(window=3)(x, padding_mask=ops.not_equal(ids, 0))
        ```
    """

    def __init__(self, window: int = 3, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        if window < 3 or window % 2 == 0:
            raise ValueError(f"window must be an odd number of 3 or more; received {window}")
        self.window = window
        self.dropout = dropout
        self.supports_masking = True
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        shape = (self.window * width, width)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(width,), initializer="zeros")

    def call(self, inputs: Any, padding_mask: Any = None, training: bool | None = None, mask: Any = None) -> Any:
        padding_mask = combined_mask(padding_mask, mask)
        seen = inputs if padding_mask is None else inputs * ops.cast(padding_mask, inputs.dtype)[..., None]
        side = self.window // 2
        padded = ops.pad(seen, [[0, 0], [side, side], [0, 0]])
        length = ops.shape(inputs)[1]
        neighbours = ops.concatenate([padded[:, i : i + length] for i in range(self.window)], axis=-1)
        found = ops.relu(ops.matmul(neighbours, self.kernel) + self.bias)
        return inputs + self.dropout_layer(found, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window, "dropout": self.dropout}
