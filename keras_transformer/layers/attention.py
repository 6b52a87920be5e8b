"""Multi-head attention with a key-value cache.

Shapes: b batch, q query length, k key length, l cache length, h heads, g key-value heads, d width per head,
w width of the model.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_transformer.layers.chunked_attention import chunked_attention
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.masks import (
    add_bias,
    causal_mask,
    check_mask_of_heads,
    combined_bias,
    combined_mask,
    mask_of_heads,
    window_mask,
)
from keras_transformer.layers.projection import projection
from keras_transformer.layers.windowed_attention import windowed_attention


class KeyValues(NamedTuple):
    """A cache: the keys and the values of one attention layer, two tensors `[b, g, l, d]`.

    Two rather than one of both: neither is then copied out of the other at every step of decoding.
    """

    keys: Any
    values: Any


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head scaled dot-product attention, after "Attention Is All You Need" (https://arxiv.org/abs/1706.03762).

    `softmax(Q K^T / sqrt(key_dim) + bias) V` for every head, with the heads joined by an output projection. With
    `num_key_value_heads < num_heads` several query heads share one key and value head: grouped-query attention
    (https://arxiv.org/abs/2305.13245). The softmax is computed in float32 under every dtype policy.

    Called with one tensor the layer is self-attention, and its three projections are one matrix product; called with
    two it is cross-attention. Which of the two is decided by the first call (or `build`).

    Masks hold 1 or True where a query may attend, and are combined. A query that may attend to nothing gets the mean
    of all values, never NaN.

    **Cache.** `KeyValues`, two dense tensors `[b, g, l, d]`. In self-attention, `cache` with `cache_update_index`
    writes the new keys and values at that position and attends to the cache; with `use_causal_mask=True` only to the
    positions up to the query's own. In cross-attention `cache` replaces `value`: `project_key_value(value)` computes
    it once for a sentence.

    **Chunks.** With `attention_chunk` the layer attends to so many keys at a time, see `chunked_attention`: the same
    output, with memory linear in the length rather than quadratic, for a little more time. A call with a cache, or
    that returns the scores, has all of them at once.

    **Window.** With `attention_window` a position of self-attention sees only the positions at most so far away, see
    `windowed_attention`: memory and time are linear in the length, and a text that the window covers is attended to in
    full. A call with a cache, an `attention_mask` or an `attention_bias`, or that returns the scores, gives the same,
    with memory for all pairs.

    Args:
        num_heads: number of query heads.
        key_dim: width of each head.
        num_key_value_heads: number of key and value heads, a divisor of `num_heads`; default `num_heads`.
        output_dim: width of the output; default the width of the query.
        dropout: rate of dropout on the attention weights.
        use_bias: whether the projections have a bias.
        attention_chunk: the most keys that are attended to at once; None means all.
        attention_window: how many positions on either side self-attention sees; None means all.
        kernel_initializer, bias_initializer: initializers of the projections; the default equals Glorot's for square
            kernels and does not change when projections are fused.

    Call arguments:
        query: `[b, q, w]`.
        value: `[b, k, w]` to attend to (keys are computed from it too), or None for self-attention.
        padding_mask: `[b, k]`, keys that may be attended to. Keras masks of `query` and `value` are used too.
        attention_mask: `[q, k]`, `[b, q, k]` or `[b, h, q, k]`; an axis of size 1 serves all of its axis.
        attention_bias: float32, broadcastable to `[b, h, q, k]`, added to the logits besides the masks: for a mask
            that several layers share (`layers.masks.combined_bias`).
        use_causal_mask: whether a query attends only to keys at or before its own position.
        cache: `KeyValues`, see above.
        cache_update_index: int32 scalar, the cache position of the first query.
        return_attention_scores: whether to return the attention weights as well.
        training: whether dropout is active.

    Returns:
        `output [b, q, output_dim]`; with `return_attention_scores` also `scores [b, h, q, k]`; with a `cache` also the
        updated cache; in this order.

    Raises:
        ValueError: `num_heads` is no multiple of `num_key_value_heads`; `attention_chunk` or
            `attention_window` is less than 1; a layer with a window is built for cross-attention; a layer built for
            self-attention is given another `value`, or one built for cross-attention is given neither `value` nor
            `cache`; `attention_mask` is of another shape.

    Example:
        ```python
        attention = MultiHeadAttention(num_heads=4, key_dim=32)
        output = attention(x, padding_mask=mask, use_causal_mask=True)  # x [b, n, w] -> [b, n, w]
        ```
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        num_key_value_heads: int | None = None,
        output_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        attention_chunk: int | None = None,
        attention_window: int | None = None,
        kernel_initializer: Any = "lecun_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        num_key_value_heads = num_key_value_heads or num_heads
        if num_heads % num_key_value_heads:
            raise ValueError(
                f"num_heads must be a multiple of num_key_value_heads; "
                f"received num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        for name, number in (("attention_chunk", attention_chunk), ("attention_window", attention_window)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be 1 or more, or None; received {number}")
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.num_key_value_heads = num_key_value_heads
        self.output_dim = output_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.attention_chunk = attention_chunk
        self.attention_window = attention_window
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, query_shape: tuple, value_shape: tuple | None = None) -> None:
        self.is_self_attention = value_shape is None
        query_width = query_shape[-1]
        if value_shape is None:
            heads = self.num_heads + 2 * self.num_key_value_heads
            self.query_key_value = projection(self, "query_key_value", query_width, heads * self.key_dim)
        else:
            if self.attention_window is not None:
                raise ValueError(
                    f"attention_window is for self-attention; received {self.attention_window} and another `value`"
                )
            self.query = projection(self, "query", query_width, self.num_heads * self.key_dim)
            self.key_value = projection(self, "key_value", value_shape[-1], 2 * self.num_key_value_heads * self.key_dim)
        self.output_projection = projection(
            self, "output", self.num_heads * self.key_dim, self.output_dim or query_width
        )
        self.built = True

    def call(
        self,
        query: Any,
        value: Any = None,
        padding_mask: Any = None,
        attention_mask: Any = None,
        attention_bias: Any = None,
        use_causal_mask: bool = False,
        cache: Any = None,
        cache_update_index: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
    ) -> Any:
        if self.is_self_attention:
            if value is not None and value is not query:
                raise ValueError(
                    f"{self.name} was built for self-attention (its first call had no `value`); received another value"
                )
            queries, pairs = self._project_query_key_value(query)
            keras_mask = mask if query_mask is None else query_mask  # Keras says `mask` where a tensor stands alone
        else:
            if value is None and cache is None:
                raise ValueError(f"{self.name} was built for cross-attention; received neither `value` nor `cache`")
            queries = self._split_heads(self.query(query), self.num_heads)
            pairs = None if cache is not None else self._project_pairs(value)
            keras_mask = value_mask

        offset = 0
        if cache is not None:
            if self.is_self_attention:
                offset = cache_update_index
                start = (0, 0, cache_update_index, 0)
                cache = KeyValues(
                    *(
                        ops.slice_update(old, start, ops.cast(new, old.dtype))
                        for old, new in zip(cache, ops.split(pairs, 2, axis=1), strict=True)
                    )
                )
                keras_mask = None  # covers the new positions only, not the cache
            keys, values = cache
        else:
            keys, values = ops.split(pairs, 2, axis=1)
        if attention_mask is not None:
            shape = (query.shape[0], self.num_heads, query.shape[1], keys.shape[2])
            attention_mask = mask_of_heads(attention_mask, self.name, shape)
        if self.attention_window is not None:
            unruled = attention_mask is None and attention_bias is None
            if unruled and cache is None and not return_attention_scores:
                mask = combined_mask(padding_mask, keras_mask)
                return self.output_projection(
                    self._attend_in_window(
                        queries, keys, values, training, self.attention_window, mask, use_causal_mask
                    )
                )
            near = window_mask(ops.shape(query)[1], ops.shape(keys)[2], self.attention_window, offset)
            attention_mask = near if attention_mask is None else ops.logical_and(attention_mask, near)
        if self.attention_chunk is not None and cache is None and not return_attention_scores:
            context = self._attend_in_chunks(
                queries,
                keys,
                values,
                training,
                chunk=self.attention_chunk,
                mask_bias=combined_bias(padding_mask, keras_mask, attention_mask),
                attention_bias=None if attention_bias is None else ops.cast(attention_bias, "float32"),
                use_causal_mask=use_causal_mask,
            )
            return self.output_projection(context)
        causal = causal_mask(ops.shape(query)[1], ops.shape(keys)[2], offset) if use_causal_mask else None
        bias = combined_bias(padding_mask, keras_mask, attention_mask, causal)
        if attention_bias is not None:
            attention_bias = ops.cast(attention_bias, "float32")  # Keras casts what a layer is given
            bias = attention_bias if bias is None else bias + attention_bias
        context, scores = self._attend(queries, keys, values, bias, training)
        output = self.output_projection(context)

        results = [output]
        if return_attention_scores:
            results.append(scores)
        if cache is not None:
            results.append(cache)
        return results[0] if len(results) == 1 else tuple(results)

    def project_key_value(self, value: Any) -> KeyValues:
        """Returns keys and values, each `[b, g, k, d]`, of `value [b, k, w]`: the cache of cross-attention."""
        return KeyValues(*ops.split(self._project_pairs(value), 2, axis=1))

    def empty_cache(self, batch_size: Any, max_length: int) -> KeyValues:
        """Returns a cache of zeros, each of its tensors `[batch_size, g, max_length, d]`, in the compute dtype."""
        shape = (batch_size, self.num_key_value_heads, max_length, self.key_dim)
        return KeyValues(ops.zeros(shape, dtype=self.compute_dtype), ops.zeros(shape, dtype=self.compute_dtype))

    def _project_query_key_value(self, query: Any) -> tuple[Any, Any]:
        """Queries `[b, h, q, d]`, and keys and values below each other `[b, 2g, q, d]`."""
        heads = self._split_heads(self.query_key_value(query), self.num_heads + 2 * self.num_key_value_heads)
        # split, not slices: the gradient of a split joins its parts, that of a slice pads each with zeros and adds
        queries, pairs = ops.split(heads, [self.num_heads], axis=1)
        return queries, pairs

    def _project_pairs(self, value: Any) -> Any:
        """Keys and values below each other `[b, 2g, k, d]`."""
        return self._split_heads(self.key_value(value), 2 * self.num_key_value_heads)

    def _split_heads(self, x: Any, heads: int) -> Any:
        batch, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch, length, heads, self.key_dim))
        return ops.transpose(x, (0, 2, 1, 3))  # [b, heads, n, d]

    def _attend(self, query: Any, key: Any, value: Any, bias: Any, training: bool | None) -> tuple[Any, Any]:
        """Attention of `query [b, h, q, d]` over `key` and `value [b, g, k, d]`: `[b, q, h*d]` and `[b, h, q, k]`."""
        batch, _, length, _ = ops.shape(query)
        groups, shared = self.num_key_value_heads, self.num_heads // self.num_key_value_heads
        key_length = ops.shape(key)[2]
        query = query * ops.cast(1 / math.sqrt(self.key_dim), query.dtype)
        if shared > 1:  # query heads of one group stand below each other: [b, g, h/g * q, d]
            query = ops.reshape(query, (batch, groups, shared * length, self.key_dim))

        logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # [b, g, h/g * q, k]
        logits = ops.cast(logits, "float32")
        if shared > 1:
            logits = ops.reshape(logits, (batch, self.num_heads, length, key_length))
        if bias is not None:
            logits = add_bias(logits, bias)
        # Keras's softmax warns of an axis of 1, which is a sentence of one token
        scores = ops.ones_like(logits) if logits.shape[-1] == 1 else ops.softmax(logits, axis=-1)
        scores = ops.cast(scores, self.compute_dtype)  # [b, h, q, k]

        weights = self.dropout_layer(scores, training=training)
        if shared > 1:
            weights = ops.reshape(weights, (batch, groups, shared * length, key_length))
        context = ops.matmul(weights, value)  # [b, g, h/g * q, d]
        if shared > 1:
            context = ops.reshape(context, (batch, self.num_heads, length, self.key_dim))
        return self._joined_heads(context, batch, length), scores

    def _attend_in_chunks(self, query: Any, key: Any, value: Any, training: bool | None, **options: Any) -> Any:
        """Attention of `query [b, h, q, d]` over `key` and `value [b, g, k, d]`, some keys at a time: `[b, q, h*d]`."""
        batch, _, length, _ = ops.shape(query)
        query = query * ops.cast(1 / math.sqrt(self.key_dim), query.dtype)
        dropout = self.dropout_layer.factors_in_parts("float32") if training else None
        return self._joined_heads(chunked_attention(query, key, value, dropout=dropout, **options), batch, length)

    def _attend_in_window(
        self, query: Any, key: Any, value: Any, training: bool | None, window: int, mask: Any, use_causal_mask: bool
    ) -> Any:
        """Attention of `query [b, h, n, d]` over the keys and values `[b, g, n, d]` around each: `[b, n, h*d]`.

        A text that the window covers is attended to in full, which is then quicker and no less exact.
        """
        batch, _, length, _ = ops.shape(query)

        def in_full() -> Any:
            if self.attention_chunk is None:
                causal = causal_mask(length, length) if use_causal_mask else None
                return self._attend(query, key, value, combined_bias(mask, causal=causal), training)[0]
            options = {"chunk": self.attention_chunk, "use_causal_mask": use_causal_mask}
            return self._attend_in_chunks(query, key, value, training, mask_bias=combined_bias(mask), **options)

        def in_window() -> Any:
            scaled = query * ops.cast(1 / math.sqrt(self.key_dim), query.dtype)
            context = windowed_attention(
                scaled,
                key,
                value,
                window,
                mask,
                use_causal_mask,
                dropout=lambda weights: self.dropout_layer(weights, training=training),
            )
            return self._joined_heads(context, batch, length)

        if isinstance(length, int):
            return in_full() if length <= window + 1 else in_window()
        return ops.cond(length <= window + 1, in_full, in_window)

    def _joined_heads(self, context: Any, batch: Any, length: Any) -> Any:
        context = ops.transpose(context, (0, 2, 1, 3))
        return ops.reshape(context, (batch, length, self.num_heads * self.key_dim))

    def compute_output_spec(
        self,
        query: Any,
        value: Any = None,
        padding_mask: Any = None,
        attention_mask: Any = None,
        attention_bias: Any = None,
        use_causal_mask: bool = False,
        cache: Any = None,
        cache_update_index: Any = None,
        return_attention_scores: bool = False,
        **_: Any,
    ) -> Any:
        batch, length, width = query.shape
        output = keras.KerasTensor((batch, length, self.output_dim or width), dtype=self.compute_dtype)
        keys = value.shape[1] if value is not None else cache.keys.shape[2] if cache is not None else length
        if attention_mask is not None:
            check_mask_of_heads(attention_mask, self.name, (batch, self.num_heads, length, keys))
        results = [output]
        if return_attention_scores:
            results.append(keras.KerasTensor((batch, self.num_heads, length, keys), dtype=self.compute_dtype))
        if cache is not None:
            results.append(KeyValues(*(keras.KerasTensor(part.shape, dtype=part.dtype) for part in cache)))
        return results[0] if len(results) == 1 else tuple(results)

    def compute_mask(self, query: Any, previous_mask: Any = None) -> Any:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "num_key_value_heads": self.num_key_value_heads,
            "output_dim": self.output_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "attention_chunk": self.attention_chunk,
            "attention_window": self.attention_window,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
