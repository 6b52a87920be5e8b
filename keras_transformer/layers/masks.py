"""Masks for attention: 1 or True where a query may attend. Shapes: b batch, q query length, k key length."""

from __future__ import annotations

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
    queries = ops.arange(query_length, dtype="int32")[:, None] + offset
    keys = ops.arange(key_length, dtype="int32")[None, :]
    return (keys <= queries)[None]


def window_mask(query_length: Any, key_length: Any, window: int, offset: Any = 0) -> Any:
    """Returns a mask `[1, q, k]`: query i stands at position `offset + i` and sees the keys at most `window` away.

    Example:
        ```python
        window_mask(2, 4, window=1)  # [[[True, True, False, False], [True, True, True, False]]]
        ```
    """
    queries = ops.arange(query_length, dtype="int32")[:, None] + offset
    return (ops.abs(ops.arange(key_length, dtype="int32")[None, :] - queries) <= window)[None]


def step_bias(length: int, index: Any) -> Any:
    """Returns what keeps the query at position `index` off the keys behind it: float32 `[1, 1, 1, length]`.

    The bias of `causal_mask(1, length, index)` in the fewest operations: made anew at every step of decoding. The
    farther behind, the farther below zero.
    """
    keys = ops.reshape(ops.arange(length, dtype="float32"), (1, 1, 1, length))
    return ops.minimum(ops.cast(index, "float32") - keys, 0.0) * -MASKED


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
        attention_mask: `[b, q, k]` or `[b, h, q, k]`.
        causal: `[1, q, k]`.
    """
    of_keys = combined_mask(padding_mask, keras_mask)
    masks = [] if of_keys is None else [of_keys[:, None, None, :]]
    for mask in (attention_mask, causal):
        if mask is not None:
            mask = ops.cast(mask, "bool")
            masks.append(mask if len(mask.shape) == 4 else mask[:, None])
    if not masks:
        return None
    allowed = masks[0]
    for mask in masks[1:]:
        allowed = ops.logical_and(allowed, mask)
    return (1.0 - ops.cast(allowed, "float32")) * MASKED
