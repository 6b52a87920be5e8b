"""Layers: what a Transformer is made of. Importing this lets Keras load a model that has them."""

from __future__ import annotations

from keras_transformer.layers.attention import MultiHeadAttention
from keras_transformer.layers.blocks import TransformerDecoderBlock, TransformerEncoderBlock
from keras_transformer.layers.convolution import LocalConvolution
from keras_transformer.layers.dropout import Dropout, StochasticDepth, WordDropout
from keras_transformer.layers.embedding import PositionEmbedding, SinePositionEncoding, TokenEmbedding
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.normalization import LayerNormalization, RootMeanSquareScaling
from keras_transformer.layers.pooling import Pooling

__all__ = [
    "Dropout",
    "FeedForward",
    "LayerNormalization",
    "LocalConvolution",
    "MultiHeadAttention",
    "Pooling",
    "PositionEmbedding",
    "RootMeanSquareScaling",
    "SinePositionEncoding",
    "StochasticDepth",
    "TokenEmbedding",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "WordDropout",
]
