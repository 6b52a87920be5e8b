"""Gradients, where each backend has its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def gradient(function: Callable[[Any], Any], x: Any) -> Any:
    """Returns the gradient of `function(x)`, a scalar, at the tensor `x`.

    Args:
        function: of tensors; may read variables, not assign them.
        x: floating-point tensor.

    Raises:
        NotImplementedError: the backend is another than TensorFlow or JAX.

    Example:
        ```python
        gradient(lambda x: keras.ops.sum(x * x), x)  # 2 * x
        ```
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)
    if backend == "jax":
        import jax

        return jax.grad(function)(x)
    raise NotImplementedError(f"no gradient with the backend {backend!r}; it takes tensorflow or jax")


def first_of(upstream: tuple[Any, ...]) -> Any:
    """Returns the gradient of a function's first result: JAX gives those of all results as one tuple."""
    return upstream[0][0] if isinstance(upstream[0], (tuple, list)) else upstream[0]
