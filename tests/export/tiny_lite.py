"""A `.tflite` model made by hand: a tied table, positions, two products. No converter is needed to change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_transformer.export.flatbuffer import write_model
from keras_transformer.export.rewriting import add_buffer, add_numbers, add_tensor, make_operator

BUILTIN = schema.BuiltinOperator
PIECES, WIDTH, INSIDE = 80, 32, 96
IDS = (7, 0, 79, 7)
SHORT = 3  # ids of the shorter signature


def tiny_model(seed: int = 0, width: int = WIDTH) -> Any:
    """Returns a `ModelT` of two signatures, `long` and `short`, that differ in how many ids they take."""
    random = np.random.default_rng(seed)
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [], []
    model.buffers, model.signatureDefs = [schema.BufferT()], []
    shapes = {"table": (PIECES, width), "in": (INSIDE, width), "in_bias": (INSIDE,), "out": (width, INSIDE)}
    values = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    values["table"] *= np.geomspace(0.2, 3, PIECES, dtype=np.float32)[:, None]  # rows of very different sizes
    buffers = {name: add_buffer(model, value) for name, value in values.items()}
    positions = np.sin(np.arange(len(IDS) * 16)[:, None] * np.geomspace(1, 0.01, width)).astype(np.float32)
    for name, count, rows in (("long", len(IDS), positions), ("short", SHORT, positions[: SHORT * 16])):
        _add_graph(model, name, count, values, buffers, add_buffer(model, rows), len(rows))
    return model


def run(model: Any, path: Path, signature: str = "long") -> np.ndarray:
    """Writes a model and returns its logits `[n, PIECES]` of the first n `IDS`."""
    write_model(model, path)
    runner = Interpreter(model_path=str(path)).get_signature_runner(signature)
    count = runner.get_input_details()["ids"]["shape"][0]
    return np.asarray(runner(ids=np.array(IDS[:count], np.int32))["logits"])


def _add_graph(
    model: Any, name: str, count: int, values: dict[str, np.ndarray], buffers: dict[str, int], rows: int, length: int
) -> None:
    """Logits of ids: each row of the table with a position, as many positions as `length`, of which `count` stay."""
    graph, width = schema.SubGraphT(), values["table"].shape[1]
    graph.name, graph.tensors, graph.operators = name.encode(), [], []
    model.subgraphs.append(graph)

    def tensor(*shape: int, buffer: int = 0, dtype: int = schema.TensorType.FLOAT32) -> int:
        number = add_tensor(graph, dtype, shape, buffer)
        graph.tensors[number].name = f"{name}/a_long_name/{number}".encode()
        return number

    def constant(which: str) -> int:
        return tensor(*values[which].shape, buffer=buffers[which])

    def add(code: int, inputs: list[int], output: int, options: Any = None) -> int:
        graph.operators.append(make_operator(model, code, inputs, [output], options))
        return output

    def product(x: int, matrix: str, bias: int, activation: int = 0) -> int:
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation
        return add(BUILTIN.FULLY_CONNECTED, [x, constant(matrix), bias], tensor(count, len(values[matrix])), options)

    ids = tensor(count, dtype=schema.TensorType.INT32)
    x = add(BUILTIN.GATHER, [constant("table"), ids], tensor(count, width), schema.GatherOptionsT())
    x = add(BUILTIN.RESHAPE, [x], tensor(1, count, width), _reshaped([1, count, width]))
    x = add(BUILTIN.TILE, [x, add_numbers(model, graph, [1, length // count, 1])], tensor(1, length, width))
    positions = tensor(1, length, width, buffer=rows)
    x = add(BUILTIN.ADD, [x, positions], tensor(1, length, width), schema.AddOptionsT())
    begin, size = (add_numbers(model, graph, part) for part in ([0, 1, 0], [1, count, width]))
    x = add(BUILTIN.SLICE, [x, begin, size], tensor(1, count, width), schema.SliceOptionsT())
    x = add(BUILTIN.RESHAPE, [x], tensor(count, width), _reshaped([count, width]))
    x = product(x, "in", constant("in_bias"), schema.ActivationFunctionType.RELU)
    logits = product(product(x, "out", -1), "table", -1)
    graph.inputs, graph.outputs = np.array([ids], np.int32), np.array([logits], np.int32)
    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = name.encode(), len(model.subgraphs) - 1
    definition.inputs, definition.outputs = [_map(b"ids", ids)], [_map(b"logits", logits)]
    model.signatureDefs.append(definition)


def _reshaped(shape: list[int]) -> Any:
    options = schema.ReshapeOptionsT()
    options.newShape = np.array(shape, np.int32)
    return options


def _map(name: bytes, tensor: int) -> Any:
    item = schema.TensorMapT()
    item.name, item.tensorIndex = name, tensor
    return item
