"""The precisions of an exported file. float32 is the reference: what it answers is what Keras answers."""

from __future__ import annotations

from typing import NamedTuple


class Precision(NamedTuple):
    """What there is to know of a precision.

    Attributes:
        file: its name in an artifact folder.
        weights: what weights and activations are, for manifest and README.
        weight_bytes: the least that a weight takes.
    """

    file: str
    weights: str
    weight_bytes: float


BY_NAME = {
    "float32": Precision("model.tflite", "float32", 4),
    "float16": Precision("model.float16.tflite", "float16, computed with in float32", 2),
    "int8": Precision("model.int8.tflite", "int8, activations quantised as they come (dynamic range)", 1),
    "int8_static": Precision(
        "model.int8_static.tflite", "int8, activations of products int8 too, of scales set on validation texts", 1
    ),
    "int4": Precision(
        "model.int4.tflite", "int4, a scale for every 32 weights, activations quantised as they come", 0.5
    ),
}
PRECISIONS = tuple(BY_NAME)
STATIC = "int8_static"  # wants to know how large activations get
TRAINED = {"int8": "int8", "int8_static": "int8", "int4": "int4"}  # what a training can round weights to for them
DEFAULT = ("float32", "int8")  # what is made unless others are asked for
FILES = {name: precision.file for name, precision in BY_NAME.items()}
WEIGHTS = {name: precision.weights for name, precision in BY_NAME.items()}
