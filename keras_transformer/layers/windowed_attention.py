"""Self-attention within a window, block by block, with memory linear in the length.

After Longformer (https://arxiv.org/abs/2004.05150, "sliding window") and Local Attention (Image Transformer,
https://arxiv.org/abs/1802.05751, "1D"): a block of queries attends to its own keys and to as many on either side as
the window takes in, in one matrix product for all blocks.

Shapes: b batch, n length, h heads, g key-value heads, d width per head, m blocks, c positions in a block,
e = c + 2 * window keys that a block sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_transformer.layers.masks import MASKED, add_bias

SHORTEST_BLOCK = 64  # below it a matrix product is too small to be worth its while


def windowed_attention(
    query: Any,
    key: Any,
    value: Any,
    window: int,
    padding_mask: Any = None,
    use_causal_mask: bool = False,
    dropout: Callable[[Any], Any] | None = None,
) -> Any:
    """Returns `dropout(softmax(query key^T + bias)) value`, `[b, h, n, d]` in the dtype of `value`, where a query sees
    the keys at most `window` positions away.

    A query whose whole window is padding gets the mean of the values in it.

    Args:
        query: `[b, h, n, d]`, scaled.
        key, value: `[b, g, n, d]`, with n at least 1; each serves h / g heads.
        window: positions on either side, 0 or more.
        padding_mask: bool `[b, n]`, keys that may be attended to.
        use_causal_mask: whether a query sees none of the keys behind it.
        dropout: of the attention weights.

    Example:
        ```python
        windowed_attention(query, key, value, window=64, padding_mask=mask)
        ```
    """
    batch, heads, length, width = ops.shape(query)
    groups, shared = key.shape[1], query.shape[1] // key.shape[1]
    size = max(window, SHORTEST_BLOCK)
    blocks = -(-length // size)
    rows = _blocks(ops.reshape(query, (batch * heads, length, width)), size, blocks)
    if shared > 1:  # query heads of one group stand below each other
        rows = ops.reshape(rows, (batch * groups, shared, blocks, size, width))
        rows = ops.reshape(ops.transpose(rows, (0, 2, 1, 3, 4)), (batch * groups, blocks, shared * size, width))
    keys, values = (
        _with_neighbours(_blocks(ops.reshape(x, (batch * groups, length, width)), size, blocks), window)
        for x in (key, value)
    )

    logits = ops.cast(ops.matmul(rows, ops.transpose(keys, (0, 1, 3, 2))), "float32")  # [b * g, m, h / g * c, e]
    if padding_mask is None:
        padding_mask = ops.ones((1, length), dtype="bool")
    ends = _padding_bias(padding_mask, size, blocks, window)
    ends = ops.repeat(ends, groups, axis=0) if ends.shape[0] != 1 else ends
    logits = add_bias(logits, ops.tile(_band_bias(size, window, use_causal_mask), (1, 1, shared, 1)) + ends)
    weights = ops.cast(ops.softmax(logits, axis=-1), value.dtype)
    weights = weights if dropout is None else dropout(weights)
    context = ops.matmul(weights, values)  # [b * g, m, h / g * c, d]

    if shared > 1:
        context = ops.reshape(context, (batch * groups, blocks, shared, size, width))
        context = ops.transpose(context, (0, 2, 1, 3, 4))
    return ops.reshape(context, (batch, heads, blocks * size, width))[:, :, :length]


def _blocks(x: Any, size: int, blocks: Any) -> Any:
    """`[r, n, d]` to `[r, m, c, d]`, the last block filled up with zeros."""
    rows, length, width = ops.shape(x)
    missing = blocks * size - length
    if not isinstance(missing, int) or missing:
        x = ops.concatenate([x, ops.zeros((rows, missing, width), dtype=x.dtype)], axis=1)
    return ops.reshape(x, (rows, blocks, size, width))


def _with_neighbours(x: Any, window: int) -> Any:
    """Blocks `[r, m, c, d]` with the positions of the window before and after each: `[r, m, e, d]`."""
    if not window:
        return x
    none = ops.zeros_like(x[:, :1, :window])
    before = ops.concatenate([none, x[:, :-1, -window:]], axis=1)
    after = ops.concatenate([x[:, 1:, :window], none], axis=1)
    return ops.concatenate([before, x, after], axis=2)


# Three depths below a logit, all finite. The least is padding in the window: a query that sees nothing else sees all of
# it alike. Next comes what lies beyond the ends of the text, and then what lies beyond the window.


def _padding_bias(padding_mask: Any, size: int, blocks: Any, window: int) -> Any:
    """What keeps queries off padding and off what lies beyond the ends: float32 `[b, m, 1, e]`."""
    mask = ops.cast(padding_mask, "float32")[:, :, None] + 1.0  # 0 beyond the ends, 1 for padding, 2 for text
    mask = _with_neighbours(_blocks(mask, size, blocks), window)
    # not (2 - mask) * MASKED: TFLite's converter turns the difference round
    return (ops.transpose(mask, (0, 1, 3, 2)) - 2.0) * -MASKED


def _band_bias(size: int, window: int, use_causal_mask: bool) -> Any:
    """What keeps queries off what lies beyond the window: float32 `[1, 1, c, e]`."""
    apart = ops.arange(size + 2 * window, dtype="int32")[None, :] - ops.arange(size, dtype="int32")[:, None] - window
    near = ops.logical_and(apart >= -window, apart <= (0 if use_causal_mask else window))
    return ((1.0 - ops.cast(near, "float32")) * (4 * MASKED))[None, None]
