"""Recipes: one folder per task. Import them as `keras_transformer.recipes`."""

if __name__ != "keras_transformer.recipes":
    raise ImportError(f"import keras_transformer.recipes, not {__name__}: this folder is part of keras-transformer")
