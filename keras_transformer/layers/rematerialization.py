"""Computes a part of a model again on the way back, rather than keep what it computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_transformer.layers.dropout import Noise, current_noise, noise_again


def rematerialized(function: Callable[..., Any], seed: Any = None, **inputs: Any) -> Any:
    """Returns `function(**inputs)`; for its gradient it is called a second time, and nothing between is kept.

    Gradient checkpointing (https://arxiv.org/abs/1604.06174): less memory for the time of one more call. The second
    call has the dropout of the first, which `keras.remat` by itself does not see to.

    Args:
        function: of tensors; may read variables, not assign them.
        seed: a `keras.random.SeedGenerator`, for dropout where there is no `shared_noise` around the call.
        inputs: floating-point tensors, or None, which are left out. Gradients go to them and to the variables.

    Example:
        ```python
        rematerialized(lambda inputs: block(inputs, padding_mask=mask, training=True), inputs=x)
        ```
    """
    given = {name: x for name, x in inputs.items() if x is not None}
    noise = current_noise() or (None if seed is None else Noise(seed))
    count = 0 if noise is None else noise.count

    def call(*tensors: Any) -> Any:
        named = dict(zip(given, tensors, strict=True))
        if noise is None:
            return function(**named)
        with noise_again(noise, count):
            return function(**named)

    return keras.remat(call)(*given.values())
