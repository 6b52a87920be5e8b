"""The normalisations a block can use."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer._gradients import first_of
from keras_transformer.layers.row_sums import sum_of_rows


@keras.saving.register_keras_serializable(package="keras_transformer")
class LayerNormalization(keras.layers.LayerNormalization):
    """Layer normalization (https://arxiv.org/abs/1607.06450) over the last axis, with a gradient of few operations.

    `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, computed in float32. Differentiated operation by operation
    it takes twice as long: measured, see benchmarks/train.py.

    Args:
        epsilon: added to the variance.

    Input and output: `[..., w]`.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(axis=-1, epsilon=epsilon, **kwargs)

    def call(self, inputs: Any) -> Any:
        weights = (ops.cast(ops.convert_to_tensor(weight), "float32") for weight in (self.gamma, self.beta))
        return ops.cast(_layer_norm(self.epsilon)(ops.convert_to_tensor(inputs), *weights), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**keras.layers.Layer.get_config(self), "epsilon": self.epsilon}


def _layer_norm(epsilon: float) -> Any:
    @ops.custom_gradient
    def layer_norm(inputs: Any, gamma: Any, beta: Any) -> Any:
        x = ops.cast(inputs, "float32")
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        scale = ops.rsqrt(ops.mean(ops.square(centered), axis=-1, keepdims=True) + epsilon)
        normal = centered * scale

        def gradient(*upstreams: Any) -> tuple[Any, Any, Any]:
            upstream = ops.cast(first_of(upstreams), "float32")
            weighted = upstream * gamma
            # the parts of it along the ones and along the normalised input change nothing
            mean = ops.mean(weighted, axis=-1, keepdims=True)
            along = ops.mean(weighted * normal, axis=-1, keepdims=True)
            d_x = (weighted - mean - normal * along) * scale
            return ops.cast(d_x, inputs.dtype), sum_of_rows(upstream * normal), sum_of_rows(upstream)

        return normal * gamma + beta, gradient

    return layer_norm


@keras.saving.register_keras_serializable(package="keras_transformer")
class RootMeanSquareScaling(keras.layers.Layer):
    """`x / sqrt(mean(x^2) + epsilon)` over the last axis: a normalisation without weights.

    What is left of a layer normalisation when its scale and offset are folded into the projections behind it and its
    input has a mean of zero: see `keras_transformer.export.folding`.

    Args:
        epsilon: added to the mean square.

    Input and output: `[..., w]`.
    """

    def __init__(self, epsilon: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, "float32")
        scale = ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(x * scale, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


def normalization(kind: str, epsilon: float, **kwargs: Any) -> keras.layers.Layer:
    """Returns the normalisation layer called `kind` over the last axis.

    Args:
        kind: "layer_norm" (https://arxiv.org/abs/1607.06450), "rms_norm" (https://arxiv.org/abs/1910.07467), or
            "rms_scaling", which has no weights.
        epsilon: added to the variance or mean square.

    Raises:
        ValueError: `kind` is none of them.
    """
    if kind == "layer_norm":
        return LayerNormalization(epsilon=epsilon, **kwargs)
    if kind == "rms_norm":
        layer = keras.layers.RMSNormalization(epsilon=epsilon, **kwargs)
        layer.supports_masking = True  # Keras 3.15 forgets to say so
        return layer
    if kind == "rms_scaling":
        return RootMeanSquareScaling(epsilon, **kwargs)
    raise ValueError(f"normalization must be 'layer_norm', 'rms_norm' or 'rms_scaling'; received {kind!r}")
