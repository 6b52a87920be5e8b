"""Random numbers that are the same in every runtime: from a seed by integer arithmetic alone."""

from __future__ import annotations

from typing import Any

from keras import ops

ROUNDS = 6
# Odd, below 2**15: times a number of 16 bits they stay below 2**31, where no runtime overflows.
FACTORS = (25_173, 13_849, 31_821, 20_077, 28_411, 17_389)
BITS = 23  # of a number: the largest is so far below 1 that its product with a float32 sum is below the sum


def uniforms(seed: Any, rows: int, length: int) -> Any:
    """Returns float32 `[rows, length]` in [0, 1), evenly spread.

    The number at each place is its coordinates, row and column, put through a Feistel network keyed by the seed: a
    function without state, so that nothing is carried from step to step and any number can be had alone.

    Args:
        seed: int32 scalar, 0 or more.
        rows: at most 2**16.
        length: at most 2**16.

    Example:
        ```python
        uniforms(7, 3, 128)  # the same on every machine
        ```
    """
    seed = ops.cast(seed, "int32")
    low, high = ops.mod(seed, 2**16), ops.floor_divide(seed, 2**16)
    ones = ops.ones((rows, length), dtype="int32")
    left, right = ops.arange(rows, dtype="int32")[:, None] * ones, ops.arange(length, dtype="int32")[None] * ones
    for number, factor in enumerate(FACTORS):
        key = low if number % 2 else high
        # the middle bits of a product depend on all bits of its factors
        mixed = ops.mod(right + key + 1 + 911 * number, 2**16) * factor
        mixed = ops.mod(ops.floor_divide(mixed, 2**7), 2**16)
        left, right = right, ops.bitwise_xor(left, mixed)
    found = ops.floor_divide(left, 2 ** (32 - BITS)) * 2**16 + right  # 7 bits and 16
    return ops.cast(found, "float32") / 2.0**BITS
