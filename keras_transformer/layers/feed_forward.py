"""The position-wise feed-forward network of a Transformer block."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.projection import projection

ACTIVATIONS = ("relu", "gelu", "swiglu")


@keras.saving.register_keras_serializable(package="keras_transformer")
class FeedForward(keras.layers.Layer):
    """Two projections with an activation between them, applied to every position alike.

    `relu` and `gelu`: `W2 act(W1 x + b1) + b2` ("Attention Is All You Need", equation 2; gelu in its tanh form, whose
    operators every runtime has). `swiglu`: `W2 (silu(W1 x) * W3 x)` (https://arxiv.org/abs/2002.05202), with W1 and W3
    held in one kernel, so that it is one matrix product.

    Args:
        intermediate_dim: width between the two projections.
        activation: "relu", "gelu" or "swiglu".
        dropout: rate of dropout after the activation.
        use_bias: whether the projections have a bias.
        kernel_initializer, bias_initializer: initializers of the projections.

    Input and output: `[..., w]`.

    Raises:
        ValueError: `activation` is none of the three.

    Example:
        ```python
        FeedForward(intermediate_dim=256, activation="gelu")(keras.ops.ones((2, 7, 128))).shape  # (2, 7, 128)
        ```
    """

    def __init__(
        self,
        intermediate_dim: int,
        activation: str = "relu",
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; received {activation!r}")
        self.intermediate_dim = intermediate_dim
        self.activation = activation
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: tuple) -> None:
        width = input_shape[-1]
        parts = 2 if self.activation == "swiglu" else 1
        self.expand = projection(self, "expand", width, parts * self.intermediate_dim)
        self.contract = projection(self, "contract", self.intermediate_dim, width)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = self.expand(inputs)
        if self.activation == "swiglu":
            x = ops.silu(x[..., : self.intermediate_dim]) * x[..., self.intermediate_dim :]
        elif self.activation == "gelu":
            x = ops.gelu(x, approximate=True)
        else:
            x = ops.relu(x)
        return self.contract(self.dropout_layer(x, training=training))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": self.activation,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
