"""What is asked of a device, and what is said when it cannot."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_transformer.errors import UserError
from keras_transformer.training import device


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_cpu_runs_every_policy(policy: str) -> None:
    device.check_policy(policy)


def test_a_policy_that_the_device_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise NotImplementedError("no kernel for half\nand more")

    monkeypatch.setattr(ops, "matmul", fail)
    with pytest.raises(
        UserError,
        match=r"training.dtype_policy is mixed_float16, but this device cannot multiply in float16 \(no kernel for "
        r"half\); use float32 or mixed_bfloat16$",
    ):
        device.check_policy("mixed_float16")


def test_a_policy_that_the_device_runs_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "matmul", lambda x, y: ops.convert_to_tensor(np.zeros((8, 8))))
    with pytest.raises(UserError, match=r"cannot multiply in bfloat16 \(8 ones make 0\); use float32$"):
        device.check_policy("mixed_bfloat16")


def test_deterministic_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: called.append(True))
    device.make_deterministic()
    assert called == [True]


def test_on_jax_the_environment_has_to_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    monkeypatch.setenv("XLA_FLAGS", "--something_else")
    with pytest.raises(UserError, match=r"set the environment variable XLA_FLAGS=--xla_gpu_deterministic_ops=true$"):
        device.make_deterministic()
    monkeypatch.setenv("XLA_FLAGS", "--something_else --xla_gpu_deterministic_ops=true")
    device.make_deterministic()
