"""Reads and writes what a `.tflite` file consists of, with the schema that ai-edge-litert brings along."""

from __future__ import annotations

import functools
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
    """Writes what is the same once: it knows where it wrote it."""

    def __init__(self, size: int):
        super().__init__(size)
        self.written: dict[Any, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self.written:
            self.written[key] = super().CreateNumpyVector(x)
        return self.written[key]


@functools.cache
def _shared(kind: Any) -> Any:
    """Returns the class of a table, such that those of the same content are written once.

    Most of a model's tensors are alike: a shape and a type. A file may point to one table from many places.
    """

    def pack(self: Any, builder: SharingBuilder) -> int:
        key = _content(self)
        if key not in builder.written:
            builder.written[key] = kind.Pack(self, builder)
        return builder.written[key]

    return type(kind.__name__, (kind,), {"Pack": pack, "shared": kind})


def _content(value: Any) -> Any:
    """Returns what tells a table, or a value of one, from others; hashable."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(map(_content, value))
    if hasattr(value, "Pack"):
        kind = getattr(type(value), "shared", type(value))
        return kind, tuple((name, _content(part)) for name, part in vars(value).items())
    return value


def _share(owner: Any, name: str) -> None:
    """Has a table that belongs to another be written once."""
    table = getattr(owner, name)
    if table is not None and not hasattr(type(table), "shared"):
        table.__class__ = _shared(table.__class__)


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Writes a `ModelT`; tables of the same content stand in the file once."""
    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.shape = None if tensor.shape is None else np.asarray(tensor.shape, np.int32)
            _share(tensor, "quantization")
            tensor.__class__ = _shared(schema.TensorT)
        for operator in graph.operators:
            _share(operator, "builtinOptions")
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
    """Returns, by the number of its buffer, every constant of at least so many bytes; each buffer once.

    Those of 4 bits come as the bytes they are packed in.
    """
    found = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) >= smallest and tensor.buffer not in found:
                dtype = TYPES[tensor.type]
                raw = np.asarray(data, np.uint8)
                if dtype == "int4":
                    found[tensor.buffer] = raw
                    continue
                known = ("float32", "float16", "int8", "int32")
                whole = np.frombuffer(raw.tobytes(), dtype) if dtype in known else raw
                found[tensor.buffer] = whole.reshape([int(size) for size in tensor.shape])
    return found


def _spec(tensor: Any) -> TensorSpec:
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return TensorSpec(TYPES[tensor.type], tuple(int(size) for size in ([] if signature is None else signature)))
