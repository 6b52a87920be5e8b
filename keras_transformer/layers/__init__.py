"""Layers: what a Transformer is made of."""

from keras_transformer._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "FeedForward": "feed_forward",
        "MultiHeadAttention": "attention",
        "PositionEmbedding": "embedding",
        "SinePositionEncoding": "embedding",
        "TokenEmbedding": "embedding",
        "TransformerDecoderBlock": "blocks",
        "TransformerEncoderBlock": "blocks",
    },
)
