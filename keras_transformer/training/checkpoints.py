"""Checkpoints: everything that training continues from, in one file without code."""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer._files import replacing
from keras_transformer.errors import UserError
from keras_transformer.training.divergence import Diverged
from keras_transformer.training.run_directory import numbered_files, step_of

KEEP = 2
STATE = "state.json"  # in a checkpoint: the JSON values beside the weights
MEND = "delete it to take up the checkpoint before it"
# What NumPy and zipfile raise, depending on the byte that is wrong; RuntimeError is "encrypted" or "not implemented".
UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)


def training_state(training_model: Any) -> list[tuple[str, Any]]:
    """Returns name and variable of all weights, random seeds and optimizer slots, in a fixed order."""
    if not training_model.optimizer.built:
        training_model.optimizer.build(training_model.trainable_variables)
    metrics = {id(variable) for metric in training_model.metrics for variable in metric.variables}
    variables = [v for v in training_model.variables if id(v) not in metrics] + training_model.optimizer.variables
    return numbered(variables)


def numbered(variables: Sequence[Any]) -> list[tuple[str, Any]]:
    """Returns name and variable; names tell by their number where a variable stands."""
    return [(f"{i:04d}/{_without_counter(variable.path)}", variable) for i, variable in enumerate(variables)]


def _without_counter(path: str) -> str:
    """Keras numbers these over all models a process has made: the same model has other numbers the next time."""
    return re.sub(r"\b(seed_generator|loss_scale_optimizer)_\d+", r"\1", path)


def finite_values(variables: Sequence[tuple[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the values of named variables.

    Raises:
        Diverged: a value is not a finite number.
    """
    values = {name: np.asarray(variable) for name, variable in variables}
    for name, value in values.items():
        if not np.isfinite(value.astype("float32", copy=False)).all():
            raise Diverged(f"{name} has values that are not finite")
    return values


def save_checkpoint(folder: Path, training_model: Any, step: int, state: dict[str, Any], keep: int = KEEP) -> Path:
    """Writes checkpoints/step-<step>.npz, whole or not at all, and removes all but the last `keep`.

    Args:
        folder: of the checkpoints.
        training_model: compiled; its weights, seeds and optimizer are saved.
        step: updates made.
        state: JSON values to save beside (best score, seconds trained).
        keep: checkpoints that stay.

    Raises:
        Diverged: a weight is not finite; nothing is written.
        OSError: the disk is full, or another reason why it cannot be written; the earlier ones are intact.
    """
    path = folder / f"step-{step:08d}.npz"
    arrays: dict[str, Any] = finite_values(training_state(training_model))
    write_arrays(path, {STATE: np.array(json.dumps({"step": step, **state})), **arrays})
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path, training_model: Any) -> dict[str, Any]:
    """Sets weights, seeds and optimizer from a checkpoint and returns its state (with `step`).

    Raises:
        UserError: the file is damaged, or is of another model; the first weight that differs is named.
    """
    arrays = read_arrays(path, MEND)
    try:
        state = json.loads(str(arrays.pop(STATE)))
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged ({error}); {MEND}") from None
    variables = training_state(training_model)
    check_same_model(path, arrays, variables)
    for (_, variable), array in zip(variables, arrays.values(), strict=True):
        variable.assign(array)
    return state


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes named arrays as .npz, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_arrays(path: Path, mend: str) -> dict[str, np.ndarray]:
    """Returns the named arrays of an .npz file.

    Raises:
        UserError: the file is damaged; `mend` says what to do.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged ({error}); {mend}") from None


def check_same_model(path: Path, arrays: Mapping[str, np.ndarray], variables: Sequence[tuple[str, Any]]) -> None:
    """Raises a UserError that names the first array which is not of its variable's name and shape."""
    for (name, variable), (saved_name, array) in zip(variables, arrays.items(), strict=False):
        if name != saved_name or tuple(variable.shape) != array.shape:
            raise UserError(
                f"{path} is of another model: it has {saved_name} {list(array.shape)} where this one has "
                f"{name} {list(variable.shape)}"
            )
    if len(variables) != len(arrays):
        raise UserError(f"{path} is of another model: it has {len(arrays)} weights, this one {len(variables)}")


def checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints of a folder, the oldest first."""
    return numbered_files(folder, "step")


def last_checkpoint(folder: Path) -> Path | None:
    """Returns the checkpoint that was written last: that of the last step since the training last went back.

    Where it went back to an earlier checkpoint than the last, and was killed before that one was removed, the earlier
    one is the last to have been written.
    """
    saved = checkpoints(folder)
    return max(saved, key=lambda path: (_steps_back(path), step_of(path)), default=None)


def _steps_back(path: Path) -> int:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            return int(json.loads(str(saved[STATE]))["steps_back"])
    except (*UNREADABLE, TypeError):  # damaged: said when it is loaded, if it is
        return 0


def forget_after(folder: Path, step: int) -> None:
    """Removes the checkpoints of steps that lie ahead: the training has gone back to `step`."""
    for path in checkpoints(folder):
        if step_of(path) > step:
            path.unlink()
