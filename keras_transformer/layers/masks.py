"""Masks for attention: 1 or True where a query may attend. Shapes: b batch, q query length, k key length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

# Added to the logit of a key that may not be attended to. Softmax runs in float32, where a logit of usual size plus
# this value is this value: a row in which every key is masked becomes a uniform one, not NaN.
MASKED = -1e9


def causal_mask(query_length: Any, key_length: Any, offset: Any = 0) -> Any:
    """Returns a mask `[1, q, k]`: query i stands at position `offset + i` and sees the keys at or before it.

    Example:
        ```python
        causal_mask(2, 3)  # [[[True, False, False], [True, True, False]]]
        ```
    """
    return _positions_of_keys(key_length) <= _positions_of_queries(query_length, offset)


def window_mask(query_length: Any, key_length: Any, window: int, offset: Any = 0) -> Any:
    """Returns a mask `[1, q, k]`: query i stands at position `offset + i` and sees the keys at most `window` away.

    Example:
        ```python
        window_mask(2, 4, window=1)  # [[[True, True, False, False], [True, True, True, False]]]
        ```
    """
    return ops.abs(_positions_of_keys(key_length) - _positions_of_queries(query_length, offset)) <= window


def _positions_of_queries(length: Any, offset: Any) -> Any:
    """`[1, q, 1]`."""
    return ops.expand_dims(ops.arange(length, dtype="int32"), (0, 2)) + offset


def _positions_of_keys(length: Any) -> Any:
    """`[1, 1, k]`."""
    return ops.expand_dims(ops.arange(length, dtype="int32"), (0, 1))


def step_bias(length: int, index: Any) -> Any:
    """Returns what keeps the query at position `index` off the keys behind it: float32 `[1, 1, 1, length]`.

    The bias of `causal_mask(1, length, index)` in the fewest operations: made anew at every step of decoding. The
    farther behind, the farther below zero.
    """
    keys = ops.reshape(ops.arange(length, dtype="float32"), (1, 1, 1, length))
    return ops.minimum(ops.cast(index, "float32") - keys, 0.0) * -MASKED


def add_bias(logits: Any, bias: Any) -> Any:
    """Returns `logits + bias`, what a matrix product gave and what is added for masks, in every kind of graph.

    Written as a difference. TensorFlow 2.21's graph optimiser fuses a matrix product with the sum behind it on a CPU
    (oneDNN's `_FusedBatchMatMulV2`), and in the branches of a condition and in loops the fused operation returns an
    EMPTY tensor where lengths are dynamic. It knows sums only; `logits - (-bias)` it turns into one, a product with -1
    it leaves as it is.

    Example:
        ```python
        add_bias(ops.matmul(query, key), combined_bias(padding_mask))
        ```
    """
    return logits - bias * -1.0


def mask_of_heads(mask: Any, name: str, shape: Sequence[int | None]) -> Any:
    """Returns an attention mask with an axis for each of batch, heads, queries and keys: bool, of rank 4.

    Args:
        mask: `[q, k]`, `[b, q, k]` or `[b, h, q, k]`, each axis of its full size or 1.
        name: of the layer, for the error.
        shape: (b, h, q, k), None where a size is not known.

    Raises:
        ValueError: it is of another shape.

    Example:
        ```python
        mask_of_heads(ops.ones((5, 7)), "attention", (2, 4, 5, 7)).shape  # (1, 1, 5, 7)
        ```
    """
    mask = ops.cast(mask, "bool")
    check_mask_of_heads(mask, name, shape)
    if len(mask.shape) == 4:
        return mask
    return ops.expand_dims(mask, 1 if len(mask.shape) == 3 else (0, 1))


def check_mask_of_heads(mask: Any, name: str, shape: Sequence[int | None]) -> None:
    """Raises a ValueError if an attention mask, which may be symbolic, does not fit; see `mask_of_heads`."""
    given = tuple(mask.shape)
    axes = {2: (None, None, *given), 3: (given[0], None, *given[1:]), 4: given}.get(len(given))
    fits = axes is not None and all(
        size in (None, 1) or full is None or size == full for size, full in zip(axes, shape, strict=True)
    )
    if not fits:
        batch, heads, queries, keys = ("?" if size is None else size for size in shape)
        raise ValueError(
            f"{name}: attention_mask must be [{queries}, {keys}] (queries, keys), [{batch}, {queries}, {keys}] with "
            f"the batch before them, or [{batch}, {heads}, {queries}, {keys}] with batch and heads, each axis of this "
            f"size or 1; received {list(given)}"
        )


def combined_mask(padding_mask: Any = None, keras_mask: Any = None) -> Any:
    """Returns one mask of two `[b, k]`: bool, or None if both are None."""
    masks = [ops.cast(mask, "bool") for mask in (padding_mask, keras_mask) if mask is not None]
    return masks[0] if len(masks) == 1 else ops.logical_and(*masks) if masks else None


def combined_bias(
    padding_mask: Any = None, keras_mask: Any = None, attention_mask: Any = None, causal: Any = None
) -> Any:
    """Combines masks into what is added to the logits: float32, broadcastable to `[b, h, q, k]`, or None.

    Args:
        padding_mask, keras_mask: `[b, k]`.
        attention_mask: `[b, h, q, k]`, see `mask_of_heads`.
        causal: `[1, q, k]`.
    """
    of_keys = combined_mask(padding_mask, keras_mask)
    masks = [] if of_keys is None else [ops.expand_dims(of_keys, (1, 2))]
    if attention_mask is not None:
        masks.append(ops.cast(attention_mask, "bool"))
    if causal is not None:
        masks.append(ops.expand_dims(causal, 1))
    if not masks:
        return None
    allowed = masks[0]
    for mask in masks[1:]:
        allowed = ops.logical_and(allowed, mask)
    return (1.0 - ops.cast(allowed, "float32")) * MASKED
