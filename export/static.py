"""int8 with activations of fixed scales, which were observed: products in whole numbers from end to end.

TFLite's own converter does this to all of a graph, given samples of its inputs, the bodies of loops included: softmax,
normalisations, caches and the mask of -1e9 too, which leaves nothing of what it is added to (docs/precisions.md). So
the products are rewritten here, one by one: QUANTIZE, FULLY_CONNECTED of int8, DEQUANTIZE. All else stays in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_transformer.export.flatbuffer import operator_name, read_model, write_model
from keras_transformer.export.observing import Observed
from keras_transformer.export.quantizing import Matrix, matrices, quantize_positions, round_matrix
from keras_transformer.export.rewriting import (
    Use,
    add_buffer,
    add_tensor,
    affine,
    float_values,
    like,
    make_operator,
    replace,
)
from keras_transformer.export.slimming import slim
from keras_transformer.quantization import ROWS_OF_8_BITS, round_to

SAME = 1e-3  # of a row: how far the weights of a file may be from Keras's, the scale of the row apart


class Range(NamedTuple):
    """Between what numbers the inputs and outputs of a product lie."""

    inputs: np.ndarray
    outputs: np.ndarray


def write_static(float32: Path, path: Path, observed: Sequence[Observed]) -> None:
    """Writes a file of int8 products with fixed scales.

    Args:
        float32: the file it is made of.
        path: to write.
        observed: what was seen in Keras. Products that it does not have get int8 weights, and scales of activations as
            they come.
    """
    model = read_model(float32)
    to_static(model, observed)
    slim(model)
    write_model(model, path)


def to_static(model: Any, observed: Sequence[Observed]) -> int:
    """Changes a float32 `ModelT` so, and returns how many products have fixed scales."""
    quantize_positions(model)
    rewritten = 0
    whole: dict[tuple[int, int], int] = {}  # by graph and float32 tensor, the int8 tensor of the same numbers
    for matrix in matrices(model):
        found = range_of(matrix.values, observed)
        static = [use for use in matrix.uses if found and operator_name(model, use.operator) == "FULLY_CONNECTED"]
        others = [use for use in matrix.uses if not any(use is one for one in static)]
        numbers, scales = round_to(matrix.values, ROWS_OF_8_BITS)
        buffer = add_buffer(model, numbers) if static else 0
        for use in static:
            assert found is not None
            _multiply(model, use, Range(*found), buffer, scales[:, 0], whole)
            rewritten += 1
        if others:
            round_matrix(model, Matrix(matrix.values, others), ROWS_OF_8_BITS)
    return rewritten


def range_of(matrix: np.ndarray, observed: Sequence[Observed]) -> Range | None:
    """Returns the range of a product by its matrix `[n, m]`, whose rows may be multiples of the observed kernel's.

    A converter folds what outputs are multiplied with, such as attention's `1 / sqrt(d)`, into the matrix.
    """
    for one in observed:
        if one.kernel.shape != matrix.shape:
            continue
        squares = np.maximum(np.square(one.kernel).sum(axis=1), np.finfo(np.float32).tiny)
        factors = (matrix * one.kernel).sum(axis=1) / squares
        off = np.abs(matrix - factors[:, None] * one.kernel).max(axis=1)
        if (off <= SAME * np.abs(matrix).max(axis=1)).all():
            ends = one.outputs * factors
            return Range(one.inputs, np.array([ends.min(), ends.max()]))
    return None


def _multiply(
    model: Any, use: Use, found: Range, buffer: int, scales: np.ndarray, whole: dict[tuple[int, int], int]
) -> None:
    """Puts QUANTIZE, a product of int8 and DEQUANTIZE in the place of a product."""
    graph, product = use.graph, use.operator
    source, target = int(product.inputs[0]), int(product.outputs[0])
    operators, rounded = [], whole.get((id(graph), source))
    if rounded is None:
        rounded = like(graph, source, schema.TensorType.INT8, asymmetric(found.inputs))
        options = schema.QuantizeOptionsT()
        operators.append(make_operator(model, schema.BuiltinOperator.QUANTIZE, [source], [rounded], options))
    ends = found.outputs
    if product.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU:
        ends = np.maximum(ends, 0)
    step = float(graph.tensors[rounded].quantization.scale[0])
    weights = add_tensor(graph, schema.TensorType.INT8, use.tensor.shape, buffer, affine(scales, np.zeros(len(scales))))
    bias = _bias(model, graph, product, step * scales)
    answer = like(graph, target, schema.TensorType.INT8, asymmetric(ends))
    product.inputs, product.outputs = np.array([rounded, weights, bias], np.int32), np.array([answer], np.int32)
    product.opcodeIndex = make_operator(model, schema.BuiltinOperator.FULLY_CONNECTED, [], []).opcodeIndex
    back = make_operator(model, schema.BuiltinOperator.DEQUANTIZE, [answer], [target], schema.DequantizeOptionsT())
    replace(graph, product, [*operators, product, back])
    whole[id(graph), target] = answer  # a product that reads this next needs no QUANTIZE


def _bias(model: Any, graph: Any, product: Any, scales: np.ndarray) -> int:
    """Returns the number of a tensor with the bias as multiples of `scales`, or -1 where there is none."""
    if len(product.inputs) < 3 or product.inputs[2] < 0:
        return -1
    values = float_values(model, graph.tensors[product.inputs[2]]).astype(np.float64)
    numbers = np.clip(np.rint(values / scales), -(2**31) + 1, 2**31 - 1).astype(np.int32)
    quantization = affine(scales, np.zeros(len(scales)))
    return add_tensor(graph, schema.TensorType.INT32, numbers.shape, add_buffer(model, numbers), quantization)


def asymmetric(ends: np.ndarray) -> Any:
    """Returns the quantization of int8 numbers between two ends, and zero, which is one of them."""
    low, high = min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)
    scale = max((high - low) / 255, 1e-8)
    return affine([scale], [int(np.clip(np.rint(-128 - low / scale), -128, 127))])
