"""Layers: what a Transformer is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.layers.attention import MultiHeadAttention as MultiHeadAttention
    from keras_transformer.layers.blocks import TransformerDecoderBlock as TransformerDecoderBlock
    from keras_transformer.layers.blocks import TransformerEncoderBlock as TransformerEncoderBlock
    from keras_transformer.layers.convolution import LocalConvolution as LocalConvolution
    from keras_transformer.layers.dropout import Dropout as Dropout
    from keras_transformer.layers.dropout import StochasticDepth as StochasticDepth
    from keras_transformer.layers.dropout import WordDropout as WordDropout
    from keras_transformer.layers.embedding import PositionEmbedding as PositionEmbedding
    from keras_transformer.layers.embedding import SinePositionEncoding as SinePositionEncoding
    from keras_transformer.layers.embedding import TokenEmbedding as TokenEmbedding
    from keras_transformer.layers.feed_forward import FeedForward as FeedForward
    from keras_transformer.layers.normalization import LayerNormalization as LayerNormalization
    from keras_transformer.layers.normalization import RootMeanSquareScaling as RootMeanSquareScaling
    from keras_transformer.layers.pooling import Pooling as Pooling

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Dropout": "dropout",
        "FeedForward": "feed_forward",
        "LayerNormalization": "normalization",
        "LocalConvolution": "convolution",
        "MultiHeadAttention": "attention",
        "Pooling": "pooling",
        "PositionEmbedding": "embedding",
        "RootMeanSquareScaling": "normalization",
        "SinePositionEncoding": "embedding",
        "StochasticDepth": "dropout",
        "TokenEmbedding": "embedding",
        "TransformerDecoderBlock": "blocks",
        "TransformerEncoderBlock": "blocks",
        "WordDropout": "dropout",
    },
)
