"""Generation: search, and strings in, strings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.generation.alignment import Alignment as Alignment
    from keras_transformer.generation.alignment import chosen_heads as chosen_heads
    from keras_transformer.generation.constraints import Constraints as Constraints
    from keras_transformer.generation.decoder import Decoder as Decoder
    from keras_transformer.generation.interface import Hypotheses as Hypotheses
    from keras_transformer.generation.interface import SpecialIds as SpecialIds
    from keras_transformer.generation.interface import StepOutput as StepOutput
    from keras_transformer.generation.options import SearchOptions as SearchOptions
    from keras_transformer.generation.search import generate_ids as generate_ids
    from keras_transformer.generation.text_to_text import Generated as Generated
    from keras_transformer.generation.text_to_text import TextToText as TextToText
    from keras_transformer.generation.text_to_text import load as load

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Alignment": "alignment",
        "Constraints": "constraints",
        "Decoder": "decoder",
        "Generated": "text_to_text",
        "Hypotheses": "interface",
        "SearchOptions": "options",
        "SpecialIds": "interface",
        "StepOutput": "interface",
        "TextToText": "text_to_text",
        "chosen_heads": "alignment",
        "load": "text_to_text",
        "generate_ids": "search",
    },
)
