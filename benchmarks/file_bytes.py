"""Where the bytes of a `.tflite` file go: python benchmarks/file_bytes.py dist/mine/model.int8.tflite [--top 12]"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from keras_transformer.export.flatbuffer import TYPES, operator_name, read_model

KINDS = {  # of a constant, by who reads it
    "FULLY_CONNECTED 1": "matrices",
    "FULLY_CONNECTED 2": "biases",
    "EMBEDDING_LOOKUP 1": "tables",
    "DEQUANTIZE 0": "matrices",
    "WHILE": "what loops begin with",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--top", type=int, default=12, help="how many constants to list")
    arguments = parser.parse_args()
    model, size = read_model(arguments.file), arguments.file.stat().st_size
    readers = constants(model)
    kinds: Counter[str] = Counter()
    for buffer, (names, _) in readers.items():
        found = [KINDS.get(name, KINDS.get(name.split()[0], "other constants")) for name in sorted(names)]
        kinds[found[0]] += len(model.buffers[buffer].data)
    kinds["scales and zero points"] = quantization_bytes(model)
    kinds["names of tensors"] = sum(len(t.name or b"") for graph in model.subgraphs for t in graph.tensors)
    kinds["graphs and the rest"] = size - sum(kinds.values())
    tensors, operators = (sum(len(getattr(g, name)) for g in model.subgraphs) for name in ("tensors", "operators"))
    print(f"{arguments.file}: {size:,} bytes, {tensors:,} tensors, {operators:,} operators")
    for kind, count in kinds.most_common():
        print(f"{count:12,}  {count / size:6.1%}  {kind}")
    print("The largest constants:")
    largest = sorted(readers.items(), key=lambda item: -len(model.buffers[item[0]].data))
    for buffer, (names, tensor) in largest[: arguments.top]:
        shape = [int(n) for n in tensor.shape]
        print(f"{len(model.buffers[buffer].data):12,}  {TYPES[tensor.type]}{shape}  {', '.join(sorted(names))}")


def constants(model: Any) -> dict[int, tuple[set[str], Any]]:
    """Returns, by the number of its buffer, who reads each constant, and a tensor that holds it."""
    found: dict[int, tuple[set[str], Any]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            for place, number in enumerate(operator.inputs):
                tensor = graph.tensors[number]
                data = model.buffers[tensor.buffer].data if number >= 0 else None
                if data is not None and len(data):
                    found.setdefault(tensor.buffer, (set(), tensor))[0].add(f"{operator_name(model, operator)} {place}")
    return found


def quantization_bytes(model: Any) -> int:
    """Returns the bytes of all scales and zero points, those that are the same counted once."""
    seen = {
        values.tobytes()
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.quantization is not None
        for values in (tensor.quantization.scale, tensor.quantization.zeroPoint)
        if values is not None
    }
    return sum(map(len, seen))


if __name__ == "__main__":
    main()
