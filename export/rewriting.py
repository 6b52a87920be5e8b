"""What changing a `.tflite` model takes: new tensors, constants and operators in a `ModelT`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_transformer.export.flatbuffer import AlignedBuffer, operator_name

# TFLite's table of versions: what a runtime must know to run an operator as it is written here.
VERSIONS = {
    schema.BuiltinOperator.EMBEDDING_LOOKUP: 4,  # rows of int8 with a scale each
    schema.BuiltinOperator.FULLY_CONNECTED: 12,  # float inputs, weights of int8 with a scale a row
    schema.BuiltinOperator.DEQUANTIZE: 3,  # of float16
    schema.BuiltinOperator.QUANTIZE: 2,
    schema.BuiltinOperator.SLICE: 2,  # of int8
}


class Use(NamedTuple):
    """Where a constant is read: the graph, the operator, and the constant's place among its inputs."""

    graph: Any
    operator: Any
    place: int

    @property
    def tensor(self) -> Any:
        """The constant as this operator has it."""
        return self.graph.tensors[self.operator.inputs[self.place]]


def uses_of_constants(model: Any, smallest: int) -> dict[int, list[Use]]:
    """Returns, by the number of its buffer, where each constant of at least so many bytes is read."""
    found: dict[int, list[Use]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            for place, tensor in enumerate(operator.inputs):
                buffer = graph.tensors[tensor].buffer if tensor >= 0 else 0
                data = model.buffers[buffer].data
                if data is not None and len(data) >= smallest:
                    found.setdefault(buffer, []).append(Use(graph, operator, place))
    return found


def float_values(model: Any, tensor: Any) -> np.ndarray:
    """Returns the content of a float32 constant."""
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return np.frombuffer(raw.tobytes(), np.float32).reshape([int(size) for size in tensor.shape])


def add_buffer(model: Any, values: np.ndarray) -> int:
    """Adds the bytes of an array, and returns the number of their buffer."""
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def add_tensor(graph: Any, dtype: int, shape: Sequence[int], buffer: int = 0, quantization: Any = None) -> int:
    """Adds a tensor, a constant if it has a buffer, and returns its number."""
    tensor = schema.TensorT()
    tensor.type, tensor.shape, tensor.buffer = dtype, np.array(shape, np.int32), buffer
    tensor.quantization, tensor.hasRank = quantization, True
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_numbers(model: Any, graph: Any, values: Sequence[int]) -> int:
    """Adds a constant int32 vector and returns the number of its tensor."""
    numbers = np.array(values, np.int32)
    return add_tensor(graph, schema.TensorType.INT32, numbers.shape, add_buffer(model, numbers))


def affine(scales: Sequence[float] | np.ndarray, zero_points: Sequence[int] | np.ndarray, axis: int = 0) -> Any:
    """Returns quantization with a scale and a zero point, or one for each entry of an axis."""
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.asarray(scales, np.float32)
    quantization.zeroPoint, quantization.quantizedDimension = np.asarray(zero_points, np.int64), axis
    return quantization


def make_operator(model: Any, code: int, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> Any:
    """Returns an operator; `options` are an object of its class of options, if it has one."""
    operator = schema.OperatorT()
    operator.opcodeIndex = _code_index(model, code)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    if options is not None:
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
    return operator


def reshape(model: Any, source: int, target: int, shape: Sequence[int]) -> Any:
    """Returns an operator that gives the values of a tensor another shape."""
    options = schema.ReshapeOptionsT()
    options.newShape = np.array(shape, np.int32)
    return make_operator(model, schema.BuiltinOperator.RESHAPE, [source], [target], options)


def replace(graph: Any, operator: Any, operators: Sequence[Any]) -> None:
    """Puts operators in the place of one."""
    at = _place(graph, operator)
    graph.operators[at : at + 1] = operators


def insert_before(graph: Any, operator: Any, added: Any) -> None:
    """Puts an operator before another."""
    graph.operators.insert(_place(graph, operator), added)


def set_input(operator: Any, place: int, tensor: int) -> None:
    """Has an operator read another tensor."""
    operator.inputs = np.array(operator.inputs, np.int32)
    operator.inputs[place] = tensor


def operators_of(model: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """Yields every operator of a kind with its graph; the graph may be changed meanwhile."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operator_name(model, operator) == name:
                yield graph, operator


def like(graph: Any, tensor: int, dtype: int, quantization: Any = None) -> int:
    """Adds a tensor of the shape of another, and returns its number."""
    added = copy.copy(graph.tensors[tensor])
    added.type, added.quantization, added.buffer, added.name = dtype, quantization, 0, None
    graph.tensors.append(added)
    return len(graph.tensors) - 1


def _place(graph: Any, operator: Any) -> int:
    return next(number for number, one in enumerate(graph.operators) if one is operator)


def _code_index(model: Any, code: int) -> int:
    """Returns the place of an operator among those that the model lists, adding it if it is new."""
    for index, known in enumerate(model.operatorCodes):
        if max(known.builtinCode, known.deprecatedBuiltinCode) == code:
            known.version = max(known.version, VERSIONS.get(code, 1))
            return index
    added = schema.OperatorCodeT()
    added.builtinCode, added.deprecatedBuiltinCode = code, min(code, 127)
    added.version = VERSIONS.get(code, 1)
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1
