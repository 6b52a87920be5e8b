"""Two devices of one host train as one does: the same curve, evaluations, weights, and the same after a resume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer.data import Seq2SeqBatches
from keras_transformer.errors import UserError
from keras_transformer.training import TrainingConfig, on_devices

SCRIPT = Path(__file__).with_name("two_devices.py")


def found_by(backend: str, data: Path, folder: Path) -> dict[str, Any]:
    """Runs the trainings in a process that has two devices."""
    flags = "--xla_force_host_platform_device_count=2" if backend == "jax" else ""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "KERAS_BACKEND": backend, "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, SCRIPT, data, folder], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check_equal(one: Any, other: Any, rtol: float = 1e-4) -> None:
    """Compares curves and evaluations. Not all weights: those without a gradient, such as biases of keys, move by
    rounding alone."""
    np.testing.assert_allclose(one["losses"], other["losses"], rtol=rtol)
    scores = [[row["bleu"] for row in found["evaluations"]] for found in (one, other)]
    np.testing.assert_allclose(*scores, rtol=rtol)


@pytest.fixture(scope="module")
def data(make_batches: Callable[..., Seq2SeqBatches]) -> Path:
    return Path(make_batches().sides[0].ids.filename).parent  # type: ignore[attr-defined]  # a memory map


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_as_one(backend: str, data: Path, tmp_path: Path) -> None:
    if backend == "jax":
        pytest.importorskip("jax", reason="needs the extra: pip install '.[jax]'")
    found = found_by(backend, data, tmp_path)
    assert len(found["one"]["losses"]) == 20
    assert len(found["one"]["evaluations"]) == 2
    check_equal(found["one"], found["two"])
    assert found["half"]["losses"] + found["resumed"]["losses"] == found["two"]["losses"]
    assert found["resumed"]["weights"] == found["two"]["weights"]  # bit for bit
    if backend == "tensorflow":  # where the update is the project's own
        check_equal(found["adafactor 1"], found["adafactor 2"])


def test_more_devices_than_there_are() -> None:
    with (
        pytest.raises(UserError, match=r"^training.devices is 64, but this host has 1: cpu:0$"),
        on_devices(TrainingConfig(devices=64)),
    ):
        pass


def test_one_overflow_would_go_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    message = (
        r"^training.dtype_policy is mixed_float16, which needs training.devices 1 on TensorFlow, not 2; use "
        r"mixed_bfloat16, or KERAS_BACKEND=jax$"
    )
    with (
        pytest.raises(UserError, match=message),
        on_devices(TrainingConfig(devices="all", dtype_policy="mixed_float16")),
    ):
        pass


def test_devices_do_not_accumulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    message = r"^training.accumulate is 4, which needs training.devices 1 on TensorFlow, not 2; use accumulate 1, or "
    with pytest.raises(UserError, match=message), on_devices(TrainingConfig(devices=2, accumulate=4)):
        pass


def test_no_device_is_none() -> None:
    with pytest.raises(UserError, match=r"^devices is 0, expected 1 or more, or all$"):
        TrainingConfig(devices=0)
