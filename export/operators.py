"""What a `.tflite` file consists of, signature by signature: which operators, how many, and the weights they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_transformer.export.flatbuffer import operator_name

GRAPHS = ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex")  # of WHILE and IF


def operators_of(model: Any) -> dict[str, dict[str, dict[str, int]]]:
    """Returns, for each signature of a `ModelT`, its operators: `count` and `weight_bytes` by name, most bytes first.

    Loops and branches are counted with all they hold, once. A constant belongs to the first operator that takes it;
    signatures share constants, so that their bytes do not add up to the file's.

    Example:
        ```python
        operators_of(read_model("model.tflite"))["classify"]["FULLY_CONNECTED"]["weight_bytes"]
        ```
    """
    return {
        definition.signatureKey.decode(): _counted(model, definition.subgraphIndex)
        for definition in model.signatureDefs or []
    }


def _counted(model: Any, first: int) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    seen = set()
    for number in _reachable(model, first):
        graph = model.subgraphs[number]
        for operator in graph.operators:
            entry = found.setdefault(operator_name(model, operator), {"count": 0, "weight_bytes": 0})
            entry["count"] += 1
            for tensor in operator.inputs:
                buffer = graph.tensors[tensor].buffer if tensor >= 0 else 0
                data = model.buffers[buffer].data
                if data is not None and buffer not in seen:
                    seen.add(buffer)
                    entry["weight_bytes"] += len(data)
    order = sorted(found, key=lambda name: (-found[name]["weight_bytes"], -found[name]["count"], name))
    return {name: found[name] for name in order}


def _reachable(model: Any, first: int) -> Iterator[int]:
    """Yields the numbers of a graph and of all that it calls, each once."""
    waiting, seen = [first], {first}
    while waiting:
        number = waiting.pop(0)
        yield number
        for operator in model.subgraphs[number].operators:
            called = [getattr(operator.builtinOptions, name, None) for name in GRAPHS]
            new = [graph for graph in called if graph is not None and graph not in seen]
            waiting += new
            seen.update(new)
