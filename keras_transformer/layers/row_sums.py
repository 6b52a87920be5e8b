"""The sum over all rows of a matrix, which the gradients of biases and of normalisations are."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer._devices import has_gpu


def sum_of_rows(x: Any) -> Any:
    """Returns `[w]`, the sum of `x [..., w]` over all axes but the last, in its dtype.

    On a CPU TensorFlow adds up rows more slowly than it multiplies them with ones, which is as exact there. A GPU would
    round what it multiplies.
    """
    rows = ops.reshape(x, (-1, x.shape[-1]))
    if keras.backend.backend() != "tensorflow" or has_gpu():
        return ops.sum(rows, axis=0)
    return ops.matmul(ops.ones((1, ops.shape(rows)[0]), dtype=rows.dtype), rows)[0]
