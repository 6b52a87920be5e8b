"""What a file can do without, in a model made by hand and in an exported one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_transformer.export.flatbuffer import operators, read_model, write_model
from keras_transformer.export.quantizing import to_int8
from keras_transformer.export.slimming import drop_tensors, share_prefixes, slim
from tests.export.tiny_lite import IDS, WIDTH, run, tiny_model


@pytest.mark.parametrize("signature", ["long", "short"])
def test_answers_stay_and_bytes_go(tmp_path: Path, signature: str) -> None:
    model = tiny_model()
    expected = run(model, tmp_path / "whole.tflite", signature)
    slim(model)
    np.testing.assert_array_equal(run(model, tmp_path / "slim.tflite", signature), expected)
    saved = (tmp_path / "whole.tflite").stat().st_size - (tmp_path / "slim.tflite").stat().st_size
    assert saved > 16 * 3 * WIDTH * 4, "the shorter table of positions at least"


def test_only_inputs_and_outputs_have_names() -> None:
    model = tiny_model()
    slim(model)
    for graph in model.subgraphs:
        named = {number for number, tensor in enumerate(graph.tensors) if tensor.name}
        assert named == {*graph.inputs, *graph.outputs}


def test_a_table_that_begins_a_longer_one_is_read_from_it() -> None:
    model = tiny_model()
    share_prefixes(model)
    assert [operators(model)[name]["SLICE"] for name in ("long", "short")] == [1, 2]
    slim(model)
    sizes = sorted(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    assert sizes.count(16 * len(IDS) * WIDTH * 4) == 1
    assert 16 * 3 * WIDTH * 4 not in sizes


def test_tables_that_differ_are_kept(tmp_path: Path) -> None:
    """The second is the first but for its last digits: alike for 8 bits, not for float32."""
    model = tiny_model()
    use = model.subgraphs[1]
    add = next(one for one in use.operators if one.builtinOptions.__class__.__name__ == "AddOptionsT")
    buffer = model.buffers[use.tensors[add.inputs[1]].buffer]
    values = np.frombuffer(np.asarray(buffer.data).tobytes(), np.float32) + np.float32(1e-5)
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    share_prefixes(model)
    assert operators(model)["short"]["SLICE"] == 1
    to_int8(model)
    assert operators(model)["short"]["SLICE"] == 2


def test_tensors_that_nobody_reads_go(tmp_path: Path) -> None:
    model = tiny_model()
    expected = run(model, tmp_path / "a.tflite")
    count = len(model.subgraphs[0].tensors)
    to_int8(model)
    grown = len(model.subgraphs[0].tensors)
    drop_tensors(model)
    assert count < len(model.subgraphs[0].tensors) < grown
    np.testing.assert_allclose(run(model, tmp_path / "b.tflite"), expected, atol=0.05 * np.abs(expected).max())


def test_an_exported_file_is_slim(artifact_path: Path, tmp_path: Path) -> None:
    model = read_model(artifact_path / "model.tflite")
    counted = operators(model)
    assert sum(part["FILL"] for part in counted.values()), "caches of zeros are made, not stored"
    assert not any(t.name for graph in model.subgraphs for t in graph.tensors if t.buffer and t.name)
    write_model(model, tmp_path / "before.tflite")
    slim(model)
    write_model(model, tmp_path / "after.tflite")
    sizes = [(tmp_path / name).stat().st_size for name in ("before.tflite", "after.tflite")]
    assert sizes[0] == sizes[1], "there is nothing left to do"
