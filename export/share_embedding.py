"""Lets an int8 file hold a tied embedding once.

The converter stores a tied matrix twice: with one scale a row for the matrix product, and with one scale for all rows
for the look-up. This second one it turns back into float32 as a whole at every call and hands it to the loop, or else
row by row. TFLite's EMBEDDING_LOOKUP reads rows with a scale each: it takes them from the matrix of the product, and
the second matrix, its float32 copy and the way of that through the loop go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_transformer.export.flatbuffer import operator_name


def share_embedding(model: Any) -> bool:
    """Changes a `ModelT` so, and returns whether there was something to change."""
    places = [
        (graph, operator, matrix)
        for graph in model.subgraphs
        for operator in graph.operators
        if operator_name(model, operator) == "DEQUANTIZE"
        and (matrix := _product_matrix(model, graph.tensors[operator.inputs[0]])) is not None
        and _only_looked_up(model, graph, operator.outputs[0])
    ]
    rows = list(_gathered_rows(model))
    tables = {graph.tensors[operator.inputs[0]].buffer for graph, operator, *_ in [*places, *rows]}
    for graph, dequantize, matrix in places:
        graph.operators.remove(dequantize)
        _look_up(model, graph, dequantize.outputs[0], matrix)
    for graph, gather, dequantize, matrix in rows:
        gather.outputs = dequantize.outputs
        graph.operators.remove(dequantize)
        at = graph.operators.index(gather)
        graph.operators[at : at + 1] = _look_up_operators(model, graph, gather, matrix)
    for buffer in tables - set(_buffers_in_use(model)):
        model.buffers[buffer].data = None
    return bool(places or rows)


def _gathered_rows(model: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yields where rows are gathered from an int8 table and then made float32: graph, GATHER, DEQUANTIZE, matrix."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator_name(model, operator) != "GATHER" or operator.builtinOptions.axis != 0:
                continue
            uses = _uses(graph, operator.outputs[0])
            if len(uses) == 1 and operator_name(model, uses[0]) == "DEQUANTIZE":
                matrix = _product_matrix(model, graph.tensors[operator.inputs[0]])
                if matrix is not None:
                    yield graph, operator, uses[0], matrix


def _buffers_in_use(model: Any) -> Iterator[int]:
    for graph in model.subgraphs:
        for operator in graph.operators:
            yield from (graph.tensors[i].buffer for i in operator.inputs if i >= 0)


def _product_matrix(model: Any, table: Any) -> Any:
    """Returns the matrix of a FULLY_CONNECTED that holds the same numbers as `table`, with a scale for each row."""
    if table.type != schema.TensorType.INT8 or model.buffers[table.buffer].data is None:
        return None
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator_name(model, operator) == "FULLY_CONNECTED":
                matrix = graph.tensors[operator.inputs[1]]
                if matrix.type == table.type == schema.TensorType.INT8 and _rows_alike(model, table, matrix):
                    return matrix
    return None


def _rows_alike(model: Any, table: Any, matrix: Any) -> bool:
    """Returns whether two quantised matrices stand for the same numbers, as far as 8 bits tell."""
    scales, data = matrix.quantization.scale, [model.buffers[tensor.buffer].data for tensor in (table, matrix)]
    if list(table.shape) != list(matrix.shape) or len(scales) != matrix.shape[0] or any(one is None for one in data):
        return False
    step = float(table.quantization.scale[0])
    whole, rows = (np.asarray(one, np.uint8).view(np.int8).reshape(matrix.shape).astype(np.float32) for one in data)
    return bool(np.abs(whole * step - rows * np.asarray(scales, np.float32)[:, None]).max() < step)


def _uses(graph: Any, tensor: int) -> list[Any]:
    return [operator for operator in graph.operators if tensor in list(operator.inputs)]


def _loops(model: Any, graph: Any, tensor: int) -> Iterator[tuple[Any, int, Any, Any]]:
    """Yields the loops that a tensor is handed to: operator, place among its inputs, condition, body."""
    for operator in _uses(graph, tensor):
        if operator_name(model, operator) == "WHILE":
            options = operator.builtinOptions
            place = list(operator.inputs).index(tensor)
            condition, body = (model.subgraphs[i] for i in (options.condSubgraphIndex, options.bodySubgraphIndex))
            yield operator, place, condition, body


def _only_looked_up(model: Any, graph: Any, tensor: int) -> bool:
    """Returns whether a table is only gathered from, here and in loops that hand it on unchanged."""
    for operator in _uses(graph, tensor):
        if operator_name(model, operator) == "GATHER" and operator.inputs[0] == tensor:
            options = operator.builtinOptions
            if options.axis != 0 or options.batchDims != 0:
                return False
        elif operator_name(model, operator) != "WHILE" or list(operator.inputs).count(tensor) > 1:
            return False
    for operator, place, condition, body in _loops(model, graph, tensor):
        inside = body.inputs[place]
        if body.outputs[place] != inside or _uses(condition, condition.inputs[place]):
            return False
        if _uses(graph, operator.outputs[place]) or not _only_looked_up(model, body, inside):
            return False
    return True


def _look_up(model: Any, graph: Any, tensor: int, matrix: Any) -> None:
    """Puts look-ups in `matrix` in the place of gathers from `tensor`, here and in the loops that it is handed to."""
    for operator, place, condition, body in list(_loops(model, graph, tensor)):
        inside = body.inputs[place]
        for holder in (operator, body):
            holder.inputs, holder.outputs = np.delete(holder.inputs, place), np.delete(holder.outputs, place)
        condition.inputs = np.delete(condition.inputs, place)
        _look_up(model, body, inside, matrix)
    for operator in _uses(graph, tensor):
        at = graph.operators.index(operator)
        graph.operators[at : at + 1] = _look_up_operators(model, graph, operator, matrix)


def _look_up_operators(model: Any, graph: Any, gather: Any, matrix: Any) -> list[Any]:
    """Returns the operators in place of a GATHER: EMBEDDING_LOOKUP takes ids `[n]` and gives rows `[n, w]`."""
    ids, rows = graph.tensors[gather.inputs[1]], graph.tensors[gather.outputs[0]]
    count = int(np.prod(ids.shape))
    flat_ids = _add_tensor(graph, ids, [count], b"embedding_ids")
    flat_rows = _add_tensor(graph, rows, [count, int(matrix.shape[1])], b"embedding_rows")
    graph.tensors.append(copy.copy(matrix))
    table = len(graph.tensors) - 1
    return [
        _reshape(model, gather.inputs[1], flat_ids, [count]),
        _operator(model, schema.BuiltinOperator.EMBEDDING_LOOKUP, [flat_ids, table], [flat_rows]),
        _reshape(model, flat_rows, gather.outputs[0], [int(size) for size in rows.shape]),
    ]


def _add_tensor(graph: Any, like: Any, shape: list[int], name: bytes) -> int:
    tensor = copy.copy(like)
    tensor.shape, tensor.shapeSignature, tensor.name, tensor.buffer = np.array(shape, np.int32), None, name, 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _reshape(model: Any, source: int, target: int, shape: list[int]) -> Any:
    operator = _operator(model, schema.BuiltinOperator.RESHAPE, [source], [target])
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = np.array(shape, np.int32)
    return operator


def _operator(model: Any, code: int, inputs: list[int], outputs: list[int]) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = _code_index(model, code)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return operator


def _code_index(model: Any, code: int) -> int:
    """Returns the place of an operator among those that the model lists, adding it if it is new."""
    for index, known in enumerate(model.operatorCodes):
        if known.builtinCode == code:
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = added.deprecatedBuiltinCode = code
    # TFLite's table of versions: EMBEDDING_LOOKUP reads rows of int8 with a scale each from version 4 on.
    added.version = 4 if code == schema.BuiltinOperator.EMBEDDING_LOOKUP else 1
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1
