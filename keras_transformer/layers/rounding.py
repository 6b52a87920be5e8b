"""Weights rounded while a model trains, so that it learns to do with few bits."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_transformer.quantization import SHRINKS, SMALLEST_SCALE, Grid


def rounded(matrix: Any, grid: Grid) -> Any:
    """Returns a matrix rounded as `quantization.round_to` rounds it, and passes gradients on as if it had not been.

    The straight-through estimator of https://arxiv.org/abs/1308.3432, as in https://arxiv.org/abs/1712.05877: the model
    is trained with the weights that it will have, and what moves are those behind them.

    Args:
        matrix: float32 `[n, m]`: n outputs of m inputs.
        grid: one that fits m.

    Example:
        ```python
        logits = ops.matmul(x, ops.transpose(rounded(embeddings, BLOCKS_OF_4_BITS)))
        ```
    """
    blocks = ops.reshape(ops.stop_gradient(matrix), (matrix.shape[0], -1, grid.block or matrix.shape[1]))
    highest = ops.max(ops.abs(blocks), axis=2, keepdims=True)
    if grid.block is None:
        scales = ops.where(highest > 0, highest, ops.ones_like(highest)) / grid.largest
        near = ops.clip(ops.round(blocks / scales), -grid.largest, grid.largest) * scales
    else:
        near = _best_blocks(blocks, highest, grid)
    return matrix + ops.stop_gradient(ops.reshape(near, matrix.shape) - matrix)


def _best_blocks(blocks: Any, highest: Any, grid: Grid) -> Any:
    """Returns blocks rounded with that of the scales tried which has the least error."""
    near = least = None
    for shrink in SHRINKS:
        scales = ops.maximum(highest * (shrink / grid.largest), SMALLEST_SCALE)
        scales = ops.cast(ops.cast(scales, "float16"), "float32")  # as a file holds them
        found = ops.clip(ops.round(blocks / scales), -grid.largest - 1, grid.largest) * scales
        error = ops.sum(ops.square(found - blocks), axis=2, keepdims=True)
        near = found if near is None else ops.where(error < least, found, near)
        least = error if least is None else ops.minimum(error, least)
    return near
