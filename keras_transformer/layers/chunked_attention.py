"""Attention over chunks of the keys: equal to that over all at once, with memory linear in the length.

After Rabe and Staats (https://arxiv.org/abs/2112.05682) and FlashAttention (https://arxiv.org/abs/2205.14135): the
softmax is taken chunk by chunk, with the highest logit and the sum so far. The gradient computes the probabilities of
each chunk again: nothing of `[q, k]` is ever kept.

Shapes: b batch, q query length, k key length, c keys in a chunk, h heads, g key-value heads, d width per head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_transformer._gradients import first_of
from keras_transformer.layers.masks import MASKED, add_bias

LOWEST = -1e30  # below every logit, and finite: the difference of two of them is a number


def chunked_attention(
    query: Any,
    key: Any,
    value: Any,
    chunk: int,
    mask_bias: Any = None,
    attention_bias: Any = None,
    use_causal_mask: bool = False,
    dropout: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """Returns `dropout(softmax(query key^T + bias)) value`, `[b, h, q, d]` in the dtype of `value`.

    Args:
        query: `[b, h, q, d]`, scaled.
        key, value: `[b, g, k, d]`, with k at least 1; each serves h / g heads.
        chunk: the most keys in a chunk. The chunks are made equal, so that little of the last is empty.
        mask_bias: what keeps queries off keys, from `combined_bias`, of the rank of the logits; takes no gradient.
        attention_bias: float32, broadcastable to `[b, h, q, k]`.
        use_causal_mask: whether query i sees the keys up to i only. The mask is made for each chunk.
        dropout: gives the factors of a chunk, by its number and shape; see `Dropout.factors_in_parts`.

    Example:
        ```python
        chunked_attention(query, key, value, chunk=256, use_causal_mask=True)
        ```
    """
    biases = {"mask": mask_bias, "added": attention_bias}
    biases = {name: _of_rank_4(bias) for name, bias in biases.items() if bias is not None}

    @ops.custom_gradient
    def attention(query: Any, key: Any, value: Any, *bias_tensors: Any) -> Any:
        named = dict(zip(biases, bias_tensors, strict=True))
        chunks = _Chunks(query, key, value, chunk, named, use_causal_mask, dropout)
        context, highest, total = chunks.attend()

        def gradient(*upstreams: Any) -> tuple[Any, ...]:
            upstream = first_of(upstreams)
            *d_inputs, d_added = chunks.gradients(upstream, context, highest, total)
            return (*d_inputs, *({"mask": None, "added": d_added}[name] for name in biases))

        return ops.cast(context, value.dtype), gradient

    return attention(query, key, value, *biases.values())


def _of_rank_4(x: Any) -> Any:
    x = ops.convert_to_tensor(x)
    return ops.reshape(x, (*(1 for _ in range(4 - len(x.shape))), *ops.shape(x)))


def _next(i: Any, made: Any) -> Any:
    """Returns `i + 1`, once `made`, a tensor of rank 4, is there.

    TensorFlow runs up to ten turns of a loop ahead of each other, as far as they need nothing of the one before: the
    logits of ten chunks would stand in memory together.
    """
    never = ops.any(made[:, :1, :1, :1] < -float("inf"))
    return i + 1 + ops.cast(never, "int32")


class _Chunks:
    """The chunks of one attention, see `chunked_attention`."""

    def __init__(
        self,
        query: Any,
        key: Any,
        value: Any,
        chunk: int,
        biases: dict[str, Any],
        use_causal_mask: bool,
        dropout: Callable[[Any, Any], Any] | None,
    ):
        self.batch, self.heads, self.queries, self.width = ops.shape(query)
        self.groups, self.keys = key.shape[1], ops.shape(key)[2]
        self.number = -(-self.keys // chunk)
        self.size = -(-self.keys // self.number)
        self.query = query
        self.key, self.value = (self._padded(x, axis=2) for x in (key, value))
        # one that is the same for all keys is not cut
        self.biases = {name: x if x.shape[-1] == 1 else self._padded(x, axis=3) for name, x in biases.items()}
        self.use_causal_mask = use_causal_mask
        self.dropout = dropout

    def attend(self) -> tuple[Any, Any, Any]:
        """Returns what is attended to `[b, h, q, d]`, the highest logit and the sum `[b, h, q, 1]`, all float32."""

        def add_chunk(i: Any, context: Any, highest: Any, total: Any) -> tuple[Any, ...]:
            logits = self._logits(i)
            new_highest = ops.maximum(highest, ops.max(logits, axis=-1, keepdims=True))
            weights = ops.exp(logits - new_highest)
            shrink = ops.exp(highest - new_highest)
            total = total * shrink + ops.sum(weights, axis=-1, keepdims=True)
            context = context * shrink + self._mixed(self._dropped(weights, i), self._cut(self.value, i))
            return _next(i, total), context, new_highest, total

        context = ops.zeros_like(self.query, dtype="float32")
        row = ops.zeros_like(self.query[..., :1], dtype="float32")
        context, highest, total = self._over_chunks(add_chunk, context, row + LOWEST, row)
        return context / total, highest, total

    def gradients(self, upstream: Any, context: Any, highest: Any, total: Any) -> tuple[Any, ...]:
        """Returns the gradients of query, key, value and the added bias, or None, from that of the context."""
        # the gradient of a softmax: p (dp - sum(p dp)), where sum(p dp) is the product of the context and its gradient
        along = ops.sum(ops.cast(upstream, "float32") * context, axis=-1, keepdims=True)

        def add_chunk(i: Any, d_query: Any, d_key: Any, d_value: Any, *d_added: Any) -> tuple[Any, ...]:
            probabilities = ops.exp(self._logits(i) - highest) / total
            d_weights = self._dropped(self._products(upstream, self._cut(self.value, i)), i)
            d_logits = probabilities * (d_weights - along)
            start = (0, 0, i * self.size, 0)
            d_query = d_query + self._mixed(d_logits, self._cut(self.key, i))
            return (
                _next(i, d_query),
                d_query,
                ops.slice_update(d_key, start, self._mixed_over_queries(d_logits, self.query)),
                ops.slice_update(d_value, start, self._mixed_over_queries(self._dropped(probabilities, i), upstream)),
                *(self._with_bias_gradient(d_bias, d_logits, i) for d_bias in d_added),
            )

        added = [ops.zeros_like(self.biases["added"])] if "added" in self.biases else []
        d_query, d_key, d_value, *d_added = self._over_chunks(
            add_chunk,
            ops.zeros_like(self.query, dtype="float32"),
            ops.zeros_like(self.key),
            ops.zeros_like(self.value),
            *added,
        )
        d_bias = (d_added[0] if d_added[0].shape[-1] == 1 else d_added[0][..., : self.keys]) if d_added else None
        return ops.cast(d_query, self.query.dtype), d_key[:, :, : self.keys], d_value[:, :, : self.keys], d_bias

    def _over_chunks(self, add_chunk: Callable[..., Any], *state: Any) -> list[Any]:
        first = ops.convert_to_tensor(0, dtype="int32")
        _, *state_ = ops.while_loop(lambda i, *_: i < self.number, add_chunk, (first, *state))
        return state_

    def _logits(self, i: Any) -> Any:
        """`[b, h, q, c]`, float32, masked."""
        positions = i * self.size + ops.arange(self.size, dtype="int32")
        bias = ops.zeros((1, 1, 1, 1), dtype="float32")
        if "mask" in self.biases:
            bias = self._cut_bias("mask", i)
        if self.use_causal_mask:
            behind = positions[None, :] > ops.arange(self.queries, dtype="int32")[:, None]
            # not the sum: a query that may attend to nothing attends to all keys alike
            bias = ops.minimum(bias, ops.cast(behind, "float32") * MASKED)
        if "added" in self.biases:
            bias = bias + self._cut_bias("added", i)
        bias = ops.where(positions < self.keys, bias, -float("inf"))
        return add_bias(self._products(self.query, self._cut(self.key, i)), bias)

    def _dropped(self, weights: Any, i: Any) -> Any:
        if self.dropout is None:
            return weights
        return weights * self.dropout(i, (self.batch, self.heads, self.queries, self.size))

    def _products(self, rows: Any, columns: Any) -> Any:
        """`[b, h, q, d]` times `[b, g, c, d]`: `[b, h, q, c]`, float32."""
        products = ops.matmul(self._by_groups(rows, self.width), ops.transpose(columns, (0, 1, 3, 2)))
        return ops.cast(self._by_heads(products, self.size), "float32")

    def _mixed(self, weights: Any, rows: Any) -> Any:
        """`[b, h, q, c]` times `[b, g, c, d]`: `[b, h, q, d]`, float32."""
        weights = self._by_groups(ops.cast(weights, rows.dtype), self.size)
        return ops.cast(self._by_heads(ops.matmul(weights, rows), self.width), "float32")

    def _mixed_over_queries(self, weights: Any, rows: Any) -> Any:
        """`[b, h, q, c]` turned round, times `[b, h, q, d]`: `[b, g, c, d]`."""
        weights = self._by_groups(ops.cast(weights, rows.dtype), self.size)
        return ops.matmul(ops.transpose(weights, (0, 1, 3, 2)), self._by_groups(rows, self.width))

    def _by_groups(self, x: Any, width: Any) -> Any:
        """Query heads of one group below each other: `[b, g, h/g * q, width]`."""
        shared = self.heads // self.groups
        return x if shared == 1 else ops.reshape(x, (self.batch, self.groups, shared * self.queries, width))

    def _by_heads(self, x: Any, width: Any) -> Any:
        same = self.heads == self.groups
        return x if same else ops.reshape(x, (self.batch, self.heads, self.queries, width))

    def _with_bias_gradient(self, d_bias: Any, d_logits: Any, i: Any) -> Any:
        """The gradient of the added bias with that of a chunk, summed where the bias is the same."""
        axes = tuple(axis for axis, size in enumerate(d_bias.shape) if size == 1)
        d_chunk = ops.sum(d_logits, axis=axes, keepdims=True) if axes else d_logits
        if d_bias.shape[-1] == 1:
            return d_bias + d_chunk
        return ops.slice_update(d_bias, (0, 0, 0, i * self.size), d_chunk)

    def _cut(self, x: Any, i: Any) -> Any:
        """Chunk i of keys or values: `[b, g, c, d]`."""
        return ops.slice(x, (0, 0, i * self.size, 0), (self.batch, self.groups, self.size, self.width))

    def _cut_bias(self, name: str, i: Any) -> Any:
        bias = self.biases[name]
        if bias.shape[-1] == 1:
            return bias
        return ops.slice(bias, (0, 0, 0, i * self.size), (*ops.shape(bias)[:3], self.size))

    def _padded(self, x: Any, axis: int) -> Any:
        """With zeros for the keys that the last chunk has too many."""
        missing = self.number * self.size - self.keys
        if isinstance(missing, int) and missing == 0:
            return x
        shape = list(ops.shape(x))
        shape[axis] = missing
        return ops.concatenate([x, ops.zeros(shape, dtype=x.dtype)], axis=axis)
