"""A run directory becomes a model again. No code from the run is executed."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.training.run_directory import RunDirectory

Made = TypeVar("Made")


@dataclass
class LoadedRun:
    """The model of a run and what belongs to it.

    Attributes:
        directory: the run.
        config: its `config.yaml` as plain data.
        model: in float32, with its best weights.
        tokenizer: a `BytePieceTokenizer`.
    """

    directory: RunDirectory
    config: dict[str, Any]
    model: Any
    tokenizer: Any


def load(run: str | os.PathLike[str]) -> Any:
    """Loads the predictor of a run directory, of whatever task, in float32, with its best weights.

    What it is, the model's class says, which `model.json` names: its `predictor` is the module whose `load` is called.

    Raises:
        UserError: there is no such run, it has no weights yet, or a file of it is damaged.

    Example:
        ```python
        translator = keras_transformer.load("runs/mine")
        print(translator.predict(["A man rides a bike."]))
        ```
    """
    directory = RunDirectory(run)
    directory.check_trained()
    return importlib.import_module(_model_class(directory).predictor).load(run)


def load_model(run: str | os.PathLike[str], class_name: str) -> LoadedRun:
    """Loads the model of a run, in float32, with its best weights, if it is of this class.

    Raises:
        UserError: there is no such run, it has no weights yet, or a file of it is damaged.
    """
    from keras_transformer._config_sources import plain_content
    from keras_transformer.text.byte_pieces import BytePieceTokenizer

    directory = RunDirectory(run)
    directory.check_trained()
    cls = _model_class(directory)
    saved = directory.read_json(directory.model)

    def make() -> tuple[dict[str, Any], Any]:
        if cls.__name__ != class_name:
            raise ValueError(f"model.json names the class {cls.__name__!r}")
        return dict(plain_content(directory.config)), cls(**saved["config"], dtype="float32")

    config, model = unless_damaged(directory, make)
    tokenizer = BytePieceTokenizer.load(directory.tokenizer)
    if tokenizer.vocabulary_size != model.vocabulary_size:
        raise UserError(
            f"{directory.path} is damaged: the tokenizer has {tokenizer.vocabulary_size} pieces, "
            f"the model {model.vocabulary_size}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns of weights that it does not find, and goes on
            model.load_weights(directory.weights)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        _check_same_model(directory.weights, model)
        raise UserError(f"{directory.weights} is damaged or of another model: {_first_line(error)}") from None
    return LoadedRun(directory, config, model, tokenizer)


def _check_same_model(weights: Path, model: Any) -> None:
    """Raises a `UserError` that names the first weight in a file which is not of the model's name and shape, if any."""
    from keras_transformer.training.checkpoints import check_same_model

    with TemporaryDirectory(prefix="keras-transformer-") as folder:
        model.save_weights(own := Path(folder) / "own.weights.h5")
        wanted = _shapes(own)
    try:
        saved = _shapes(weights)
    except (OSError, RuntimeError, KeyError, ValueError):  # damaged
        return
    check_same_model(weights, saved, list(wanted.items()))


def _shapes(path: Path) -> dict[str, np.ndarray]:
    """Returns arrays of the names and shapes of those in an HDF5 file, by name; there is nothing in them."""
    import h5py  # type: ignore[import-untyped]

    found: dict[str, np.ndarray] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.broadcast_to(np.float32(0), item.shape)

    with h5py.File(path) as file:
        file.visititems(add)
    return dict(sorted(found.items()))


def unless_damaged(directory: RunDirectory, make: Callable[[], Made]) -> Made:
    """Returns `make()`, which reads small files of a run.

    Raises:
        UserError: what it read is not what a run holds.
    """
    try:
        return make()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{directory.path} is damaged: {type(error).__name__}: {_first_line(error)}") from None


def _model_class(directory: RunDirectory) -> Any:
    """Returns the class that `model.json` names: one of `keras_transformer.models` that has a predictor, no other."""
    from keras_transformer import models

    saved = directory.read_json(directory.model)

    def find() -> Any:
        name = saved["class"]
        found = getattr(models, name) if name in models.__all__ else None
        if getattr(found, "predictor", None) is None:
            raise ValueError(f"model.json names the class {name!r}")
        return found

    return unless_damaged(directory, find)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
