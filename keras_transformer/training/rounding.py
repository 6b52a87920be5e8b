"""Training that makes a model ready for few bits: its weights are rounded in every step.

Quantization-aware training of weights: https://arxiv.org/abs/1712.05877, section 3. The matrices that the exporter
rounds are rounded here, to the same grids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras
from keras import ops

from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.projection import Projection
from keras_transformer.quantization import Grid, grid_of, round_to

Found = TypeVar("Found")


def round_in_training(model: keras.Model, name: str | None) -> None:
    """Has the matrices of a model be rounded in training steps, and nowhere else.

    Args:
        model: of this library.
        name: "int8" or "int4"; none leaves them as they are.
    """
    for layer, _, shape in _matrices(model):
        layer.grid = None if name is None else grid_of(name, *shape)


def with_rounded(model: keras.Model, function: Callable[[], Found]) -> Callable[[], Found]:
    """Returns a function that calls another while the matrices of a model are what their grids make of them."""

    def called() -> Found:
        kept = [(variable, ops.convert_to_numpy(variable)) for _, variable, _ in _rounded(model)]
        try:
            for layer, variable, _ in _rounded(model):
                variable.assign(_near(ops.convert_to_numpy(variable), layer.grid, isinstance(layer, Projection)))
            return function()
        finally:
            for variable, values in kept:
                variable.assign(values)

    return called


def _near(values: Any, grid: Grid, is_kernel: bool) -> Any:
    matrix = values.T if is_kernel else values
    numbers, scales = round_to(matrix, grid)
    near = (numbers.reshape(*scales.shape, -1) * scales[..., None]).reshape(matrix.shape)
    return near.T if is_kernel else near


def _rounded(model: keras.Model) -> Iterator[tuple[Any, Any, tuple[int, int]]]:
    return (found for found in _matrices(model) if found[0].grid is not None)


def _matrices(model: keras.Model) -> Iterator[tuple[Any, Any, tuple[int, int]]]:
    """Yields each layer with a matrix that the exporter knows, its variable, and its outputs and inputs."""
    for layer in model._flatten_layers():
        if isinstance(layer, Projection) and layer.built:
            inputs, outputs = layer.kernel.shape
            yield layer, layer.kernel, (outputs, inputs)
        elif isinstance(layer, TokenEmbedding):
            yield layer, layer.embeddings, tuple(layer.embeddings.shape)
