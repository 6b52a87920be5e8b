"""The dense projection that attention and feed-forward layers are made of."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer._gradients import first_of
from keras_transformer.layers.rounding import rounded
from keras_transformer.layers.row_sums import sum_of_rows
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
        kernel = ops.convert_to_tensor(self.kernel)
        if self.grid is not None:
            kernel = ops.transpose(rounded(ops.transpose(ops.cast(kernel, "float32")), self.grid))
        output = _product(rows, ops.cast(kernel, rows.dtype))
        if self.bias is not None:
            output = _with_bias(output, ops.cast(ops.convert_to_tensor(self.bias), output.dtype))
        return ops.reshape(self.activation(output), (*shape[:-1], self.units))


@ops.custom_gradient
def _product(rows: Any, kernel: Any) -> Any:
    """`rows [n, in] @ kernel [in, out]`, with the kernel's gradient computed the quicker way round.

    In float32 on a CPU a product is quicker where the wider matrix is the second one; in bfloat16 it is not.
    """

    def gradient(*upstream: Any) -> tuple[Any, Any]:
        d_output = first_of(upstream)
        d_rows = ops.matmul(d_output, ops.transpose(kernel))
        if rows.shape[-1] > d_output.shape[-1] and rows.dtype == "float32":
            return d_rows, ops.transpose(ops.matmul(ops.transpose(d_output), rows))
        return d_rows, ops.matmul(ops.transpose(rows), d_output)

    return ops.matmul(rows, kernel), gradient


@ops.custom_gradient
def _with_bias(rows: Any, bias: Any) -> Any:
    """`rows [n, w] + bias [w]`, whose gradient TensorFlow adds up more slowly than `sum_of_rows` does in bfloat16."""
    return rows + bias, lambda *upstream: (first_of(upstream), sum_of_rows(first_of(upstream)))


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
