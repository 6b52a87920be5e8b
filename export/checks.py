"""What must hold of an exported file. Each check is one function that raises with one line, or returns nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.export import flatbuffer
from keras_transformer.export.precisions import BY_NAME

VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")
LEAST_OF_WEIGHTS = 0.95  # biases that are alike are stored once
SMALLEST_WEIGHT = 16 * 1024  # bytes; smaller constants may repeat
SAVED_MODEL_SLACK = 1.05
ALIGNMENT_TOLERANCE = 1e-3


class ExportError(UserError):
    """An export that would not be right, and was not made."""


def check_file(path: Path, precision: str, expected: Mapping[str, flatbuffer.Signature], weights: int) -> None:
    """Checks all that can be seen in a file without running it.

    Args:
        path: of the file.
        precision: one of `precisions`.
        expected: the signatures it must have, and no others.
        weights: number of the model's weights.

    Raises:
        ExportError: it is not right.
    """
    model = flatbuffer.read_model(path)
    check_operators(model, path.name)
    check_variables(model, path.name)
    check_signatures(model, path.name, expected)
    check_size(path, precision, weights)
    check_weights_once(model, path.name)
    if precision != "float32":
        check_rewritten(model, path.name, precision)


def check_operators(model: Any, name: str) -> None:
    """Raises unless every operator is one of TFLite's own: others are missing on phones and web pages."""
    strange = flatbuffer.custom_operators(model)
    if strange:
        raise ExportError(f"{name}: operators that are not built into TFLite: {', '.join(strange)}")


def check_variables(model: Any, name: str) -> None:
    """Raises if a weight stayed a variable, which is empty where the file is loaded."""
    present = {operator for counted in flatbuffer.operators(model).values() for operator in counted}
    left = sorted(present.intersection(VARIABLES))
    if left:
        raise ExportError(f"{name}: weights are left as variables ({', '.join(left)}) and would be lost")


def check_signatures(model: Any, name: str, expected: Mapping[str, flatbuffer.Signature]) -> None:
    """Raises unless the signatures are exactly the expected ones, in names, types and shapes."""
    found = flatbuffer.signatures(model)
    if set(found) != set(expected):
        raise ExportError(f"{name}: signatures {', '.join(found) or 'none'}, expected {', '.join(expected)}")
    for key, signature in expected.items():
        for side in ("inputs", "outputs"):
            wanted, got = getattr(signature, side), getattr(found[key], side)
            if wanted != got:
                raise ExportError(f"{name}: {key} has {side} {_shown(got)}, expected {_shown(wanted)}")


def check_size(path: Path, precision: str, weights: int) -> None:
    """Raises if a file is too small to hold its weights."""
    size, least = path.stat().st_size, int(weights * BY_NAME[precision].weight_bytes)
    if size < least * LEAST_OF_WEIGHTS:
        raise ExportError(f"{path.name} has {size:,} bytes, its {weights:,} weights alone take {least:,}")


def check_weights_once(model: Any, name: str) -> None:
    """Raises if a large constant stands in a file twice, as it is or transposed."""
    seen: dict[bytes, int] = {}
    for number, values in flatbuffer.constants(model, SMALLEST_WEIGHT).items():
        if values.dtype not in (np.float32, np.float16, np.int8) or not values.any():
            continue
        for form in {values.tobytes(), np.ascontiguousarray(np.squeeze(values).T).tobytes()}:
            if form in seen:
                raise ExportError(f"{name}: a weight of shape {list(values.shape)} is stored twice")
        seen[values.tobytes()] = number


def check_rewritten(model: Any, name: str, precision: str) -> None:
    """Raises if a matrix or a table of embeddings is still float32, or is made float32 again at every step."""
    for number, graph in enumerate(model.subgraphs):
        for operator in graph.operators:
            kind = flatbuffer.operator_name(model, operator)
            is_back = kind == "DEQUANTIZE" and _constant_size(model, graph, operator.inputs[0]) > 0
            if is_back and number > 0 and precision != "float16":  # float16 is so once: runtimes see to it
                raise ExportError(f"{name}: {graph.name.decode()} turns {precision} values back at every step")
            place = {"FULLY_CONNECTED": 1, "GATHER": 0, "EMBEDDING_LOOKUP": 1}.get(kind)
            if place is None:
                continue
            tensor = graph.tensors[operator.inputs[place]]
            is_large = _constant_size(model, graph, operator.inputs[place]) >= SMALLEST_WEIGHT
            if is_large and flatbuffer.TYPES[tensor.type] == "float32":
                raise ExportError(f"{name}: a weight of {kind} in {graph.name.decode()} is float32, not {precision}")


def _constant_size(model: Any, graph: Any, tensor: int) -> int:
    """Returns the bytes of a constant; 0 for what is computed."""
    data = model.buffers[graph.tensors[tensor].buffer].data
    return 0 if data is None else len(data)


def check_saved_model(folder: Path, weights: int) -> None:
    """Raises if a SavedModel's variables take less or more than the weights: they are lost, or stored twice."""
    size = sum(path.stat().st_size for path in folder.glob("variables/variables.data-*"))
    least = weights * 4
    if not least <= size <= least * SAVED_MODEL_SLACK + SMALLEST_WEIGHT:
        raise ExportError(f"{folder.name} stores {size:,} bytes of variables, its weights take {least:,}")


def check_finite(name: str, shown: str, numbers: Iterable[float]) -> None:
    """Raises if a score or another number of an answer is none."""
    for number in numbers:
        if not np.isfinite(number):
            raise ExportError(f"{name}: the answer to {shown!r:.80} has the score {number}")


def check_same(name: str, differences: Sequence[Mapping[str, Any]]) -> None:
    """Raises if a float32 file answered a verification sentence otherwise than Keras, ties apart."""
    real = [found for found in differences if not found["tie"]]
    if real:
        first = real[0]
        raise ExportError(
            f"{name}: other answers than Keras gives to {len(real)} of the verification sentences, "
            f"{first['source']!r:.80} first: {first['file']!r:.80} where Keras has {first['keras']!r:.80}"
        )


def check_depends_on_source(name: str, answers: Sequence[bytes], whole: Sequence[bytes]) -> None:
    """Raises if a file's answers do not change with its sources, as those of the float32 file do.

    Files in few bits have lost their encoder before (https://github.com/tensorflow/tensorflow/issues/117052): they say
    the same whatever they are given. Each answer is compared with that to the source before it.

    Args:
        name: of the file.
        answers: to different sources, in order.
        whole: those of the float32 file.
    """
    changes = [number for number in range(1, len(whole)) if whole[number] != whole[number - 1]]
    kept = sum(answers[number] != answers[number - 1] for number in changes)
    if kept < len(changes) / 2:
        raise ExportError(
            f"{name}: it does not read its sources: {len(changes) - kept} of {len(changes)} answers are those to "
            "another source, where float32 has others"
        )


def check_alignment(name: str, text: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Raises if a float32 file's alignment of a sentence, `[answer words, text words]`, is not Keras's."""
    if found.shape != expected.shape or not np.allclose(found, expected, atol=ALIGNMENT_TOLERANCE):
        raise ExportError(f"{name}: another alignment than Keras's for {text!r:.80}")


def _shown(specs: Mapping[str, flatbuffer.TensorSpec]) -> str:
    return ", ".join(f"{name} {spec.dtype}{list(spec.shape)}" for name, spec in sorted(specs.items())) or "none"
