"""The manifest: what is in an artifact folder, for programs."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_transformer
from keras_transformer.export.precisions import WEIGHTS
from keras_transformer.export.task import TaskExport
from keras_transformer.export.verify_folder import FORMAT, MANIFEST, VERSION, digest, manifest_digest

LIBRARIES = ("tensorflow", "tensorflow-text", "keras", "ai-edge-litert", "numpy")


def make_manifest(export: TaskExport, saved_model: Mapping[str, Any], precisions: Mapping[str, str]) -> dict[str, Any]:
    """Returns the manifest of an artifact folder, without the list of its files.

    Args:
        export: what was exported, and how.
        saved_model: signatures of the SavedModel, described.
        precisions: file name for each precision.
    """
    tokenizer = export.predictor.tokenizer
    return {
        "format": f"{FORMAT} {VERSION}",
        "task": export.task.name,
        "precisions": {name: {"file": file, "weights": WEIGHTS[name]} for name, file in precisions.items()},
        "signature": next(iter(export.signatures)),
        "signatures": {name: export.described(signature) for name, signature in export.signatures.items()},
        **export.settings,
        "saved_model": {"folder": "saved_model", "signatures": dict(saved_model)},
        "limits": export.limits,
        "vocabulary_size": tokenizer.vocabulary_size,
        "special_ids": {"pad": tokenizer.pad_id, "start": tokenizer.start_id, "end": tokenizer.end_id},
        "labels": export.labels,
        "weights": export.weights,
        "versions": {
            "keras-transformer": keras_transformer.__version__,
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }


def whole_manifest(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns a manifest with the list of the folder's files, and with its own SHA-256: nothing may change it after."""
    listed = json.loads(json.dumps({**manifest, "files": list_files(folder)}))  # as it is read again
    return {**listed, "sha256": manifest_digest(listed)}


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns size and SHA-256 of every file in an artifact folder but the manifest."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
