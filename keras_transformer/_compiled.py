"""Compiles a function where that pays: many small operations become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that XLA compiles, where TensorFlow would run each of its operations by itself.

    Other backends compile the whole step, and get the function back as it is; so does TensorFlow under a strategy of
    several devices, which steps in between the operations. For functions whose arguments always have the same
    shapes: each new one is compiled anew.

    Args:
        function: of `keras.ops`; may assign variables.
    """
    if keras.backend.backend() != "tensorflow":
        return function

    import tensorflow as tf

    fast = tf.function(function, jit_compile=True, autograph=False)
    return lambda *arguments: function(*arguments) if tf.distribute.has_strategy() else fast(*arguments)
