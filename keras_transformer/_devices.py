"""What this process computes on."""

from __future__ import annotations

import keras


def has_gpu() -> bool:
    """Returns whether the backend has a GPU to compute on."""
    return any(name.startswith("gpu") for name in keras.distribution.list_devices())  # JAX knows no "gpu" without one
