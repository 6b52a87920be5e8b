"""The two normalisations a block can use."""

from __future__ import annotations

from typing import Any

import keras


def normalization(kind: str, epsilon: float, **kwargs: Any) -> keras.layers.Layer:
    """Returns the normalisation layer called `kind` over the last axis.

    Args:
        kind: "layer_norm" (https://arxiv.org/abs/1607.06450) or "rms_norm" (https://arxiv.org/abs/1910.07467).
        epsilon: added to the variance or mean square.

    Raises:
        ValueError: `kind` is neither.
    """
    if kind == "layer_norm":
        return keras.layers.LayerNormalization(epsilon=epsilon, **kwargs)
    if kind == "rms_norm":
        layer = keras.layers.RMSNormalization(epsilon=epsilon, **kwargs)
        layer.supports_masking = True  # Keras 3.15 forgets to say so
        return layer
    raise ValueError(f"normalization must be 'layer_norm' or 'rms_norm'; received {kind!r}")
