"""Checkpoints: everything that training continues from, in one file without code."""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer._files import replacing
from keras_transformer.errors import UserError

KEEP = 2
# What NumPy and zipfile raise, depending on the byte that is wrong; RuntimeError is "encrypted" or "not implemented".
UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)


def training_state(training_model: Any) -> list[tuple[str, Any]]:
    """Returns name and variable of all weights, random seeds and optimizer slots, in a fixed order."""
    if not training_model.optimizer.built:
        training_model.optimizer.build(training_model.trainable_variables)
    metrics = {id(variable) for metric in training_model.metrics for variable in metric.variables}
    variables = [v for v in training_model.variables if id(v) not in metrics] + training_model.optimizer.variables
    return [(f"{i:04d}/{_without_counter(variable.path)}", variable) for i, variable in enumerate(variables)]


def _without_counter(path: str) -> str:
    """Keras numbers these over all models a process has made: the same model has other numbers the next time."""
    return re.sub(r"\b(seed_generator|loss_scale_optimizer)_\d+", r"\1", path)


def save_checkpoint(folder: Path, training_model: Any, step: int, state: dict[str, Any], keep: int = KEEP) -> Path:
    """Writes checkpoints/step-<step>.npz, whole or not at all, and removes all but the last `keep`.

    Args:
        folder: of the checkpoints.
        training_model: compiled; its weights, seeds and optimizer are saved.
        step: updates made.
        state: JSON values to save beside (best score, seconds trained).
        keep: checkpoints that stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.npz"
    arrays: dict[str, Any] = {name: np.asarray(variable) for name, variable in training_state(training_model)}
    with replacing(path) as file:
        np.savez(file, **{"state.json": np.array(json.dumps({"step": step, **state})), **arrays})
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path, training_model: Any) -> dict[str, Any]:
    """Sets weights, seeds and optimizer from a checkpoint and returns its state (with `step`).

    Raises:
        UserError: the file is damaged, or is of another model; the first weight that differs is named.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
        state = json.loads(str(arrays.pop("state.json")))
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged ({error}); delete it to take up the checkpoint before it") from None
    variables = training_state(training_model)
    for (name, variable), (saved_name, array) in zip(variables, arrays.items(), strict=False):
        if name != saved_name or tuple(variable.shape) != array.shape:
            raise UserError(
                f"{path} is of another model: it has {saved_name} {list(array.shape)} where this one has "
                f"{name} {list(variable.shape)}"
            )
    if len(variables) != len(arrays):
        raise UserError(f"{path} is of another model: it has {len(arrays)} weights, this one {len(variables)}")
    for (_, variable), array in zip(variables, arrays.values(), strict=True):
        variable.assign(array)
    return state


def checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints of a folder, the oldest first."""
    if not folder.is_dir():
        return []
    names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"step-\d{8,}\.npz", name))
    return [folder / name for name in names]
