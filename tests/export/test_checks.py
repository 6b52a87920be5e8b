"""Every check, with a file that is broken in just that way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_transformer.export import checks
from keras_transformer.export.checks import ExportError
from keras_transformer.export.convert import convert
from keras_transformer.export.flatbuffer import (
    AlignedBuffer,
    Signature,
    operator_name,
    read_model,
    signatures,
    write_model,
)
from keras_transformer.export.limits import Limits
from keras_transformer.export.progress import Steps
from keras_transformer.export.signatures import lite_signatures
from keras_transformer.export.text_artifact import RawAnswer, TextArtifact
from keras_transformer.export.verify import differences, keras_answers
from keras_transformer.generation import TextToText
from keras_transformer.generation.options import GREEDY
from tests.export.conftest import MAX_SOURCE_BYTES, MAX_TARGET_BYTES, write_run


@pytest.fixture(scope="module")
def expected(predictor: TextToText) -> dict[str, Signature]:
    """The signatures that the files of the fixture have."""
    return lite_signatures(predictor, Limits(MAX_SOURCE_BYTES, MAX_TARGET_BYTES), "translate", GREEDY)


@pytest.fixture
def model(artifact_path: Path) -> Any:
    return read_model(artifact_path / "model.tflite")


@pytest.fixture
def int8(artifact_path: Path) -> Any:
    return read_model(artifact_path / "model.int8.tflite")


def code(model: Any, number: int) -> Any:
    return next(found for found in model.operatorCodes if found.builtinCode == number)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_good_file_passes(
    artifact_path: Path, predictor: TextToText, expected: dict[str, Signature], precision: str
) -> None:
    name = {"float32": "model.tflite", "int8": "model.int8.tflite"}[precision]
    checks.check_file(artifact_path / name, precision, expected, predictor.model.count_params())


@pytest.mark.parametrize("custom", [b"FlexErf", b"TFText>FastWordpiece"])
def test_flex_and_custom_operators(model: Any, tmp_path: Path, expected: dict[str, Signature], custom: bytes) -> None:
    changed = code(model, schema.BuiltinOperator.CUMSUM)
    changed.builtinCode = changed.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    changed.customCode = custom
    write_model(model, tmp_path / "x.tflite")
    with pytest.raises(ExportError, match=rf"^x.tflite: operators that are not built into TFLite: {custom.decode()}$"):
        checks.check_file(tmp_path / "x.tflite", "float32", expected, 1)


def test_variables(model: Any) -> None:
    code(model, schema.BuiltinOperator.CUMSUM).builtinCode = schema.BuiltinOperator.VAR_HANDLE
    with pytest.raises(ExportError, match=r"x: weights are left as variables \(VAR_HANDLE\) and would be lost"):
        checks.check_variables(model, "x")


def test_a_further_signature(model: Any, expected: dict[str, Signature]) -> None:
    _translate(model).signatureKey = b"serving_default"
    names = "decode_step, detokenize, encode, serving_default, expected translate, encode, decode_step, detokenize"
    with pytest.raises(ExportError, match=rf"x: signatures {names}$"):
        checks.check_signatures(model, "x", expected)
    model.signatureDefs = None
    with pytest.raises(ExportError, match=r"x: signatures none, expected translate, encode"):
        checks.check_signatures(model, "x", expected)


def test_signatures_of_other_names_types_and_shapes(model: Any, expected: dict[str, Signature]) -> None:
    signature = _translate(model)
    text = next(item for item in signature.inputs if item.name == b"text")
    tensor = model.subgraphs[signature.subgraphIndex].tensors[text.tensorIndex]
    tensor.shape = np.array([1, 9], np.int32)
    with pytest.raises(ExportError, match=r"translate has inputs text uint8\[1, 9\].*, expected text uint8\[1, 48\]"):
        checks.check_signatures(model, "x", expected)
    tensor.shapeSignature = np.array([-1, MAX_SOURCE_BYTES], np.int32)
    with pytest.raises(ExportError, match=r"inputs text uint8\[-1, 48\]"):
        checks.check_signatures(model, "x", expected)
    tensor.shapeSignature, tensor.shape = None, np.array([1, MAX_SOURCE_BYTES], np.int32)
    tensor.type = schema.TensorType.INT32
    with pytest.raises(ExportError, match=r"inputs text int32\[1, 48\]"):
        checks.check_signatures(model, "x", expected)
    tensor.type, text.name = schema.TensorType.UINT8, b"args_0"
    with pytest.raises(ExportError, match=r"inputs args_0 uint8\[1, 48\]"):
        checks.check_signatures(model, "x", expected)


def test_a_file_without_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(b"0" * 2000)
    checks.check_size(path, "int8", 2000)
    with pytest.raises(ExportError, match=r"x.tflite has 2,000 bytes, its 2,000 weights alone take 8,000"):
        checks.check_size(path, "float32", 2000)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_weight_stored_twice(model: Any, transposed: bool) -> None:
    graph = model.subgraphs[0]
    large = next(
        t for t in graph.tensors if t.type == schema.TensorType.FLOAT32 and _size(model, t) >= checks.SMALLEST_WEIGHT
    )
    values = np.asarray(model.buffers[large.buffer].data, np.uint8).view(np.float32).reshape(large.shape)
    buffer, tensor = AlignedBuffer(), schema.TensorT()
    values = np.ascontiguousarray(values.T) if transposed else values
    buffer.data = values.view(np.uint8).ravel()
    model.buffers.append(buffer)
    tensor.type, tensor.shape, tensor.buffer = large.type, list(values.shape), len(model.buffers) - 1
    graph.tensors.append(tensor)
    with pytest.raises(
        ExportError, match=rf"x: a weight of shape \[{values.shape[0]}, {values.shape[1]}\] is stored twice"
    ):
        checks.check_weights_once(model, "x")


def test_weights_that_are_not_quantised(model: Any, int8: Any) -> None:
    checks.check_rewritten(int8, "x", "int8")
    with pytest.raises(ExportError, match=r"x: a weight of (GATHER|FULLY_CONNECTED) in \w+ is float32, not int8"):
        checks.check_rewritten(model, "x", "int8")


def test_dequantised_in_the_loop(int8: Any) -> None:
    body = next(graph for graph in int8.subgraphs if b"while_body" in graph.name)
    changed = code(int8, schema.BuiltinOperator.SOFTMAX)
    changed.builtinCode = changed.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    checks.check_rewritten(int8, "x", "int8")  # what was computed may be turned back
    operator = next(one for one in body.operators if operator_name(int8, one) == "DEQUANTIZE")
    product = next(one for one in body.operators if operator_name(int8, one) == "FULLY_CONNECTED")
    operator.inputs = product.inputs[1:2]
    with pytest.raises(ExportError, match=r"x: while_body\w* turns int8 values back at every step"):
        checks.check_rewritten(int8, "x", "int8")


def test_a_saved_model_with_its_weights_twice(artifact_path: Path, predictor: TextToText, tmp_path: Path) -> None:
    folder, weights = tmp_path / "saved_model", predictor.model.count_params()
    shutil.copytree(artifact_path / "saved_model", folder)
    checks.check_saved_model(folder, weights)
    shard = next(folder.glob("variables/*.data-*"))
    shutil.copy(shard, shard.with_name(shard.name.replace("00000-of", "00001-of")))
    with pytest.raises(ExportError, match=r"saved_model stores [\d,]+ bytes of variables, its weights take [\d,]+"):
        checks.check_saved_model(folder, weights)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ExportError, match=r"saved_model stores 0 bytes of variables"):
        checks.check_saved_model(folder, weights)


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_a_score_that_is_no_number(score: float) -> None:
    with pytest.raises(ExportError, match=rf"x: the answer to 'a man' has the score {score}"):
        checks.check_finite("x", "a man", [0.5, score])


def test_answers_that_differ_from_keras() -> None:
    tie = {"source": "a", "keras": "b", "file": "c", "tie": True}
    checks.check_same("x", [tie])
    with pytest.raises(
        ExportError,
        match=r"x: other answers than Keras gives to 1 .*, 'a' first: 'c' where Keras has 'b'$",
    ):
        checks.check_same("x", [tie, {**tie, "tie": False}])


def test_a_tie_is_told_from_a_mistake(tmp_path: Path) -> None:
    """Two pieces of one embedding have one logit: Keras takes the first, and the second would be as good."""
    import keras_transformer

    predictor = keras_transformer.load(write_run(tmp_path / "run"))
    source = [b"a man"]
    (answer,) = keras_answers(predictor, source, GREEDY, Steps(), "")
    embeddings = predictor.model.token_embedding.embeddings
    changed = embeddings.numpy()
    twin = max(answer.ids) + 1
    changed[twin] = changed[answer.ids[0]]
    embeddings.assign(changed)
    (answer,) = keras_answers(predictor, source, GREEDY, Steps(), "")
    rest = predictor.tokenizer.decode_bytes(answer.ids[1:])
    twins, other = (predictor.tokenizer.pieces[piece] + rest for piece in (twin, twin + 1))

    def found(text: bytes) -> list[bool]:
        return [one["tie"] for one in differences(predictor, source, [answer], [RawAnswer(text, 0.0, 0)], 512)]

    assert found(answer.text) == []
    assert found(twins) == [True]
    assert found(other) == [False]


# Conversion


def test_a_failed_conversion_keeps_the_log(tmp_path: Path) -> None:
    (tmp_path / "saved_model").mkdir()
    log = tmp_path / "x.conversion.log"
    with pytest.raises(
        ExportError, match=r"^the conversion to a.tflite failed: .*Error.*; its log: .*x.conversion.log$"
    ):
        convert(tmp_path / "saved_model", ["translate"], {"float32": tmp_path / "a.tflite"}, log)
    assert "Traceback" in log.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved_model", "x.conversion.log"]


def test_the_embedding_is_shared(int8: Any) -> None:
    """One matrix is looked up from and multiplied with."""
    tables = [
        tensor.buffer
        for graph in int8.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT8 and list(tensor.shape) == [270, 16] and _size(int8, tensor)
    ]
    assert len(tables) >= 3
    assert len(set(tables)) == 1


def test_writing_keeps_a_file_as_it_is(
    artifact_path: Path, model: Any, expected: dict[str, Signature], tmp_path: Path
) -> None:
    write_model(model, tmp_path / "x.tflite")
    again = read_model(tmp_path / "x.tflite")
    assert signatures(again) == expected
    assert TextArtifact(tmp_path / "x.tflite").run(b"a man") == TextArtifact(artifact_path / "model.tflite").run(
        b"a man"
    )
    assert _places(tmp_path / "x.tflite")
    assert not any(place % 16 for place in _places(tmp_path / "x.tflite")), "data must begin at multiples of 16"


def _places(path: Path) -> list[int]:
    """Returns where the data of each buffer begins in a file."""
    data = path.read_bytes()
    root = schema.Model.GetRootAs(data, 0)
    buffers = [root.Buffers(i) for i in range(root.BuffersLength())]
    return [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]


def _translate(model: Any) -> Any:
    """Returns the definition of the first signature, whatever its place."""
    return next(one for one in model.signatureDefs if one.signatureKey == b"translate")


def _size(model: Any, tensor: Any) -> int:
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)
