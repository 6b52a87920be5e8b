"""The dense projection that attention and feed-forward layers are made of."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.layers.rounding import rounded
from keras_transformer.quantization import Grid


class Projection(keras.layers.Dense):
    """`keras.layers.Dense` on rows: of all leading axes together, so that product, bias and activation become one.

    Attributes:
        grid: what the kernel is rounded to while training; none leaves it as it is.
    """

    grid: Grid | None = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or (len(inputs.shape) == 2 and self.grid is None):
            return super().call(inputs)
        shape = ops.shape(inputs)
        rows = ops.reshape(inputs, (-1, shape[-1]))
        output = super().call(rows) if self.grid is None else self._rounded_call(rows, self.grid)
        return ops.reshape(output, (*shape[:-1], self.units))

    def _rounded_call(self, rows: Any, grid: Grid) -> Any:
        kernel = ops.transpose(rounded(ops.transpose(ops.cast(self.kernel, "float32")), grid))
        output = ops.matmul(rows, ops.cast(kernel, rows.dtype))
        return self.activation(output if self.bias is None else output + self.bias)


def projection(owner: keras.layers.Layer, name: str, width_in: int, width_out: int) -> keras.layers.Dense:
    """Returns a built `Dense` with the `use_bias`, initializers and dtype policy of the layer that owns it.

    The initializers are copied, so that two kernels of one layer do not start from the same random numbers.
    """
    layer = Projection(
        width_out,
        use_bias=owner.use_bias,
        kernel_initializer=_copy(owner.kernel_initializer),
        bias_initializer=_copy(owner.bias_initializer),
        dtype=owner.dtype_policy,
        name=name,
    )
    layer.build((None, None, width_in))
    return layer


def _copy(initializer: Any) -> Any:
    return initializer.clone() if hasattr(initializer, "clone") else initializer
