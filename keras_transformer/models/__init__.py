"""Models: layers assembled, and presets that fix their numbers."""

from keras_transformer._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {"DecoderMemory": "seq2seq", "PRESETS": "presets", "Seq2SeqTransformer": "seq2seq", "preset_config": "presets"},
)
