"""The precisions of an exported file. float32 is the reference: what it answers is what Keras answers."""

FILES = {"float32": "model.tflite", "int8": "model.int8.tflite"}
WEIGHTS = {"float32": "float32", "int8": "int8, activations quantised as they come (dynamic range)"}
PRECISIONS = tuple(FILES)
