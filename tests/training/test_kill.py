"""A training killed with SIGKILL, again and again, ends with the same weights to the last bit as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_transformer.data import Seq2SeqBatches

MORTAL = Path(__file__).with_name("mortal.py")
STEPS = 40  # of mortal.py
LEAST_BYTES = 40_000  # of its checkpoints; a write is killed before so many
KINDS = ["step", "step", "step", "write", "write", "write", "before", "after", "evaluation", "write"]


@pytest.fixture(scope="module")
def data(make_batches: Callable[..., Seq2SeqBatches]) -> Path:
    return Path(make_batches().sides[0].ids.filename).parent  # type: ignore[attr-defined]  # a memory map


def ends_of(data: Path, run: Path, average_last: int, points: list[str]) -> list[str]:
    """Trains in a new process and returns each point with the status that the training ended with there."""
    run.mkdir()
    command = [sys.executable, str(MORTAL), str(data), str(run), str(average_last), *points]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def at_the_end(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "end.npz") as saved:
        return {name: saved[name] for name in saved.files}


def kill_and_compare(data: Path, folder: Path, average_last: int, points: list[str]) -> None:
    """Trains once in peace, and once with a kill at each point, and compares all that there is at the end."""
    assert ends_of(data, folder / "peace", average_last, []) == ["none:0:0 0"]
    ends = ends_of(data, folder / "war", average_last, points)
    assert ends == [*(f"{point} {-signal.SIGKILL}" for point in points), "none:0:0 0"]
    expected, found = at_the_end(folder / "peace"), at_the_end(folder / "war")
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    names = [sorted(path.name for path in (folder / name / "checkpoints").iterdir()) for name in ("peace", "war")]
    assert names[0] == names[1]  # what a kill left half written is gone


def test_killed_at_a_step_in_a_write_and_before_a_rename(data: Path, tmp_path: Path) -> None:
    kill_and_compare(data, tmp_path, 3, ["write:10:9000", "step:23:0", "before:30:0"])


@pytest.mark.slow
@pytest.mark.parametrize("average_last", [0, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_many_times(data: Path, tmp_path: Path, average_last: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    steps = sorted(random.integers(1, STEPS - 5, size=len(KINDS)).tolist())
    sizes = random.integers(0, LEAST_BYTES, size=len(KINDS)).tolist()
    points = zip(random.permutation(KINDS), steps, sizes, strict=True)
    kill_and_compare(data, tmp_path, average_last, [f"{kind}:{step}:{size}" for kind, step, size in points])
