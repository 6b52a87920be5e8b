"""What is asked of the device before a training starts on it."""

from __future__ import annotations

import os
import sys

import keras
import numpy as np
from keras import ops

from keras_transformer._devices import has_gpu
from keras_transformer._threads import operations_at_once
from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.distribution import chosen_devices, is_mirrored

MOST_PARTS = 8
XLA_FLAG = "--xla_gpu_deterministic_ops=true"


def parts_of_a_batch() -> int:
    """Returns into how many parts a training parts its batches: one for each processor, if operations take one.

    With several devices each has one: a part of the batch that is parted already.
    """
    return 1 if is_mirrored() or has_gpu() else min(operations_at_once(), MOST_PARTS)


def make_deterministic() -> None:
    """Has every operation give the same bits at every run, for the rest of the process.

    With it, and the seed, a training on the same machine and versions gives the same weights. On a CPU the operators
    of this project do so without it (measured on TensorFlow 2.21, two threads: equal weights, equal speed); on a GPU,
    sums by atomic additions are replaced by slower ones.

    Raises:
        UserError: on the JAX backend with a GPU, where only the environment can say so, before the start.
    """
    if keras.backend.backend() == "tensorflow":
        # Keras has imported it; by name it is imported in few places only, so that other backends stay possible
        sys.modules["tensorflow"].config.experimental.enable_op_determinism()
    elif has_gpu() and XLA_FLAG not in os.environ.get("XLA_FLAGS", ""):
        raise UserError(
            f"training.deterministic is true, but {keras.backend.backend()} on a GPU must be told at its start: set "
            f"the environment variable XLA_FLAGS={XLA_FLAG}"
        )


def check_device(config: TrainingConfig) -> None:
    """Raises UserError where there are fewer devices than a config asks for, or they cannot compute as it says.

    Example:
        ```python
        check_device(TrainingConfig(devices=64))  # UserError: ..., but this host has 1: cpu:0
        ```
    """
    chosen_devices(config)
    check_policy(config.dtype_policy)


def check_policy(policy: str) -> None:
    """Tries a matrix product in the compute dtype of a dtype policy.

    Raises:
        UserError: the device cannot do it, or does it wrong.

    Example:
        ```python
        check_policy("mixed_bfloat16")
        ```
    """
    dtype = keras.dtype_policies.get(policy).compute_dtype
    try:
        ones = ops.ones((8, 8), dtype=dtype)
        product = np.asarray(ops.cast(ops.matmul(ones, ones), "float32"))
        problem = "" if (product == 8).all() else f"8 ones make {product[0, 0]:g}"
    except Exception as error:  # each backend, and each device, has its own
        problem = str(error).strip().partition("\n")[0]
    if problem:
        raise UserError(
            f"training.dtype_policy is {policy}, but this device cannot multiply in {dtype} ({problem}); "
            "use float32" + (" or mixed_bfloat16" if dtype == "float16" else "")
        )
