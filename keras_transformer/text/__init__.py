"""Text: the byte-piece tokenizer in three forms that give the same ids, and how its vocabulary is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.text.byte_pieces import BytePieceTokenizer as BytePieceTokenizer
    from keras_transformer.text.learn import DEFAULT_VOCABULARY_SIZE as DEFAULT_VOCABULARY_SIZE
    from keras_transformer.text.learn import learn_pieces as learn_pieces
    from keras_transformer.text.lite_pieces import LitePieces as LitePieces
    from keras_transformer.text.longest_matches import LongestMatches as LongestMatches
    from keras_transformer.text.tensorflow_pieces import TensorFlowPieces as TensorFlowPieces

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "BytePieceTokenizer": "byte_pieces",
        "DEFAULT_VOCABULARY_SIZE": "learn",
        "LitePieces": "lite_pieces",
        "LongestMatches": "longest_matches",
        "TensorFlowPieces": "tensorflow_pieces",
        "learn_pieces": "learn",
    },
)
