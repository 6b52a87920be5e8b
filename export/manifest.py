"""The manifest: what is in an artifact folder, for programs."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_transformer
from keras_transformer.export.artifact import MANIFEST, digest
from keras_transformer.export.flatbuffer import Signature, TensorSpec
from keras_transformer.export.limits import Limits
from keras_transformer.export.precisions import WEIGHTS
from keras_transformer.export.tasks import Task
from keras_transformer.generation import TextToText

FORMAT = "keras-transformer artifact 1"
LIBRARIES = ("tensorflow", "tensorflow-text", "keras", "ai-edge-litert", "numpy")
MEANINGS = {
    "inputs": {
        "text": "UTF-8 bytes of the source; bytes from text_length on have no effect",
        "text_length": "bytes of the source; more than there is room for: the source is cut, see status",
    },
    "outputs": {
        "text": "UTF-8 bytes of the answer, zeros after it",
        "text_length": "bytes of the answer",
        "score": "natural logarithm of the answer's probability",
        "status": "0, or the sum of 1 (source cut), 2 (answer without an end: it reached its limit of pieces), "
        "4 (answer cut for want of room), 8 (source of more pieces than the model was trained on)",
    },
}
SAVED_MODEL_SIGNATURE = {
    "inputs": {"text": {"dtype": "string", "shape": [None], "meaning": "sources"}},
    "outputs": {
        "text": {"dtype": "string", "shape": [None], "meaning": "answers"},
        "score": {"dtype": "float32", "shape": [None], "meaning": MEANINGS["outputs"]["score"]},
        "length": {"dtype": "int32", "shape": [None], "meaning": "pieces of the answer"},
    },
}


def lite_signature(limits: Limits) -> Signature:
    """Returns the signature that every `.tflite` file must have."""
    one = TensorSpec("int32", (1,))
    return Signature(
        {"text": TensorSpec("uint8", (1, limits.max_source_bytes)), "text_length": one},
        {
            "text": TensorSpec("uint8", (1, limits.max_target_bytes)),
            "text_length": one,
            "score": TensorSpec("float32", (1,)),
            "status": one,
        },
    )


def make_manifest(predictor: TextToText, task: Task, limits: Limits, precisions: Mapping[str, str]) -> dict[str, Any]:
    """Returns the manifest of an artifact folder, without the list of its files.

    Args:
        predictor, task, limits: what was exported.
        precisions: file name for each precision.
    """
    tokenizer = predictor.tokenizer
    signature = lite_signature(limits)
    return {
        "format": FORMAT,
        "task": task.name,
        "precisions": {name: {"file": file, "weights": WEIGHTS[name]} for name, file in precisions.items()},
        "signatures": {
            task.signature: {side: _described(side, getattr(signature, side)) for side in ("inputs", "outputs")}
        },
        "saved_model": {"folder": "saved_model", "signatures": {"serving_default": SAVED_MODEL_SIGNATURE}},
        "limits": {
            "max_source_bytes": limits.max_source_bytes,
            "max_target_bytes": limits.max_target_bytes,
            "max_source_pieces": limits.max_source_bytes,
            "max_target_pieces": predictor.max_target_length,
            "trained_source_pieces": predictor.max_source_length,
        },
        "vocabulary_size": tokenizer.vocabulary_size,
        "special_ids": {"pad": tokenizer.pad_id, "start": tokenizer.start_id, "end": tokenizer.end_id},
        "labels": None,
        "weights": predictor.model.count_params(),
        "versions": {
            "keras-transformer": keras_transformer.__version__,
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns size and SHA-256 of every file in an artifact folder but the manifest."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def _described(side: str, specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {
        name: {"dtype": spec.dtype, "shape": list(spec.shape), "meaning": MEANINGS[side][name]}
        for name, spec in specs.items()
    }
