"""The grids that weights are rounded to: by the exporter for good, and in training that makes ready for it.

A matrix `[n, m]` takes n rows of m inputs to n outputs. A grid has a scale for each row, or for each block of inputs of
a row, and whole numbers of few bits that are multiples of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

SMALLEST_SCALE = 2.0**-14  # the smallest that float16 holds in full

# By how much a block's scale may be less than what its largest weight asks for; the best of these is taken.
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)


class Grid(NamedTuple):
    """How weights are rounded.

    Attributes:
        bits: of a weight.
        block: inputs that share a scale; none means all of a row.
    """

    bits: int
    block: int | None = None

    @property
    def largest(self) -> int:
        """The largest whole number; with blocks there is one more below zero."""
        return 2 ** (self.bits - 1) - 1

    def fits(self, inputs: int) -> bool:
        """Returns whether rows of so many inputs fall into blocks."""
        return self.block is None or inputs % self.block == 0


ROWS_OF_8_BITS = Grid(8)
BLOCKS_OF_4_BITS = Grid(4, 32)
GRIDS = {"int8": ROWS_OF_8_BITS, "int4": BLOCKS_OF_4_BITS}
SMALLEST = 1024  # weights: a smaller matrix stays as it is, it is not worth its scales


def grid_of(name: str, outputs: int, inputs: int) -> Grid | None:
    """Returns the grid that a matrix `[outputs, inputs]` is rounded to, none if it stays as it is.

    Rows that do not fall into blocks have 8 bits.

    Example:
        ```python
        grid_of("int4", 256, 128)  # BLOCKS_OF_4_BITS
        ```
    """
    if outputs * inputs < SMALLEST:
        return None
    return GRIDS[name] if GRIDS[name].fits(inputs) else ROWS_OF_8_BITS


def round_to(matrix: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Rounds a matrix to a grid.

    Args:
        matrix: float32 `[n, m]`.
        grid: one that fits m.

    Returns: int8 `[n, m]`, and the scales, float32 `[n, blocks]`; those of blocks are what float16 can hold.

    Example:
        ```python
        numbers, scales = round_to(matrix, BLOCKS_OF_4_BITS)
        rounded = (numbers.reshape(len(matrix), -1, 32) * scales[..., None]).reshape(matrix.shape)
        ```
    """
    rows = np.asarray(matrix, np.float32)
    blocks = rows.reshape(len(rows), -1, grid.block or rows.shape[1])
    highest = np.abs(blocks).max(axis=2, keepdims=True)
    if grid.block is None:
        scales = np.where(highest > 0, highest, np.float32(1)) / np.float32(grid.largest)
        numbers = np.clip(np.rint(blocks / scales), -grid.largest, grid.largest)
    else:
        scales, numbers = _best_blocks(blocks, highest, grid)
    return numbers.astype(np.int8).reshape(rows.shape), scales[..., 0].astype(np.float32)


def _best_blocks(blocks: np.ndarray, highest: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Returns scales and numbers of blocks `[n, blocks, block]`: of the scales tried those with the least error."""
    best: Any = None
    for shrink in SHRINKS:
        scales = np.maximum(highest * np.float32(shrink / grid.largest), np.float32(SMALLEST_SCALE))
        scales = scales.astype(np.float16).astype(np.float32)
        numbers = np.clip(np.rint(blocks / scales), -grid.largest - 1, grid.largest)
        error = np.square(numbers * scales - blocks).sum(axis=2, keepdims=True)
        if best is None:
            best = scales, numbers, error
        else:
            better = error < best[2]
            best = tuple(np.where(better, new, old) for new, old in zip((scales, numbers, error), best, strict=True))
    return best[0], best[1]
