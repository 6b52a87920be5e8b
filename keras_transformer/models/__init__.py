"""Models: layers assembled, and presets that fix their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.models.classifier import TextClassifier as TextClassifier
    from keras_transformer.models.encoder import EncoderModel as EncoderModel
    from keras_transformer.models.presets import PRESETS as PRESETS
    from keras_transformer.models.presets import preset_config as preset_config
    from keras_transformer.models.seq2seq import DecoderMemory as DecoderMemory
    from keras_transformer.models.seq2seq import Seq2SeqTransformer as Seq2SeqTransformer
    from keras_transformer.models.tagger import TextTagger as TextTagger

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "TextTagger": "tagger",
        "DecoderMemory": "seq2seq",
        "EncoderModel": "encoder",
        "PRESETS": "presets",
        "Seq2SeqTransformer": "seq2seq",
        "TextClassifier": "classifier",
        "preset_config": "presets",
    },
)
