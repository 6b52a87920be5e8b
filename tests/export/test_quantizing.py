"""Weights in 16, 8 and 4 bits, in a model made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_transformer.export import checks, quantizing
from keras_transformer.export.flatbuffer import TYPES, operator_name, operators, read_model, signatures
from keras_transformer.export.slimming import slim
from keras_transformer.quantization import BLOCKS_OF_4_BITS, ROWS_OF_8_BITS, round_to
from tests.export.tiny_lite import IDS, INSIDE, PIECES, WIDTH, run, tiny_model

TO = {"float16": quantizing.to_float16, "int8": quantizing.to_int8, "int4": quantizing.to_int4}
WEIGHTS = PIECES * WIDTH + 2 * INSIDE * WIDTH + INSIDE


@pytest.fixture(autouse=True)
def _small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SMALLEST_WEIGHT", 4096)


def rewritten(precision: str) -> Any:
    model = tiny_model()
    TO[precision](model)
    slim(model)
    return model


@pytest.mark.parametrize(("precision", "error"), [("float16", 0.002), ("int8", 0.03), ("int4", 0.25)])
@pytest.mark.parametrize("signature", ["long", "short"])
def test_the_answers_are_nearly_the_same(precision: str, error: float, signature: str, tmp_path: Path) -> None:
    whole = run(tiny_model(), tmp_path / "whole.tflite", signature)
    found = run(rewritten(precision), tmp_path / "x.tflite", signature)
    assert 0 < np.abs(found - whole).max() < error * np.abs(whole).max()
    assert [np.corrcoef(a, b)[0, 1] > 0.97 for a, b in zip(found, whole, strict=True)] == [True] * len(whole)


@pytest.mark.parametrize("precision", TO)
def test_a_runtime_without_xnnpack_gives_the_same(precision: str, tmp_path: Path) -> None:
    """The plain kernels of other runtimes: they know no RELU behind blocks of 4 bits, say."""
    expected = run(rewritten(precision), tmp_path / "x.tflite")
    plain = Interpreter(
        model_path=str(tmp_path / "x.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    found = plain.get_signature_runner("long")(ids=np.array(IDS, np.int32))["logits"]
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize(("precision", "bytes_a_weight"), [("float16", 2), ("int8", 1), ("int4", 0.5 + 2 / 32)])
def test_every_weight_is_stored_once_and_small(precision: str, bytes_a_weight: float, tmp_path: Path) -> None:
    run(rewritten(precision), tmp_path / "x.tflite")
    model = read_model(tmp_path / "x.tflite")
    stored = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    positions = 16 * len(IDS) * WIDTH * (2 if precision == "float16" else 1)
    assert stored < WEIGHTS * bytes_a_weight + positions + 4 * INSIDE + 300
    checks.check_weights_once(model, "x")
    checks.check_rewritten(model, "x", precision)
    checks.check_operators(model, "x")
    assert signatures(model) == signatures(tiny_model())


def test_one_matrix_is_looked_up_from_and_multiplied_with() -> None:
    model = rewritten("int8")
    read = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if (name := operator_name(model, operator)) in ("EMBEDDING_LOOKUP", "FULLY_CONNECTED"):
                tensor = graph.tensors[operator.inputs[1]]
                read.setdefault(tensor.buffer, set()).add(name)
                assert TYPES[tensor.type] == "int8"
    assert [names for names in read.values() if len(names) == 2] == [{"EMBEDDING_LOOKUP", "FULLY_CONNECTED"}]
    assert len(read) == 3


def test_four_bits_are_packed_as_tflite_wants(tmp_path: Path) -> None:
    """What EMBEDDING_LOOKUP gives of a table in blocks is the rounded table."""
    model = tiny_model()
    table = next(matrix for matrix in quantizing.matrices(model) if len(matrix.values) == PIECES).values
    numbers, scales = round_to(table, BLOCKS_OF_4_BITS)
    expected = (numbers.reshape(PIECES, -1, 32) * scales[..., None]).reshape(table.shape)
    quantizing.to_int4(model)
    graph = model.subgraphs[0]
    lookup = next(one for one in graph.operators if operator_name(model, one) == "EMBEDDING_LOOKUP")
    (item,) = model.signatureDefs[0].outputs
    item.tensorIndex = int(lookup.outputs[0])
    graph.outputs = np.array([item.tensorIndex], np.int32)
    np.testing.assert_array_equal(run(model, tmp_path / "x.tflite"), expected[list(IDS)])


def test_rows_that_are_no_blocks_have_eight_bits(tmp_path: Path) -> None:
    model = tiny_model(width=24)
    expected = run(model, tmp_path / "whole.tflite")
    quantizing.to_int4(model)
    types = {
        tuple(tensor.shape): TYPES[tensor.type]
        for graph in model.subgraphs
        for tensor in graph.tensors
        if TYPES[tensor.type] in ("int4", "int8") and len(tensor.shape) == 2
    }
    assert types == {(PIECES, 24): "int8", (INSIDE, 24): "int8", (24, INSIDE): "int4"}
    np.testing.assert_allclose(run(model, tmp_path / "x.tflite"), expected, atol=0.25 * np.abs(expected).max())


def test_relu_is_parted_from_products_in_blocks() -> None:
    counted = {name: operators(rewritten(name))["long"] for name in ("int8", "int4")}
    assert counted["int8"]["RELU"] == 0
    assert counted["int4"]["RELU"] == 1


# The grids


@pytest.mark.parametrize("grid", [ROWS_OF_8_BITS, BLOCKS_OF_4_BITS])
def test_rounding_is_to_the_nearest(grid: Any) -> None:
    matrix = np.random.default_rng(1).normal(0, 1, (20, 64)).astype(np.float32)
    matrix[3] = 0
    numbers, scales = round_to(matrix, grid)
    assert scales.shape == (20, 64 // (grid.block or 64))
    assert (np.abs(numbers) <= grid.largest + (grid.block is not None)).all()
    steps = np.repeat(scales, grid.block or 64, axis=1)
    off = np.abs(numbers * steps - matrix)
    inside = np.abs(matrix) <= steps * grid.largest
    assert (off[inside] <= steps[inside] / 2 * 1.0001).all()
    assert not numbers[3].any()
    assert np.isfinite(scales).all()
    assert (scales > 0).all()


def test_eight_bits_keep_the_largest_of_a_row() -> None:
    matrix = np.array([[1.0, -2.54], [0.5, 0.1]], np.float32)
    numbers, scales = round_to(matrix, ROWS_OF_8_BITS)
    np.testing.assert_array_equal(numbers, [[50, -127], [127, 25]])
    np.testing.assert_allclose(scales[:, 0], [0.02, 0.5 / 127], rtol=1e-6)


def test_a_block_clips_what_stands_alone() -> None:
    """A scale for the one large weight would round all others to nothing."""
    block = np.full((1, 32), 0.5, np.float32)
    block[0, 0] = 1.0
    best, scales = round_to(block, BLOCKS_OF_4_BITS)
    plain = np.rint(block * 7) / 7
    assert np.square(best * scales - block).sum() < np.square(plain - block).sum()
    assert scales[0, 0] == np.float16(scales[0, 0]), "what float16 holds"
