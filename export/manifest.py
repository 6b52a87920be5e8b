"""The manifest: what is in an artifact folder, for programs."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras_transformer
from keras_transformer.export.artifact import MANIFEST, digest
from keras_transformer.export.flatbuffer import Signature
from keras_transformer.export.limits import Limits
from keras_transformer.export.precisions import WEIGHTS
from keras_transformer.export.signatures import described
from keras_transformer.export.tasks import Task
from keras_transformer.generation import SearchOptions, TextToText

FORMAT = "keras-transformer artifact 1"
LIBRARIES = ("tensorflow", "tensorflow-text", "keras", "ai-edge-litert", "numpy")


def make_manifest(
    predictor: TextToText,
    task: Task,
    limits: Limits,
    search: SearchOptions,
    signatures: Mapping[str, Signature],
    saved_model: Mapping[str, Any],
    precisions: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the manifest of an artifact folder, without the list of its files.

    Args:
        predictor, task, limits, search: what was exported, and how its files search.
        signatures: of the `.tflite` files; the first is the one from text to text.
        saved_model: signatures of the SavedModel, described.
        precisions: file name for each precision.
    """
    tokenizer = predictor.tokenizer
    return {
        "format": FORMAT,
        "task": task.name,
        "precisions": {name: {"file": file, "weights": WEIGHTS[name]} for name, file in precisions.items()},
        "signature": next(iter(signatures)),
        "signatures": {name: described(signature) for name, signature in signatures.items()},
        "search": asdict(search),
        "align_heads": limits.align_heads and [list(pair) for pair in limits.align_heads],
        "saved_model": {"folder": "saved_model", "signatures": dict(saved_model)},
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
