"""Generation: search, and strings in, strings out."""

from keras_transformer._lazy import lazy_exports

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
