"""The encoder-decoder Transformer.

Shapes: b batch, s source length, t target length, w width, v vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_transformer.generation.interface import StepOutput
from keras_transformer.layers.attention import KeyValues
from keras_transformer.layers.blocks import TransformerDecoderBlock, TransformerEncoderBlock
from keras_transformer.layers.dropout import Dropout, shared_noise
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.masks import combined_bias, step_bias
from keras_transformer.layers.normalization import normalization as make_normalization
from keras_transformer.models.copying import CopyHead, CopyMemory, CopyStates, mixed
from keras_transformer.models.encoder import Encoding, make_positions, rising, self_attention_weights
from keras_transformer.models.presets import preset_config


class DecoderMemory(NamedTuple):
    """What the decoder reads of a source sentence, the same at every step and for every hypothesis.

    Attributes:
        key_values: for each decoder block the cross-attention cache, `KeyValues` of `[b, heads, s, width per head]`.
        bias: float32 `[b, 1, 1, s]`, what keeps attention off the padding.
        copy: what can be copied, of a model that copies.
    """

    key_values: tuple[KeyValues, ...]
    bias: Any
    copy: CopyMemory | None = None


@keras.saving.register_keras_serializable(package="keras_transformer")
class Seq2SeqTransformer(Encoding):
    """Encoder-decoder Transformer, after "Attention Is All You Need" (https://arxiv.org/abs/1706.03762).

    One embedding matrix serves source, target and output. Id 0 is padding, and stands only at the end of a sequence.
    The model is an ordinary functional `keras.Model` from `{"source_ids": [b, s], "target_ids": [b, t]}` (int32; the
    target begins with the start id) to logits `[b, t, v]` in the compute dtype.

    Args:
        vocabulary_size: v.
        num_encoder_layers, num_decoder_layers: blocks.
        hidden_dim: w.
        intermediate_dim: width inside the feed-forward networks.
        num_heads, num_key_value_heads: attention heads; see `MultiHeadAttention`.
        dropout, attention_dropout, activation_dropout: rates; see `TransformerEncoderBlock`. `dropout` also applies to
            the sum of embeddings and positions.
        activation, normalization, layer_norm_epsilon, normalize_first, use_bias: see `TransformerEncoderBlock`.
        attention_chunk: the most keys that attention takes at once, for memory linear in the length; see
            `MultiHeadAttention`. A step of decoding has all of them.
        attention_window: how many positions on either side the encoder's self-attention sees, for memory and time
            linear in the length of sources; None means all. See `MultiHeadAttention`.
        rematerialize: whether a training step computes each block again on the way back; see `rematerialized`.
        stochastic_depth: the probability that a row passes a sublayer of the last block by while training, of encoder
            and decoder each; block i of n, counted from 1, has i / n of it. See `StochasticDepth`.
        positions: "sine" or "learned".
        max_length: number of learned positions; not used with "sine".
        decoder_normalization: of the decoder's output, with `normalize_first`; default `normalization`.
        center_embeddings: whether the mean of each embedding with its position is taken off.
        copy: whether pieces of the source can be copied, see `CopyHead`: logits are then logarithms of probabilities.

    Raises:
        ValueError: an argument that a layer refuses; `positions` is neither.

    Example:
        ```python
        model = Seq2SeqTransformer.from_preset("tiny", vocabulary_size=8000, dropout=0.3)
        logits = model({"source_ids": source, "target_ids": target})
        ```
    """

    predictor = "keras_transformer.generation.text_to_text"  # whose `load` makes one of a run

    def __init__(
        self,
        vocabulary_size: int,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        hidden_dim: int = 512,
        intermediate_dim: int = 2048,
        num_heads: int = 8,
        num_key_value_heads: int | None = None,
        dropout: float = 0.1,
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
        positions: str = "sine",
        max_length: int = 1024,
        decoder_normalization: str | None = None,
        center_embeddings: bool = False,
        copy: bool = False,
        **kwargs: Any,
    ):
        dtype = keras.dtype_policies.get(kwargs.pop("dtype", None) or keras.config.dtype_policy())
        block = {
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "num_key_value_heads": num_key_value_heads,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation_dropout": activation_dropout,
            "activation": activation,
            "normalization": normalization,
            "layer_norm_epsilon": layer_norm_epsilon,
            "normalize_first": normalize_first,
            "use_bias": use_bias,
            "attention_chunk": attention_chunk,
            "rematerialize": rematerialize,
            "dtype": dtype,
        }

        # === Layers ===
        self.token_embedding = TokenEmbedding(vocabulary_size, hidden_dim, dtype=dtype, name="token_embedding")
        self.source_positions = make_positions(positions, max_length, dtype=dtype, name="source_positions")
        self.target_positions = make_positions(positions, max_length, dtype=dtype, name="target_positions")
        self.noise_seed = keras.random.SeedGenerator(name="noise_seed")
        self.source_dropout = Dropout(dropout, dtype=dtype, name="source_dropout")
        self.target_dropout = Dropout(dropout, dtype=dtype, name="target_dropout")
        self.encoder_blocks = [
            TransformerEncoderBlock(
                **block, attention_window=attention_window, stochastic_depth=rate, name=f"encoder_{i}"
            )
            for i, rate in enumerate(rising(stochastic_depth, num_encoder_layers))
        ]
        self.decoder_blocks = [
            TransformerDecoderBlock(**block, stochastic_depth=rate, name=f"decoder_{i}")
            for i, rate in enumerate(rising(stochastic_depth, num_decoder_layers))
        ]
        self.encoder_norm = self.decoder_norm = None
        if normalize_first:
            last = decoder_normalization or normalization
            self.encoder_norm = make_normalization(normalization, layer_norm_epsilon, dtype=dtype, name="encoder_norm")
            self.decoder_norm = make_normalization(last, layer_norm_epsilon, dtype=dtype, name="decoder_norm")
        self.center_embeddings = center_embeddings
        self.copy_head: Any = CopyHead(use_bias, dtype=dtype, name="copy") if copy else None

        # === Functional graph ===
        source_ids = keras.Input((None,), dtype="int32", name="source_ids")
        target_ids = keras.Input((None,), dtype="int32", name="target_ids")
        inputs = {"source_ids": source_ids, "target_ids": target_ids}
        hidden, encoded, _ = self._decoded(inputs, training=None)
        outputs = self.token_embedding(hidden, reverse=True)
        if self.copy_head is not None:
            outputs = self.copy_head(hidden, encoded, source_ids, outputs)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_encoder_layers = num_encoder_layers
        self.num_decoder_layers = num_decoder_layers
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.num_heads = num_heads
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
        self.positions = positions
        self.max_length = max_length
        self.decoder_normalization = decoder_normalization
        self.copy = copy
        self.dtype_policy = dtype

    @classmethod
    def from_preset(cls, preset: str, vocabulary_size: int, **overrides: Any) -> Seq2SeqTransformer:
        """Returns a new, untrained model with the numbers of a preset ("tiny", "small", "base", "big").

        Raises:
            UserError: no such preset; the message lists close matches.
        """
        return cls(vocabulary_size=vocabulary_size, **{**preset_config(preset), **overrides})

    def hidden_states(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Returns the decoder's output `[b, t, w]`, which the embedding matrix turns into logits."""
        with shared_noise(self.noise_seed) if training else nullcontext():
            return self._decoded(inputs, training)[0]

    def copy_states(self, inputs: dict[str, Any], training: bool | None = None) -> CopyStates:
        """Returns what the decoder of a model that copies says, before it is made into probabilities."""
        with shared_noise(self.noise_seed) if training else nullcontext():
            hidden, encoded, padding_mask = self._decoded(inputs, training)
            bias = combined_bias(padding_mask)[:, 0]
            return CopyStates(hidden, *self.copy_head.look(hidden, self.copy_head.key(encoded), bias))

    def _decoded(self, inputs: dict[str, Any], training: bool | None) -> tuple[Any, Any, Any]:
        """The decoder's output `[b, t, w]`, and the encoder's with its padding mask."""
        encoded, padding_mask = self.encode(inputs["source_ids"], training=training)
        x = self._embedded(inputs["target_ids"], self.target_positions)
        x = self.target_dropout(x, training=training)
        for block in self.decoder_blocks:
            x = block(x, encoded, encoder_padding_mask=padding_mask, training=training)
        return (x if self.decoder_norm is None else self.decoder_norm(x)), encoded, padding_mask

    def memory(self, source_ids: Any) -> DecoderMemory:
        """Encodes `source_ids [b, s]` and projects the keys and values of every decoder block, once for a sentence."""
        encoded, padding_mask = self.encode(source_ids, training=False)
        key_values = tuple(block.project_encoder(encoded) for block in self.decoder_blocks)
        copy = None if self.copy_head is None else CopyMemory(self.copy_head.key(encoded), source_ids)
        return DecoderMemory(key_values, combined_bias(padding_mask), copy)

    def empty_cache(self, rows: Any, max_length: int) -> tuple[KeyValues, ...]:
        """Returns an empty self-attention cache for every decoder block."""
        return tuple(block.empty_cache(rows, max_length) for block in self.decoder_blocks)

    def step(
        self,
        ids: Any,
        index: Any,
        cache: tuple[KeyValues, ...],
        memory: DecoderMemory,
        return_attention: bool = False,
    ) -> StepOutput:
        """One step of decoding, for `keras_transformer.generation.search`.

        Args:
            ids: int32 `[r * b]`, each b-th part of them the hypotheses of one sentence.
            index: int32 scalar, the position of the ids.
            cache: of `r * b` rows, from `empty_cache` or the step before.
            memory: of b sentences.
            return_attention: whether to return where the last block looked in the source, the mean of its heads.

        Returns: float32 logits `[r * b, v]` of what follows, the cache, and the attention `[r * b, s]` or None.
        """
        length = ops.shape(cache[0].keys)[2]
        x = self._embedded(ops.expand_dims(ids, 1), self.target_positions, start_index=index, max_length=length)
        bias = step_bias(length, index)  # once for all blocks
        attention, updated = None, []
        for block, block_cache, key_values in zip(self.decoder_blocks, cache, memory.key_values, strict=True):
            x, *attention, block_cache = block(
                x,
                self_attention_bias=bias,
                cross_attention_bias=memory.bias,
                self_attention_cache=block_cache,
                self_attention_cache_update_index=index,
                cross_attention_cache=key_values,
                use_causal_mask=False,
                return_attention_scores=return_attention,
                training=False,
            )
            updated.append(block_cache)
        x = x if self.decoder_norm is None else self.decoder_norm(x)
        logits = ops.cast(self.token_embedding(ops.squeeze(x, axis=1), reverse=True), "float32")
        if memory.copy is not None:
            logits = self._with_copies(logits, x, memory.copy, memory.bias)
        seen = ops.mean(ops.cast(attention[0][:, :, 0], "float32"), axis=1) if attention else None
        return StepOutput(logits, tuple(updated), seen)

    def _with_copies(self, logits: Any, hidden: Any, memory: CopyMemory, bias: Any) -> Any:
        """The logits `[r * b, v]` of a step with what is copied; rows that share a source are steps of one target."""
        shape, batch = ops.shape(logits), ops.shape(memory.ids)[0]
        hidden = ops.reshape(hidden, (batch, -1, self.hidden_dim))
        gate, attention = self.copy_head.look(hidden, memory.keys, bias[:, 0])
        logits = ops.reshape(logits, (batch, -1, self.vocabulary_size))
        return ops.reshape(mixed(logits, gate, attention, memory.ids), shape)

    def alignment(self, source_ids: Any, target_ids: Any, heads: Sequence[tuple[int, int]] | None = None) -> Any:
        """Returns where the decoder looks in the source for each target position: `[b, t, s]`, rows that sum to 1.

        Args:
            source_ids: `[b, s]`.
            target_ids: `[b, t]`, beginning with the start id.
            heads: (block, head) of the cross-attention heads that are averaged; none means all of the last block.

        Raises:
            ValueError: there is no such head.
        """
        last = self.num_decoder_layers - 1
        heads = [(last, head) for head in range(self.num_heads)] if heads is None else heads
        for block, head in heads:
            if not (0 <= block <= last and 0 <= head < self.num_heads):
                raise ValueError(
                    f"no cross-attention head {head} in block {block}; there are {last + 1} blocks of {self.num_heads}"
                )
        encoded, padding_mask = self.encode(source_ids, training=False)
        x, scores = self._embedded(target_ids, self.target_positions), []
        for block in self.decoder_blocks:
            x, weights = block(
                x, encoded, encoder_padding_mask=padding_mask, return_attention_scores=True, training=False
            )
            scores.append(weights)
        return ops.mean(ops.stack([ops.cast(scores[i][:, j], "float32") for i, j in heads]), axis=0)

    def attention_maps(self, source_ids: Any, target_ids: Any) -> dict[str, Any]:
        """Returns the attention weights of every block and head, float32 rows that sum to 1: for people to look at.

        Args:
            source_ids: `[b, s]`.
            target_ids: `[b, t]`, beginning with the start id.

        Returns: `encoder` `[b, blocks, h, s, s]`, `decoder` `[b, blocks, h, t, t]` (both self-attention), and `cross`
            `[b, blocks, h, t, s]`, from the decoder into the source.

        Example:
            ```python
            model.attention_maps(source_ids, target_ids)["cross"][0, -1]  # [h, t, s]: the last block, first sentence
            ```
        """
        encoded, padding_mask = self.encode(source_ids, training=False)
        x, own, cross = self._embedded(target_ids, self.target_positions), [], []
        for block in self.decoder_blocks:
            own.append(self_attention_weights(block, x, use_causal_mask=True))
            x, weights = block(
                x, encoded, encoder_padding_mask=padding_mask, return_attention_scores=True, training=False
            )
            cross.append(weights)
        maps = {
            name: ops.cast(ops.stack(blocks, axis=1), "float32")
            for name, blocks in (("decoder", own), ("cross", cross))
        }
        return {"encoder": self.encoder_attention(source_ids), **maps}

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "vocabulary_size": self.vocabulary_size,
            "num_encoder_layers": self.num_encoder_layers,
            "num_decoder_layers": self.num_decoder_layers,
            "hidden_dim": self.hidden_dim,
            "intermediate_dim": self.intermediate_dim,
            "num_heads": self.num_heads,
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
            "positions": self.positions,
            "max_length": self.max_length,
            "decoder_normalization": self.decoder_normalization,
            "center_embeddings": self.center_embeddings,
            "copy": self.copy,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Seq2SeqTransformer:
        return cls(**config)
