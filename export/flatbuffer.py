"""Reads and writes what a `.tflite` file consists of, with the schema that ai-edge-litert brings along."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
TYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
IDENTIFIER = b"TFL3"
ALIGNMENT = 16


class TensorSpec(NamedTuple):
    """Type and shape of an input or output."""

    dtype: str
    shape: tuple[int, ...]


class Signature(NamedTuple):
    """Inputs and outputs of a signature by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


def read_model(path: str | os.PathLike[str]) -> Any:
    """Returns a file's content as the schema's `ModelT`.

    Raises:
        ValueError: this is no `.tflite` file.
    """
    data = Path(path).read_bytes()
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"{path} is no .tflite file")
    return schema.ModelT.InitFromPackedBuf(data, 0)


class AlignedBuffer(schema.BufferT):
    """A buffer whose data begins at a multiple of 16 bytes, as TFLite wants and the schema's own `Pack` does not do."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if self.data is not None and len(self.data):
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head = builder.Head() - len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = np.asarray(self.data, np.uint8).tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class SharingBuilder(flatbuffers.Builder):
    """Knows where it wrote what is written once."""

    def __init__(self, size: int):
        super().__init__(size)
        self.written: dict[Any, int] = {}


class SharedQuantization(schema.QuantizationParametersT):
    """Scales and zero points that are written once for all tensors that have the same: a matrix has many rows, and a
    tensor in each part of a model that uses it."""

    def Pack(self, builder: SharingBuilder) -> int:
        parts = (self.scale, self.zeroPoint, self.min, self.max)
        key = (*(None if part is None else np.asarray(part).tobytes() for part in parts), self.quantizedDimension)
        if self.details is not None or key not in builder.written:
            builder.written[key] = super().Pack(builder)
        return int(builder.written[key])


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Writes a `ModelT`."""
    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization.__class__ = SharedQuantization
    builder = SharingBuilder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    Path(path).write_bytes(bytes(builder.Output()))


def operator_name(model: Any, operator: Any) -> str:
    """Returns the name of an operator, for a custom one its own: "ADD", "FlexErf"."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # older files have the second only
    if number == schema.BuiltinOperator.CUSTOM:
        return (code.customCode or b"CUSTOM").decode()
    return OPERATORS[number]


def custom_operators(model: Any) -> list[str]:
    """Returns the names of the operators that are not TFLite's own: Flex and custom ones."""
    known = set(OPERATORS.values()) - {"CUSTOM"}
    return sorted({name for counted in operators(model).values() for name in counted} - known)


def operators(model: Any) -> dict[str, Counter[str]]:
    """Returns how often each operator stands in each part of a model: "main", and the bodies of its loops."""
    found: dict[str, Counter[str]] = {}
    for number, graph in enumerate(model.subgraphs):
        name = (graph.name or b"").decode() or str(number)
        found[name if name not in found else f"{name}_{number}"] = Counter(
            operator_name(model, operator) for operator in graph.operators
        )
    return found


def signatures(model: Any) -> dict[str, Signature]:
    """Returns the signatures of a model."""
    found = {}
    for definition in model.signatureDefs or []:
        tensors = model.subgraphs[definition.subgraphIndex].tensors

        def specs(maps: Any, tensors: Any = tensors) -> dict[str, TensorSpec]:
            return {item.name.decode(): _spec(tensors[item.tensorIndex]) for item in maps or []}

        found[definition.signatureKey.decode()] = Signature(specs(definition.inputs), specs(definition.outputs))
    return found


def constants(model: Any, smallest: int) -> dict[int, np.ndarray]:
    """Returns, by the number of its buffer, every constant of at least so many bytes; each buffer once."""
    found = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) >= smallest and tensor.buffer not in found:
                dtype = TYPES[tensor.type]
                raw = np.asarray(data, np.uint8)
                whole = np.frombuffer(raw.tobytes(), dtype) if dtype in ("float32", "int8", "int32") else raw
                found[tensor.buffer] = whole.reshape([int(size) for size in tensor.shape])
    return found


def _spec(tensor: Any) -> TensorSpec:
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return TensorSpec(TYPES[tensor.type], tuple(int(size) for size in ([] if signature is None else signature)))
