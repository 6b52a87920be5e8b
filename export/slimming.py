"""Takes out of a `.tflite` file what it can do without, with the same answers.

What the converter leaves in a file with several loops, besides the weights (benchmarks/file_bytes.py shows it):

- tensors that no operator reads or writes;
- a name for every tensor, though a runtime asks for those of a signature's inputs and outputs alone;
- a buffer for every tensor that has no data;
- zeros, whole caches of them, which one FILL makes;
- a table of positions for each size, all of them beginnings of the longest one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_transformer.export.flatbuffer import TYPES, operator_name
from keras_transformer.export.rewriting import (
    Use,
    add_buffer,
    add_numbers,
    add_tensor,
    insert_before,
    like,
    make_operator,
    set_input,
    uses_of_constants,
)

SMALLEST_ZEROS = 1024  # bytes
SMALLEST_TABLE = 1024


def slim(model: Any) -> None:
    """Changes a `ModelT` so, whatever its precision."""
    drop_names(model)
    fill_zeros(model)
    share_prefixes(model)
    drop_tensors(model)
    share_buffers(model)


def drop_names(model: Any) -> None:
    """Leaves names to the tensors of signatures alone."""
    named = {definition.subgraphIndex for definition in model.signatureDefs or []}
    for number, graph in enumerate(model.subgraphs):
        kept = {*graph.inputs, *graph.outputs} if number in named else set()
        for place, tensor in enumerate(graph.tensors):
            if place not in kept:
                tensor.name = None
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is None and quantization.details is None:
                tensor.quantization = None


def fill_zeros(model: Any) -> None:
    """Has an operator make the float32 zeros that loops begin with."""
    for uses in uses_of_constants(model, SMALLEST_ZEROS).values():
        for (graph, number), readers in _by_tensor(uses).items():
            tensor = readers[0].tensor
            loops = all(operator_name(model, use.operator) == "WHILE" for use in readers)
            if not loops or tensor.type != schema.TensorType.FLOAT32 or any(model.buffers[tensor.buffer].data):
                continue
            value = add_tensor(graph, tensor.type, [], add_buffer(model, np.zeros((), np.float32)))
            shape = add_numbers(model, graph, tensor.shape)
            inputs, options = [shape, value], schema.FillOptionsT()
            tensor.buffer = 0
            graph.operators.insert(0, make_operator(model, schema.BuiltinOperator.FILL, inputs, [number], options))


def share_prefixes(model: Any, tolerance: float = 0.0) -> None:
    """Has tables of float32 rows that are the beginnings of a longer one read from that.

    Args:
        model: a `ModelT`.
        tolerance: by how much values may differ.
    """
    tables: list[tuple[np.ndarray, list[Use]]] = []
    for uses in uses_of_constants(model, SMALLEST_TABLE).values():
        first = uses[0].tensor
        if first.type == schema.TensorType.FLOAT32 and all(_is_table(model, use) for use in uses):
            data = np.asarray(model.buffers[first.buffer].data, np.uint8).tobytes()
            tables.append((np.frombuffer(data, np.float32).reshape(-1, int(first.shape[-1])), uses))
    longest: list[tuple[np.ndarray, int]] = []
    for values, uses in sorted(tables, key=lambda table: -len(table[0])):
        buffer = next((found for table, found in longest if _begins(table, values, tolerance)), None)
        if buffer is None:
            longest.append((values, uses[0].tensor.buffer))
            continue
        rows = next(len(table) for table, found in longest if found == buffer)
        for use in uses:
            read_rows(model, use, buffer, rows)


def read_rows(model: Any, use: Use, buffer: int, rows: int) -> None:
    """Has an operator read a table from a longer one: as it is if it takes rows of it, else through a SLICE."""
    graph, tensor = use.graph, use.tensor
    shape = [int(size) for size in tensor.shape]
    table = add_tensor(graph, tensor.type, [*shape[:-2], rows, shape[-1]], buffer)
    if operator_name(model, use.operator) in ("GATHER", "SLICE"):
        set_input(use.operator, use.place, table)
        return
    found = like(graph, int(use.operator.inputs[use.place]), tensor.type)
    begin, size = add_numbers(model, graph, [0] * len(shape)), add_numbers(model, graph, shape)
    options = schema.SliceOptionsT()
    slice_ = make_operator(model, schema.BuiltinOperator.SLICE, [table, begin, size], [found], options)
    insert_before(graph, use.operator, slice_)
    set_input(use.operator, use.place, found)


def drop_tensors(model: Any) -> None:
    """Drops the tensors that nothing in their graph reads or writes."""
    for number, graph in enumerate(model.subgraphs):
        lists = [(graph, "inputs"), (graph, "outputs")]
        lists += [(operator, name) for operator in graph.operators for name in ("inputs", "outputs", "intermediates")]
        used = {int(place) for owner, name in lists for place in _numbers(owner, name)} - {-1}
        used |= {scales for place in used if (scales := _scales(graph.tensors[place])) is not None}
        new = {old: place for place, old in enumerate(sorted(used))}
        for owner, name in lists:
            if getattr(owner, name) is not None:
                setattr(owner, name, np.array([new.get(int(i), -1) for i in _numbers(owner, name)], np.int32))
        for definition in model.signatureDefs or []:
            for item in [*definition.inputs, *definition.outputs] if definition.subgraphIndex == number else ():
                item.tensorIndex = new[item.tensorIndex]
        graph.tensors = [graph.tensors[old] for old in new]
        for tensor in graph.tensors:
            if (scales := _scales(tensor)) is not None:
                tensor.quantization.details.scales = new[scales]


def _numbers(owner: Any, name: str) -> Any:
    found = getattr(owner, name)
    return () if found is None else found


def _scales(tensor: Any) -> int | None:
    """Returns the number of the tensor that has a tensor's scales, if they are by blocks."""
    details = None if tensor.quantization is None else tensor.quantization.details
    return int(details.scales) if isinstance(details, schema.BlockwiseQuantizationT) else None


def share_buffers(model: Any) -> None:
    """Lets constants of the same bytes share a buffer, and drops the buffers that nobody needs."""
    kept, places, known = [model.buffers[0]], {0: 0}, {b"": 0}

    def place_of(buffer: int) -> int:
        if buffer not in places:
            data = model.buffers[buffer].data
            raw = b"" if data is None else np.asarray(data, np.uint8).tobytes()
            if raw not in known:
                known[raw] = len(kept)
                kept.append(model.buffers[buffer])
            places[buffer] = known[raw]
        return places[buffer]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place_of(tensor.buffer)
    for entry in model.metadata or []:
        entry.buffer = place_of(entry.buffer)
    model.metadataBuffer = None  # the way before there were entries
    model.buffers = kept


def _by_tensor(uses: list[Use]) -> dict[tuple[Any, int], list[Use]]:
    found: dict[tuple[Any, int], list[Use]] = {}
    for use in uses:
        found.setdefault((use.graph, int(use.operator.inputs[use.place])), []).append(use)
    return found


def _is_table(model: Any, use: Use) -> bool:
    """Returns whether a constant is rows, `[n, w]` or `[1, n, w]`, that are gathered, sliced or added."""
    shape = [int(size) for size in use.tensor.shape]
    name = operator_name(model, use.operator)
    is_rows = len(shape) >= 2 and int(np.prod(shape[:-2])) == 1 and shape[-1] > 1
    gathers = name == "GATHER" and use.place == 0 and len(shape) == 2 and use.operator.builtinOptions.axis == 0
    return is_rows and TYPES[use.tensor.type] == "float32" and (gathers or name == "ADD" or _begins_slice(model, use))


def _begins_slice(model: Any, use: Use) -> bool:
    """Returns whether an operator is a SLICE from the beginning of a constant."""
    if operator_name(model, use.operator) != "SLICE" or use.place != 0:
        return False
    data = model.buffers[use.graph.tensors[use.operator.inputs[1]].buffer].data
    return data is not None and not any(data)


def _begins(table: np.ndarray, values: np.ndarray, tolerance: float) -> bool:
    if table.shape[1] != values.shape[1] or len(table) < len(values):
        return False
    return bool(np.abs(table[: len(values)] - values).max() <= tolerance)
