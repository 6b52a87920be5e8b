"""Transformer blocks: attention and feed-forward sublayers with residual connections and normalisation.

Shapes: b batch, n sequence length, s encoder sequence length, l cache length, g key-value heads, d width per head,
w width of the model.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from keras_transformer.layers.attention import KeyValues, MultiHeadAttention
from keras_transformer.layers.dropout import Dropout, StochasticDepth
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.normalization import normalization
from keras_transformer.layers.rematerialization import rematerialized


class TransformerBlock(keras.layers.Layer):
    """What encoder and decoder blocks share: their arguments, their sublayers, and how a sublayer is joined on.

    Post-norm, as in "Attention Is All You Need": `norm(x + dropout(sublayer(x)))`. Pre-norm (`normalize_first=True`,
    https://arxiv.org/abs/2002.04745): `x + dropout(sublayer(norm(x)))`, which trains without a long warm-up; the last
    block's output then wants a final normalisation.

    Args:
        num_heads: number of attention heads.
        intermediate_dim: width inside the feed-forward network.
        key_dim: width of each head; default the width of the input divided by `num_heads`.
        num_key_value_heads: for grouped-query attention; default `num_heads`.
        dropout: rate of dropout on each sublayer's output.
        attention_dropout: rate of dropout on the attention weights.
        activation_dropout: rate of dropout inside the feed-forward network.
        activation: "relu", "gelu" or "swiglu".
        normalization: "layer_norm" or "rms_norm".
        layer_norm_epsilon: epsilon of the normalisation.
        normalize_first: pre-norm if True, post-norm if False.
        use_bias: whether the projections have biases.
        attention_chunk: the most keys that are attended to at once, see `MultiHeadAttention`; None means all.
        attention_window: how many positions on either side self-attention sees, see `MultiHeadAttention`; None means
            all.
        rematerialize: whether what the block computes is computed again on the way back while training, rather than
            kept; see `rematerialized`.
        stochastic_depth: the probability that a row of the batch passes a sublayer by while training; see
            `StochasticDepth`.

    Raises:
        ValueError: `key_dim` is not given and the input's width is no multiple of `num_heads`; an argument that a
            sublayer refuses.
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        key_dim: int | None = None,
        num_key_value_heads: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        activation: str = "relu",
        normalization: str = "layer_norm",
        layer_norm_epsilon: float = 1e-5,
        normalize_first: bool = False,
        use_bias: bool = True,
        attention_chunk: int | None = None,
        attention_window: int | None = None,
        rematerialize: bool = False,
        stochastic_depth: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.key_dim = key_dim
        self.num_key_value_heads = num_key_value_heads
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation_dropout = activation_dropout
        self.activation = activation
        self.normalization = normalization
        self.layer_norm_epsilon = layer_norm_epsilon
        self.normalize_first = normalize_first
        self.use_bias = use_bias
        self.attention_chunk = attention_chunk
        self.attention_window = attention_window
        self.rematerialize = rematerialize
        self.stochastic_depth = stochastic_depth
        self.supports_masking = True
        self.row_dropout = StochasticDepth(stochastic_depth, dtype=self.dtype_policy, name="row_dropout")
        draws = dropout or attention_dropout or activation_dropout or stochastic_depth
        self.seed_generator = keras.random.SeedGenerator() if rematerialize and draws else None

    def _attention(self, name: str, query_shape: tuple, value_shape: tuple | None = None) -> MultiHeadAttention:
        width = query_shape[-1]
        if self.key_dim is None and width % self.num_heads:
            raise ValueError(
                f"the input's width must be a multiple of num_heads unless key_dim is given; "
                f"received width {width}, num_heads={self.num_heads}"
            )
        attention = MultiHeadAttention(
            num_heads=self.num_heads,
            key_dim=self.key_dim or width // self.num_heads,
            num_key_value_heads=self.num_key_value_heads,
            dropout=self.attention_dropout,
            use_bias=self.use_bias,
            attention_chunk=self.attention_chunk,
            attention_window=self.attention_window if value_shape is None else None,
            dtype=self.dtype_policy,
            name=name,
        )
        attention.build(query_shape, value_shape)
        return attention

    def _feed_forward(self, input_shape: tuple) -> FeedForward:
        feed_forward = FeedForward(
            intermediate_dim=self.intermediate_dim,
            activation=self.activation,
            dropout=self.activation_dropout,
            use_bias=self.use_bias,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        feed_forward.build(input_shape)
        return feed_forward

    def _norm(self, name: str, input_shape: tuple) -> keras.layers.Layer:
        norm = normalization(self.normalization, self.layer_norm_epsilon, dtype=self.dtype_policy, name=name)
        norm.build(input_shape)
        return norm

    def _dropout(self, name: str) -> keras.layers.Layer:
        return Dropout(self.dropout, dtype=self.dtype_policy, name=name)

    def _joined(self, residual: Any, x: Any, dropout: keras.layers.Layer, training: bool | None) -> Any:
        """The residual stream with what a sublayer adds to it."""
        return residual + self.row_dropout(dropout(x, training=training), training=training)

    def _fed_forward(self, inputs: Any, training: bool | None) -> Any:
        """The feed-forward sublayer: `[b, n, w]`."""
        x = self.feed_forward_norm(inputs) if self.normalize_first else inputs
        x = self._joined(inputs, self.feed_forward(x, training=training), self.feed_forward_dropout, training)
        return x if self.normalize_first else self.feed_forward_norm(x)

    def compute_output_shape(self, input_shape: tuple, *_: Any) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "key_dim": self.key_dim,
            "num_key_value_heads": self.num_key_value_heads,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "activation_dropout": self.activation_dropout,
            "activation": self.activation,
            "normalization": self.normalization,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "normalize_first": self.normalize_first,
            "use_bias": self.use_bias,
            "attention_chunk": self.attention_chunk,
            "attention_window": self.attention_window,
            "rematerialize": self.rematerialize,
            "stochastic_depth": self.stochastic_depth,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerEncoderBlock(TransformerBlock):
    """One block of a Transformer encoder: self-attention, then feed-forward. Arguments: see `TransformerBlock`.

    Call arguments:
        inputs: `[b, n, w]`.
        padding_mask: `[b, n]`, 1 or True where a position may be attended to; a Keras mask is used too.
        attention_mask: `[n, n]`, `[b, n, n]` or `[b, h, n, n]`.
        training: whether dropout is active.

    Returns: `[b, n, w]`.

    Example:
        ```python
        block = TransformerEncoderBlock(num_heads=4, intermediate_dim=256, dropout=0.1)
        block(keras.ops.ones((2, 7, 128))).shape  # (2, 7, 128)
        ```
    """

    def build(self, input_shape: tuple) -> None:
        self.self_attention = self._attention("self_attention", input_shape)
        self.self_attention_norm = self._norm("self_attention_norm", input_shape)
        self.self_attention_dropout = self._dropout("self_attention_dropout")
        self.feed_forward = self._feed_forward(input_shape)
        self.feed_forward_norm = self._norm("feed_forward_norm", input_shape)
        self.feed_forward_dropout = self._dropout("feed_forward_dropout")
        self.built = True

    def call(
        self,
        inputs: Any,
        padding_mask: Any = None,
        attention_mask: Any = None,
        training: bool | None = None,
        mask: Any = None,
        inputs_mask: Any = None,
    ) -> Any:
        masks = {
            "padding_mask": padding_mask,
            "attention_mask": attention_mask,
            "query_mask": mask if inputs_mask is None else inputs_mask,  # `mask` where a tensor stands alone
        }
        if self.rematerialize and training:
            again = functools.partial(self._sublayers, training=training, **masks)
            return rematerialized(again, self.seed_generator, inputs=inputs)
        return self._sublayers(inputs, training=training, **masks)

    def _sublayers(self, inputs: Any, training: bool | None, **masks: Any) -> Any:
        x = self.self_attention_norm(inputs) if self.normalize_first else inputs
        x = self.self_attention(x, training=training, **masks)
        x = self._joined(inputs, x, self.self_attention_dropout, training)
        if not self.normalize_first:
            x = self.self_attention_norm(x)
        return self._fed_forward(x, training)


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerDecoderBlock(TransformerBlock):
    """One block of a decoder: causal self-attention, cross-attention, feed-forward. Arguments: see `TransformerBlock`.

    Built without an encoder sequence it has no cross-attention and is a block of a decoder-only model.

    Call arguments:
        decoder_sequence: `[b, n, w]`.
        encoder_sequence: `[b, s, w]`, or None when `cross_attention_cache` is given or there is no cross-attention.
        decoder_padding_mask: `[b, n]`, or `[b, l]` with a cache; a Keras mask is used too (without a cache).
        encoder_padding_mask: `[b, s]`.
        self_attention_bias, cross_attention_bias: float32, broadcastable to `[b, h, n, n or l]` and `[b, h, n, s]`;
            see `attention_bias` of `MultiHeadAttention`.
        self_attention_cache: `KeyValues` of `[b, g, l, d]`, see `MultiHeadAttention`.
        self_attention_cache_update_index: int32 scalar, the position of the first element of `decoder_sequence`.
        cross_attention_cache: `KeyValues` of `[b, g, s, d]` from `project_encoder(encoder_sequence)`. It may be of
            fewer rows than `decoder_sequence`, b of r x b: then r rows in a row share one, none of it copied.
        use_causal_mask: whether a position sees only itself and those before it.
        return_attention_scores: whether to return the weights of the cross-attention as well.
        training: whether dropout is active.

    Returns:
        `[b, n, w]`; with `return_attention_scores` also `[b, h, n, s]`; with `self_attention_cache` also the updated
        cache; in this order.

    Raises:
        ValueError: the block has cross-attention and is given neither `encoder_sequence` nor `cross_attention_cache`;
            it has none and is given `encoder_sequence`.

    Example:
        ```python
        block = TransformerDecoderBlock(num_heads=4, intermediate_dim=256)
        block(keras.ops.ones((2, 5, 128)), keras.ops.ones((2, 7, 128))).shape  # (2, 5, 128)
        ```
    """

    def build(self, decoder_sequence_shape: tuple, encoder_sequence_shape: tuple | None = None) -> None:
        shape = decoder_sequence_shape
        self.self_attention = self._attention("self_attention", shape)
        self.self_attention_norm = self._norm("self_attention_norm", shape)
        self.self_attention_dropout = self._dropout("self_attention_dropout")
        self.cross_attention: MultiHeadAttention | None = None
        if encoder_sequence_shape is not None:
            self.cross_attention = self._attention("cross_attention", shape, encoder_sequence_shape)
            self.cross_attention_norm = self._norm("cross_attention_norm", shape)
            self.cross_attention_dropout = self._dropout("cross_attention_dropout")
        self.feed_forward = self._feed_forward(shape)
        self.feed_forward_norm = self._norm("feed_forward_norm", shape)
        self.feed_forward_dropout = self._dropout("feed_forward_dropout")
        self.built = True

    def call(
        self,
        decoder_sequence: Any,
        encoder_sequence: Any = None,
        decoder_padding_mask: Any = None,
        encoder_padding_mask: Any = None,
        self_attention_bias: Any = None,
        cross_attention_bias: Any = None,
        self_attention_cache: Any = None,
        self_attention_cache_update_index: Any = None,
        cross_attention_cache: Any = None,
        use_causal_mask: bool = True,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Any = None,
        decoder_sequence_mask: Any = None,
        encoder_sequence_mask: Any = None,
    ) -> Any:
        if self.cross_attention is None and encoder_sequence is not None:
            raise ValueError(
                f"{self.name} was built without an encoder sequence and has no cross-attention; received one"
            )
        tensors = {
            "decoder_sequence": decoder_sequence,
            "encoder_sequence": encoder_sequence,
            "self_attention_bias": self_attention_bias,
            "cross_attention_bias": cross_attention_bias,
        }
        sublayers = functools.partial(
            self._sublayers,
            decoder_padding_mask=decoder_padding_mask,
            encoder_padding_mask=encoder_padding_mask,
            self_attention_cache=self_attention_cache,
            self_attention_cache_update_index=self_attention_cache_update_index,
            cross_attention_cache=cross_attention_cache,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
            decoder_sequence_mask=mask if decoder_sequence_mask is None else decoder_sequence_mask,
            encoder_sequence_mask=encoder_sequence_mask,
        )
        cached = self_attention_cache is not None or cross_attention_cache is not None
        if self.rematerialize and training and not cached:
            return rematerialized(sublayers, self.seed_generator, **tensors)
        return sublayers(**tensors)

    def _sublayers(
        self,
        decoder_sequence: Any,
        encoder_sequence: Any = None,
        self_attention_bias: Any = None,
        cross_attention_bias: Any = None,
        *,
        decoder_padding_mask: Any,
        encoder_padding_mask: Any,
        self_attention_cache: Any,
        self_attention_cache_update_index: Any,
        cross_attention_cache: Any,
        use_causal_mask: bool,
        return_attention_scores: bool,
        training: bool | None,
        decoder_sequence_mask: Any,
        encoder_sequence_mask: Any,
    ) -> Any:
        x = self.self_attention_norm(decoder_sequence) if self.normalize_first else decoder_sequence
        x = self.self_attention(
            x,
            padding_mask=decoder_padding_mask,
            query_mask=decoder_sequence_mask,
            attention_bias=self_attention_bias,
            use_causal_mask=use_causal_mask,
            cache=self_attention_cache,
            cache_update_index=self_attention_cache_update_index,
            training=training,
        )
        if self_attention_cache is not None:
            x, self_attention_cache = x
        x = self._joined(decoder_sequence, x, self.self_attention_dropout, training)
        if not self.normalize_first:
            x = self.self_attention_norm(x)

        scores = None
        if self.cross_attention is not None:
            x, scores = self._attend_to_encoder(
                x,
                encoder_sequence,
                cross_attention_cache,
                return_attention_scores,
                padding_mask=encoder_padding_mask,
                attention_bias=cross_attention_bias,
                value_mask=encoder_sequence_mask,
                training=training,
            )

        results = [self._fed_forward(x, training)]
        if return_attention_scores:
            results.append(scores)
        if self_attention_cache is not None:
            results.append(self_attention_cache)
        return results[0] if len(results) == 1 else tuple(results)

    def _attend_to_encoder(
        self, inputs: Any, sequence: Any, cache: Any, return_attention_scores: bool, **options: Any
    ) -> tuple[Any, Any]:
        """The cross-attention sublayer: `[b, n, w]`, and its scores if asked for."""
        if sequence is None and cache is None:
            raise ValueError(f"{self.name} needs `encoder_sequence` or `cross_attention_cache`; received neither")
        attention = self._cross_attention()
        x = self.cross_attention_norm(inputs) if self.normalize_first else inputs
        if cache is None:
            found = attention(x, sequence, return_attention_scores=return_attention_scores, **options)
            x, scores = found if return_attention_scores else (found, None)
        else:
            shape, width = ops.shape(x), x.shape[-1]
            # rows that share a memory are positions of one query: its keys and values are neither copied nor repeated
            x = ops.reshape(x, (ops.shape(cache[0])[0], -1, width))
            x, scores, _ = attention(x, cache=cache, return_attention_scores=True, **options)
            x = ops.reshape(x, shape)
            if return_attention_scores:  # [b, h, r * n, s] -> [r * b, h, n, s]
                scores = self._scores_of_rows(scores, shape[0], shape[1])
        x = self._joined(inputs, x, self.cross_attention_dropout, options.get("training"))
        return (x if self.normalize_first else self.cross_attention_norm(x)), scores

    def _scores_of_rows(self, scores: Any, rows: Any, length: Any) -> Any:
        batch, heads, _, keys = ops.shape(scores)
        scores = ops.reshape(scores, (batch, heads, -1, length, keys))
        return ops.reshape(ops.transpose(scores, (0, 2, 1, 3, 4)), (rows, heads, length, keys))

    def project_encoder(self, encoder_sequence: Any) -> KeyValues:
        """Returns the cross-attention cache, tensors of `[b, g, s, d]`, of `encoder_sequence [b, s, w]`."""
        return self._cross_attention().project_key_value(encoder_sequence)

    def _cross_attention(self) -> MultiHeadAttention:
        if self.cross_attention is None:
            raise ValueError(f"{self.name} was built without an encoder sequence and has no cross-attention")
        return self.cross_attention

    def empty_cache(self, batch_size: Any, max_length: int) -> KeyValues:
        """Returns an empty self-attention cache, tensors of `[batch_size, g, max_length, d]`."""
        return self.self_attention.empty_cache(batch_size, max_length)

    def compute_output_spec(self, decoder_sequence: Any, encoder_sequence: Any = None, *_: Any, **kwargs: Any) -> Any:
        results = [keras.KerasTensor(decoder_sequence.shape, dtype=self.compute_dtype)]
        memory, cache = kwargs.get("cross_attention_cache"), kwargs.get("self_attention_cache")
        if kwargs.get("return_attention_scores"):
            keys = memory.keys.shape[2] if memory is not None else encoder_sequence.shape[1]
            shape = (decoder_sequence.shape[0], self.num_heads, decoder_sequence.shape[1], keys)
            results.append(keras.KerasTensor(shape, dtype=self.compute_dtype))
        if cache is not None:
            results.append(KeyValues(*(keras.KerasTensor(part.shape, dtype=part.dtype) for part in cache)))
        return results[0] if len(results) == 1 else tuple(results)

    def compute_mask(self, decoder_sequence: Any, previous_mask: Any = None) -> Any:
        return previous_mask
