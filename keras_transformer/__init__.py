"""keras-transformer: train a Transformer on your own text, ship it as one `.tflite` file."""

from keras_transformer._lazy import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"SearchOptions": "generation.options", "load": "predictors.loading"}
)
