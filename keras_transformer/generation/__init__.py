"""Generation: search, and strings in, strings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.generation.decoder import GreedyDecoder as GreedyDecoder
    from keras_transformer.generation.search import Hypotheses as Hypotheses
    from keras_transformer.generation.search import greedy_search as greedy_search
    from keras_transformer.generation.text_to_text import Generated as Generated
    from keras_transformer.generation.text_to_text import TextToText as TextToText
    from keras_transformer.generation.text_to_text import load as load

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Generated": "text_to_text",
        "GreedyDecoder": "decoder",
        "Hypotheses": "search",
        "TextToText": "text_to_text",
        "greedy_search": "search",
        "load": "text_to_text",
    },
)
