"""From a float32 file to one of another precision: its weights rewritten, its operators and signatures kept.

Weights are the matrices of FULLY_CONNECTED, the tables that GATHER takes rows from, and tables of positions. A matrix
that is both, as a tied embedding is, stays one: what reads 8 or 4 bits row by row is EMBEDDING_LOOKUP. The converter's
own 8 bits have it twice, per tensor for GATHER and per row for FULLY_CONNECTED.

Rounding here rather than in the converter means that every precision is made of the one file that was compared with
Keras, in a second, on the grids that a training can round to as well (`keras_transformer.quantization`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_transformer.export.flatbuffer import TYPES, operator_name
from keras_transformer.export.rewriting import (
    Use,
    add_buffer,
    add_tensor,
    affine,
    float_values,
    insert_before,
    like,
    make_operator,
    replace,
    reshape,
    set_input,
    uses_of_constants,
)
from keras_transformer.export.slimming import read_rows, share_prefixes
from keras_transformer.quantization import SMALLEST, Grid, grid_of, round_to

SMALLEST_BYTES = 4 * SMALLEST
SAME_TABLE = 1e-4  # Keras computes sines in two ways, which differ in the last digits


class Matrix(NamedTuple):
    """A float32 matrix `[n, m]` and where it is read, by FULLY_CONNECTED and GATHER alone."""

    values: np.ndarray
    uses: list[Use]


class Stored(NamedTuple):
    """How a rounded matrix is stored: its buffer, its type, and what makes the quantization of a graph's tensor."""

    buffer: int
    dtype: int
    quantization: Any


def matrices(model: Any) -> Iterator[Matrix]:
    """Yields the matrices of a float32 `ModelT`; each may be rewritten meanwhile."""
    for uses in list(uses_of_constants(model, SMALLEST_BYTES).values()):
        if all(_is_matrix(model, use) for use in uses):
            yield Matrix(float_values(model, uses[0].tensor), uses)


def tables(model: Any) -> Iterator[list[Use]]:
    """Yields where tables of positions are read, which nothing is multiplied with."""
    for uses in list(uses_of_constants(model, SMALLEST_BYTES).values()):
        readers = {operator_name(model, use.operator) for use in uses}
        if readers <= {"GATHER", "ADD", "SLICE"} and readers != {"GATHER"} and TYPES[uses[0].tensor.type] == "float32":
            yield uses


def to_int8(model: Any) -> None:
    """Changes a float32 `ModelT`: weights in 8 bits, a scale for each row; activations quantised as they come."""
    _round_matrices(model, "int8")


def to_int4(model: Any) -> None:
    """Changes a float32 `ModelT`: weights in 4 bits, a scale for every 32 of a row; activations as with 8 bits.

    Matrices whose rows are no multiple of 32 have 8 bits.
    """
    _round_matrices(model, "int4")


def _round_matrices(model: Any, name: str) -> None:
    quantize_positions(model)
    for matrix in matrices(model):
        grid = grid_of(name, *matrix.values.shape)
        if grid is not None:
            round_matrix(model, matrix, grid)


def to_float16(model: Any) -> None:
    """Changes a float32 `ModelT`: weights in float16, made float32 again when the file is opened."""
    share_prefixes(model, SAME_TABLE)
    for uses in list(uses_of_constants(model, SMALLEST_BYTES).values()):
        if TYPES[uses[0].tensor.type] == "float32":
            values = float_values(model, uses[0].tensor).astype(np.float16)
            buffer = add_buffer(model, values)
            for use in uses:
                _read_float16(model, use, buffer)


def _read_float16(model: Any, use: Use, buffer: int) -> None:
    """Makes float32 of what a constant of float16 is read for: of the rows that are gathered, or of all."""
    graph, reader = use.graph, use.operator
    half = add_tensor(graph, schema.TensorType.FLOAT16, use.tensor.shape, buffer)
    if operator_name(model, reader) == "GATHER" and use.place == 0:
        set_input(reader, use.place, half)
        _give_back(model, graph, reader, schema.TensorType.FLOAT16)
        return
    whole = add_tensor(graph, schema.TensorType.FLOAT32, use.tensor.shape)
    insert_before(graph, reader, _dequantize(model, half, whole))
    set_input(reader, use.place, whole)


def _give_back(model: Any, graph: Any, reader: Any, dtype: int, quantization: Any = None) -> None:
    """Has an operator that takes rows of a table give them as the table has them, and makes float32 of these."""
    whole = int(reader.outputs[0])
    rows = like(graph, whole, dtype, quantization)
    reader.outputs = np.array([rows], np.int32)
    replace(graph, reader, [reader, _dequantize(model, rows, whole)])


def _dequantize(model: Any, source: int, target: int) -> Any:
    return make_operator(model, schema.BuiltinOperator.DEQUANTIZE, [source], [target], schema.DequantizeOptionsT())


def round_matrix(model: Any, matrix: Matrix, grid: Grid) -> None:
    """Rounds a matrix and has its readers read it so."""
    stored = _store(model, matrix.values, grid)
    for use in matrix.uses:
        quantization = stored.quantization(use.graph)
        rounded = add_tensor(use.graph, stored.dtype, matrix.values.shape, stored.buffer, quantization)
        if operator_name(model, use.operator) == "GATHER":
            replace(use.graph, use.operator, _look_up(model, use, rounded, matrix.values.shape[1]))
        else:
            _multiply(model, use, rounded, grid)


def _store(model: Any, values: np.ndarray, grid: Grid) -> Stored:
    numbers, scales = round_to(values, grid)
    if grid.block is None:
        quantization = affine(scales[:, 0], np.zeros(len(scales)))
        return Stored(add_buffer(model, numbers), schema.TensorType.INT8, lambda graph: quantization)
    pairs = numbers.reshape(-1, 2).view(np.uint8) & 15
    halves, blocks = add_buffer(model, scales.astype(np.float16)), scales.shape

    def blockwise(graph: Any) -> Any:
        found, details = schema.QuantizationParametersT(), schema.BlockwiseQuantizationT()
        details.scales = add_tensor(graph, schema.TensorType.FLOAT16, blocks, halves)
        details.zeroPoints, details.blockSize = -1, grid.block
        found.detailsType, found.details = schema.QuantizationDetails.BlockwiseQuantization, details
        return found

    return Stored(add_buffer(model, pairs[:, 0] | pairs[:, 1] << 4), schema.TensorType.INT4, blockwise)


def _multiply(model: Any, use: Use, rounded: int, grid: Grid) -> None:
    """Has a FULLY_CONNECTED read a rounded matrix."""
    set_input(use.operator, use.place, rounded)
    options = use.operator.builtinOptions
    options.asymmetricQuantizeInputs = True
    index = make_operator(model, schema.BuiltinOperator.FULLY_CONNECTED, [], []).opcodeIndex
    use.operator.opcodeIndex = index  # its version is high enough now
    if grid.block is not None and options.fusedActivationFunction == schema.ActivationFunctionType.RELU:
        _part_relu(model, use)


def _part_relu(model: Any, use: Use) -> None:
    """Parts RELU from a product: TFLite's own kernel for blocks of 4 bits forgets it (XNNPACK's does not)."""
    graph, product = use.graph, use.operator
    product.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
    between = like(graph, int(product.outputs[0]), schema.TensorType.FLOAT32)
    relu = make_operator(model, schema.BuiltinOperator.RELU, [between], product.outputs)
    product.outputs = np.array([between], np.int32)
    replace(graph, product, [product, relu])


def _look_up(model: Any, use: Use, table: int, width: int) -> list[Any]:
    """Returns the operators in place of a GATHER: EMBEDDING_LOOKUP takes ids `[n]` and gives rows `[n, w]`."""
    graph, gather = use.graph, use.operator
    ids, rows = int(gather.inputs[1]), int(gather.outputs[0])
    shape = [int(size) for size in graph.tensors[rows].shape]
    count = int(np.prod(shape[:-1]))
    flat_ids = add_tensor(graph, schema.TensorType.INT32, [count])
    flat_rows = add_tensor(graph, schema.TensorType.FLOAT32, [count, width])
    return [
        reshape(model, ids, flat_ids, [count]),
        make_operator(model, schema.BuiltinOperator.EMBEDDING_LOOKUP, [flat_ids, table], [flat_rows]),
        reshape(model, flat_rows, rows, shape),
    ]


def quantize_positions(model: Any) -> None:
    """Stores tables of positions once, in 8 bits with one scale, and makes float32 of the rows that are read."""
    share_prefixes(model, SAME_TABLE)
    for uses in tables(model):
        values = float_values(model, uses[0].tensor)
        scale = np.abs(values).max() / 127
        buffer = add_buffer(model, np.rint(values / scale).astype(np.int8))
        for use in uses:
            _read_positions(model, use, buffer, affine([scale], [0]))


def _read_positions(model: Any, use: Use, buffer: int, quantization: Any) -> None:
    if operator_name(model, use.operator) == "ADD":  # the longest one, read whole
        read_rows(model, use, use.tensor.buffer, int(use.tensor.shape[-2]))
        slice_ = use.graph.operators[next(n for n, o in enumerate(use.graph.operators) if o is use.operator) - 1]
        use = Use(use.graph, slice_, 0)
    graph, reader = use.graph, use.operator
    table = like(graph, int(reader.inputs[use.place]), schema.TensorType.INT8, quantization)
    graph.tensors[table].buffer = buffer
    set_input(reader, use.place, table)
    _give_back(model, graph, reader, schema.TensorType.INT8, quantization)


def _is_matrix(model: Any, use: Use) -> bool:
    name, tensor = operator_name(model, use.operator), use.tensor
    if TYPES[tensor.type] != "float32" or len(tensor.shape) != 2:
        return False
    options = use.operator.builtinOptions
    gathers = name == "GATHER" and use.place == 0 and options.axis == 0 and not options.batchDims
    return gathers or (name == "FULLY_CONNECTED" and use.place == 1)
