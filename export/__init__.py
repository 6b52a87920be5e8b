"""Export: a run directory in, an artifact folder out. Import it as `keras_transformer.export`."""

if __name__ != "keras_transformer.export":
    raise ImportError(f"import keras_transformer.export, not {__name__}: this folder is part of keras-transformer")
