"""Checkpoints: exact, refused when damaged or of another model, and never lost to a kill or a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.training import TrainingConfig, TrainingModel
from keras_transformer.training.checkpoints import checkpoints, load_checkpoint, save_checkpoint, training_state

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CONFIG = TrainingConfig(clip_norm=1.0, averaging=0.9)


@pytest.fixture(scope="module")
def model(make_model: Callable[..., TrainingModel]) -> TrainingModel:
    made = make_model(CONFIG)
    random = np.random.default_rng(0)
    for _, variable in training_state(made):
        variable.assign((random.random(variable.shape) * 100).astype(keras.backend.standardize_dtype(variable.dtype)))
    return made


def values(model: TrainingModel) -> dict[str, np.ndarray]:
    return {name: np.asarray(variable).copy() for name, variable in training_state(model)}


def test_everything_comes_back_exactly(
    model: TrainingModel, make_model: Callable[..., TrainingModel], tmp_path: Path
) -> None:
    state = {"seconds": 12.5, "best_score": None}
    path = save_checkpoint(tmp_path, model, 7, state)
    other = make_model(CONFIG)
    before = values(other)
    assert load_checkpoint(path, other) == {"step": 7, **state}
    expected = values(model)
    assert list(expected) == list(before)
    for name, value in values(other).items():
        assert value.dtype == expected[name].dtype
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert [name for name in expected if "seed_generator" in name]
    assert [name for name in expected if name.endswith("_momentum")]
    assert [name for name in expected if name.endswith("_average")]
    assert any((before[name] != expected[name]).any() for name in expected)


def test_names_do_not_depend_on_the_models_made_before(
    model: TrainingModel, make_model: Callable[..., TrainingModel]
) -> None:
    for policy in ("float32", "mixed_float16"):
        config = TrainingConfig(dtype_policy=policy)
        assert [name for name, _ in training_state(make_model(config))] == [
            name for name, _ in training_state(make_model(config))
        ]


def test_names_do_not_depend_on_the_process(model: TrainingModel) -> None:
    code = """
        from keras_transformer.models import Seq2SeqTransformer
        from keras_transformer.training import TokenObjective, TrainingConfig, compile_for_training
        from keras_transformer.training.checkpoints import training_state
        model = Seq2SeqTransformer(12, 1, 1, 8, 12, 2, dropout=0.2)
        config = TrainingConfig(clip_norm=1.0, averaging=0.9)
        training_model = compile_for_training(model, config, TokenObjective())
        print(*[name for name, _ in training_state(training_model)], sep="\\n")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(values(model))


def test_the_last_two_are_kept(model: TrainingModel, tmp_path: Path) -> None:
    for step in (5, 10, 200_000_000, 15):
        save_checkpoint(tmp_path, model, step, {})
        (tmp_path / "notes.txt").touch()
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000015.npz", "step-200000000.npz"]
    assert checkpoints(tmp_path / "nothing") == []
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("damage", ["cut off", "empty", "a bit", "text", "no state"])
def test_a_damaged_file(model: TrainingModel, tmp_path: Path, damage: str) -> None:
    path = save_checkpoint(tmp_path, model, 3, {})
    whole = path.read_bytes()
    if damage == "no state":
        np.savez(path, a=np.zeros(3))
    else:
        flipped = bytearray(whole)
        flipped[whole.index(b"NUMPY", whole.index(b"token_embedding")) + 200] ^= 1  # in the numbers of an array
        changed = {"cut off": whole[: len(whole) // 2], "empty": b"", "a bit": bytes(flipped), "text": b"hello\n" * 99}
        path.write_bytes(changed[damage])
    before = values(model)
    with pytest.raises(UserError, match=r"step-00000003.npz is damaged \(.*\); delete it to take up the checkpoint be"):
        load_checkpoint(path, model)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_damage_anywhere_is_told(model: TrainingModel, tmp_path: Path) -> None:
    """Wherever a byte is wrong: a UserError, or no harm done (the dates of a zip file)."""
    path = save_checkpoint(tmp_path, model, 3, {})
    whole, before = path.read_bytes(), values(model)
    random = np.random.default_rng(0)
    places = [*random.integers(0, len(whole), size=60), *random.integers(len(whole) - 900, len(whole), size=60)]
    told = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << random.integers(8)
        path.write_bytes(bytes(changed))
        try:
            load_checkpoint(path, model)
        except UserError:
            told += 1
        for name, value in values(model).items():
            np.testing.assert_array_equal(value, before[name])
    assert told > len(places) // 2


def test_no_pickle_is_read(model: TrainingModel, tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.npz"
    np.savez(path, **{"state.json": np.array([{"step": 1}], dtype=object)})
    with pytest.raises(UserError, match=r"is damaged \(Object arrays cannot be loaded when allow_pickle=False"):
        load_checkpoint(path, model)


def test_another_model_is_named(model: TrainingModel, make_model: Callable[..., TrainingModel], tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, model, 3, {})
    wider = make_model(CONFIG, hidden_dim=16)
    with pytest.raises(
        UserError,
        match=r"step-00000003.npz is of another model: it has 0001/token_embedding/embeddings \[12, 8\] where this one "
        r"has 0001/token_embedding/embeddings \[12, 16\]",
    ):
        load_checkpoint(path, wider)
    without = make_model(TrainingConfig(clip_norm=1.0, averaging=None))
    with pytest.raises(UserError, match="is of another model: it has "):
        load_checkpoint(path, without)


class FullDisk:
    """Lets so many bytes through and then fails as a full disk does."""

    def __init__(self, file: Any, room: int):
        self.file, self.room = file, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: Any) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(data))


@pytest.mark.parametrize("failure", ["full disk", "kill"])
def test_the_earlier_one_outlives_a_failed_save(
    model: TrainingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    save_checkpoint(tmp_path, model, 1, {})
    kept = save_checkpoint(tmp_path, model, 2, {})
    savez = np.savez

    def broken(file: Any, **arrays: Any) -> None:
        if failure == "full disk":
            savez(FullDisk(file, 3000), **arrays)
        savez(file, **dict(list(arrays.items())[:4]))
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError if failure == "full disk" else KeyboardInterrupt):
        save_checkpoint(tmp_path, model, 3, {})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000001.npz", "step-00000002.npz"]
    assert load_checkpoint(kept, model)["step"] == 2
