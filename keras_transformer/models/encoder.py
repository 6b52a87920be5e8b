"""The Transformer encoder, and models that are an encoder with a head on it.

Shapes: b batch, n length, h heads, w width, v vocabulary size.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from typing import Any

import keras
from keras import ops

from keras_transformer.layers.blocks import TransformerEncoderBlock
from keras_transformer.layers.convolution import LocalConvolution
from keras_transformer.layers.dropout import Dropout, EmbeddingDropout, WordDropout, shared_noise
from keras_transformer.layers.embedding import PositionEmbedding, SinePositionEncoding, TokenEmbedding
from keras_transformer.layers.normalization import normalization as make_normalization
from keras_transformer.models.presets import preset_config

PAD_ID = 0


class Encoding(keras.Model):
    """How a text is encoded, by layers that a subclass makes.

    Attributes of the subclass: `token_embedding`, `source_positions`, `source_dropout`, `encoder_blocks`,
    `encoder_norm` (or None), `center_embeddings`; `convolution`, if there is one before the blocks.
    """

    convolution: LocalConvolution | None = None

    def encode(self, source_ids: Any, training: bool | None = None, embedded: Any = None) -> tuple[Any, Any]:
        """Returns the encoder's output `[b, n, w]` and the padding mask `[b, n]` of `source_ids [b, n]`.

        Args:
            source_ids: int32; id 0 is padding.
            training: whether dropout is active.
            embedded: `[b, n, w]`, stands for the embeddings of the ids, without positions: for what changes them, or
                wants a gradient in them.
        """
        padding_mask = ops.not_equal(source_ids, PAD_ID)
        x = self._embedded(source_ids, self.source_positions, training=training, embedded=embedded)
        x = self.source_dropout(x, training=training)
        if self.convolution is not None:
            x = self.convolution(x, padding_mask=padding_mask, training=training)
        for block in self.encoder_blocks:
            x = block(x, padding_mask=padding_mask, training=training)
        return (x if self.encoder_norm is None else self.encoder_norm(x)), padding_mask

    def encoder_attention(self, source_ids: Any) -> Any:
        """Returns the self-attention weights of every block and head, float32 `[b, blocks, h, n, n]`."""
        padding_mask = ops.not_equal(source_ids, PAD_ID)
        x, maps = self._embedded(source_ids, self.source_positions), []
        if self.convolution is not None:
            x = self.convolution(x, padding_mask=padding_mask)
        for block in self.encoder_blocks:
            maps.append(self_attention_weights(block, x, padding_mask=padding_mask))
            x = block(x, padding_mask=padding_mask, training=False)
        return ops.cast(ops.stack(maps, axis=1), "float32")

    def _embedded(
        self,
        ids: Any,
        positions: keras.layers.Layer,
        training: bool | None = None,
        embedded: Any = None,
        **options: Any,
    ) -> Any:
        """Embeddings with their positions: `[b, n, w]` for `ids [b, n]`."""
        x = self.token_embedding(ids) if embedded is None else embedded
        x = x + positions(x, **options)
        return x - ops.mean(x, axis=-1, keepdims=True) if self.center_embeddings else x


class EncoderModel(Encoding):
    """An encoder with a head on it, from `{"ids": int32 [b, n]}` to what the head gives. Id 0 is padding.

    A subclass makes its head in `_make_head` and applies it in `head`; it sets what these need before it calls this
    constructor, and adds it to `get_config`.

    Args:
        vocabulary_size: v.
        num_encoder_layers: blocks.
        hidden_dim: w.
        intermediate_dim: width inside the feed-forward networks.
        num_heads, num_key_value_heads: attention heads; see `MultiHeadAttention`.
        dropout, attention_dropout, activation_dropout: rates; see `TransformerEncoderBlock`. `dropout` also applies to
            the sum of embeddings and positions, and before the head.
        activation, normalization, layer_norm_epsilon, normalize_first, use_bias: see `TransformerEncoderBlock`.
        attention_chunk, attention_window, rematerialize, stochastic_depth: see `Seq2SeqTransformer`.
        positions: "sine" or "learned".
        max_length: number of learned positions; not used with "sine".
        word_dropout: the probability that a piece of a text loses its embedding while training; see `WordDropout`.
        embedding_dropout: the probability that a piece of the vocabulary does so for a whole batch; see
            `EmbeddingDropout`.
        convolution: how many pieces are seen together before any attention, see `LocalConvolution`; 0 for none.

    Raises:
        ValueError: an argument that a layer refuses.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_encoder_layers: int = 6,
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
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        convolution: int = 0,
        **kwargs: Any,
    ):
        dtype = keras.dtype_policies.get(kwargs.pop("dtype", None) or keras.config.dtype_policy())
        block: dict[str, Any] = {
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
            "attention_window": attention_window,
            "rematerialize": rematerialize,
        }

        # === Layers ===
        self.token_embedding = TokenEmbedding(vocabulary_size, hidden_dim, dtype=dtype, name="token_embedding")
        self.source_positions = make_positions(positions, max_length, dtype=dtype, name="positions")
        self.noise_seed = keras.random.SeedGenerator(name="noise_seed")
        self.embedding_dropout_layer = EmbeddingDropout(
            embedding_dropout, vocabulary_size, dtype=dtype, name="embedding_dropout"
        )
        self.word_dropout_layer = WordDropout(word_dropout, dtype=dtype, name="word_dropout")
        self.source_dropout = Dropout(dropout, dtype=dtype, name="dropout")
        self.convolution = None
        if convolution:
            self.convolution = LocalConvolution(convolution, dropout, dtype=dtype, name="convolution")
        self.encoder_blocks = [
            TransformerEncoderBlock(**block, stochastic_depth=rate, dtype=dtype, name=f"encoder_{i}")
            for i, rate in enumerate(rising(stochastic_depth, num_encoder_layers))
        ]
        self.encoder_norm = None
        if normalize_first:
            self.encoder_norm = make_normalization(normalization, layer_norm_epsilon, dtype=dtype, name="encoder_norm")
        self.center_embeddings = False
        self._make_head(hidden_dim, dropout, dtype)

        # === Functional graph ===
        ids = keras.Input((None,), dtype="int32", name="ids")
        super().__init__(inputs={"ids": ids}, outputs=self.answer({"ids": ids}), **kwargs)

        # === Config ===
        self.encoder_config = {
            "vocabulary_size": vocabulary_size,
            "num_encoder_layers": num_encoder_layers,
            "hidden_dim": hidden_dim,
            "stochastic_depth": stochastic_depth,
            "positions": positions,
            "max_length": max_length,
            "word_dropout": word_dropout,
            "embedding_dropout": embedding_dropout,
            "convolution": convolution,
            **block,
        }
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.dtype_policy = dtype

    @classmethod
    def from_preset(cls, preset: str, vocabulary_size: int, **overrides: Any) -> Any:
        """Returns a new, untrained model with the numbers of a preset ("tiny", "small", "base", "big").

        Raises:
            UserError: no such preset; the message lists close matches.
        """
        numbers = {name: value for name, value in preset_config(preset).items() if name != "num_decoder_layers"}
        return cls(vocabulary_size=vocabulary_size, **{**numbers, **overrides})

    @property
    @abstractmethod
    def head_layers(self) -> list[keras.layers.Layer]:
        """The layers of the head, which a masked language model has no use for."""

    @abstractmethod
    def _make_head(self, hidden_dim: int, dropout: float, dtype: Any) -> None:
        """Makes the layers of the head."""

    @abstractmethod
    def head(self, encoded: Any, padding_mask: Any, training: bool | None = None) -> Any:
        """Returns what the model answers, of `encoded [b, n, w]` and `padding_mask [b, n]`."""

    def answer(self, inputs: dict[str, Any], training: bool | None = None, embedded: Any = None) -> Any:
        """Returns what the model answers to `ids`; see `encode` for the arguments."""
        with shared_noise(self.noise_seed) if training else nullcontext():
            return self.head(*self.encode(self.read_ids(inputs["ids"]), training, embedded), training=training)

    def embedded(self, ids: Any) -> Any:
        """Returns the embeddings `[b, n, w]` of `ids [b, n]` as `answer` takes them: the head's own ids included."""
        return self.token_embedding(self.read_ids(ids))

    def read_ids(self, ids: Any) -> Any:
        """Returns what is read for `ids [b, n]`: the same, where the head does not put ids of its own to them."""
        return ids

    def hidden_states(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Returns the encoder's output `[b, n, w]`: what a masked-language-model objective wants."""
        with shared_noise(self.noise_seed) if training else nullcontext():
            return self.encode(inputs["ids"], training)[0]

    def _embedded(
        self,
        ids: Any,
        positions: keras.layers.Layer,
        training: bool | None = None,
        embedded: Any = None,
        **options: Any,
    ) -> Any:
        x = self.token_embedding(ids) if embedded is None else embedded
        x = self.word_dropout_layer(self.embedding_dropout_layer(x, training=training, ids=ids), training=training)
        return super()._embedded(ids, positions, embedded=x, **options)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            **self.encoder_config,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**config)


def self_attention_weights(block: Any, x: Any, **options: Any) -> Any:
    """Returns the weights `[b, h, n, n]` of a block's self-attention over its input `x [b, n, w]`."""
    x = block.self_attention_norm(x) if block.normalize_first else x
    return block.self_attention(x, return_attention_scores=True, training=False, **options)[1]


def rising(rate: float, blocks: int) -> list[float]:
    """Returns rates of stochastic depth, in equal steps up to the last: https://arxiv.org/abs/1603.09382, 3.2."""
    return [rate * (i + 1) / blocks for i in range(blocks)]


def make_positions(kind: str, max_length: int, **kwargs: Any) -> keras.layers.Layer:
    """Returns the positions called `kind`.

    Raises:
        ValueError: there are none of that name.
    """
    if kind == "sine":
        return SinePositionEncoding(**kwargs)
    if kind == "learned":
        return PositionEmbedding(max_length, **kwargs)
    raise ValueError(f"positions must be 'sine' or 'learned'; received {kind!r}")
