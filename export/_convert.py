"""The process in which TFLite's converter runs: it leaks memory and writes whatever it likes to standard error.

python -m keras_transformer.export._convert SAVED_MODEL SIGNATURE,... FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from keras_transformer._start import start_quickly


def convert(saved_model: str, signatures: list[str]) -> bytes:
    """Returns the bytes of a float32 `.tflite` file of built-in operators only.

    Args:
        saved_model: folder.
        signatures: of the SavedModel, and all that the file will have.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return bytes(converter.convert())


def main(saved_model: str, signatures: str, path: str) -> None:
    Path(path).write_bytes(convert(saved_model, signatures.split(",")))


if __name__ == "__main__":
    start_quickly()
    main(*sys.argv[1:])
