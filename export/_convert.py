"""The process in which TFLite's converter runs: it leaks memory and writes whatever it likes to standard error.

python -m keras_transformer.export._convert SAVED_MODEL SIGNATURE,... PRECISION=FILE ...
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf


def convert(saved_model: str, signatures: list[str], precision: str) -> bytes:
    """Returns the bytes of a `.tflite` file of built-in operators only.

    Args:
        saved_model: folder.
        signatures: of the SavedModel, and all that the file will have.
        precision: "float32", or "int8": weights in 8 bits, activations quantised as they come ("dynamic range").
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def main(saved_model: str, signatures: str, *outputs: str) -> None:
    for output in outputs:
        precision, _, path = output.partition("=")
        Path(path).write_bytes(convert(saved_model, signatures.split(","), precision))


if __name__ == "__main__":
    main(*sys.argv[1:])
