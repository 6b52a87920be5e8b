"""keras-transformer: train a Transformer on your own text, ship it as one `.tflite` file."""

__version__ = "0.1.0"
