"""What goes into and comes out of a model's products: how large it gets, for int8 activations of fixed scales.

The model runs in Keras on texts of the run's validation split, a decoder on its own answers to them, given as a whole:
these are the numbers that its search computes step by step. Without padding: what stands there is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

TEXTS = 64  # of the validation split


class Observed(NamedTuple):
    """What was seen at a projection.

    Attributes:
        kernel: float32 `[n, m]`: n outputs of m inputs.
        inputs: the least and the highest of all inputs, float32 `[2]`.
        outputs: the least and the highest of each output, before any activation, float32 `[2, n]`.
    """

    kernel: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray


def observe(model: keras.Model, batches: Iterable[Any]) -> list[Observed]:
    """Runs a model on batches and returns what was seen at each of its projections that were used.

    The projection whose outputs are the answer, `output_layer`, is left out, as a tied embedding is: their outputs are
    compared with each other, and of numbers of 8 bits too many would be the same.

    Args:
        model: its `Dense` layers are observed.
        batches: what the model is called with.

    Example:
        ```python
        observe(model, [{"ids": np.array([[5, 6, 7]])}])[0].inputs  # [-3.1, 4.2]
        ```
    """
    answer = getattr(model, "output_layer", None)
    layers = [one for one in model._flatten_layers() if isinstance(one, keras.layers.Dense) and one is not answer]
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    batches = list(batches)  # to make them may take a search by the same layers
    with _recorded(layers, seen):
        for batch in batches:
            model(batch, training=False)
    return [
        Observed(ops.convert_to_numpy(layers[number].kernel).T.astype(np.float32), *found)
        for number, found in sorted(seen.items())
    ]


@contextmanager
def _recorded(layers: list[Any], seen: dict[int, tuple[np.ndarray, np.ndarray]]) -> Iterator[None]:
    """Has layers write down the extremes of what they are called with and return, until the block ends."""

    def recording(number: int, call: Any) -> Any:
        def recorded(inputs: Any, *arguments: Any, **more: Any) -> Any:
            outputs = call(inputs, *arguments, **more)
            new = tuple(_extremes(x, axes) for x, axes in ((inputs, None), (outputs, 0)))
            seen[number] = tuple(map(_wider, seen[number], new)) if number in seen else new  # type: ignore[assignment]
            return outputs

        return recorded

    for number, layer in enumerate(layers):
        object.__setattr__(layer, "call", recording(number, layer.call))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _extremes(x: Any, axis: int | None) -> np.ndarray:
    values = ops.convert_to_numpy(x).astype(np.float32)
    rows = values.reshape(-1, values.shape[-1])
    return np.stack([rows.min(axis=axis), rows.max(axis=axis)])


def _wider(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.stack([np.minimum(one[0], other[0]), np.maximum(one[1], other[1])])
