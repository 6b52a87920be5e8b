"""Predictors: trained models with their tokenizers, strings in and answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.predictors.interface import Predictor as Predictor
    from keras_transformer.predictors.labels import Classified as Classified
    from keras_transformer.predictors.labels import TextToLabels as TextToLabels
    from keras_transformer.predictors.loading import load as load
    from keras_transformer.predictors.tags import Tagged as Tagged
    from keras_transformer.predictors.tags import TextToTags as TextToTags

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Tagged": "tags",
        "TextToTags": "tags",
        "Classified": "labels",
        "Predictor": "interface",
        "TextToLabels": "labels",
        "load": "loading",
    },
)
