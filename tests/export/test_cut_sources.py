"""Files that read no more pieces of a source than the model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer import export as exporting
from keras_transformer.cli import main
from keras_transformer.export.limits import SOURCE_LONG, Limits
from keras_transformer.export.lite_module import LiteModule, Size, sizes
from keras_transformer.export.signatures import lite_signatures
from keras_transformer.export.tasks import find_task
from keras_transformer.export.text_task import TextOptions
from keras_transformer.generation import TextToText
from keras_transformer.generation.options import GREEDY
from keras_transformer.training import RunDirectory

BYTES, PLACES = 64, 12
LONG = b"the man rides a bike und the red Haus"


@pytest.fixture(scope="module")
def short_sighted(long_predictor: TextToText) -> TextToText:
    """A model that was trained on few pieces."""
    return TextToText(
        long_predictor.model, long_predictor.tokenizer, PLACES, max_target_length=long_predictor.max_target_length
    )


@pytest.fixture(scope="module")
def module(short_sighted: TextToText) -> LiteModule:
    return LiteModule(short_sighted, Limits(BYTES, 200, max_source_pieces=PLACES, align_heads=((0, 0),)))


def tensors(name: str, content: bytes, room: int) -> dict[str, tf.Tensor]:
    padded = [[*content, *bytes(room - len(content))]]
    return {name: tf.constant(padded, tf.uint8), f"{name}_length": tf.constant([len(content)])}


def test_a_long_source_is_answered_as_cut(module: LiteModule, short_sighted: TextToText) -> None:
    answer = tf.function(module.answer)
    for source in (b"the man", LONG):
        ids = short_sighted.tokenizer.encode(source)
        ((expected,),) = short_sighted.search([ids[:PLACES]], GREEDY)
        found = answer(**tensors("text", source, BYTES))
        text = found["text"].numpy()[0, : found["text_length"].numpy()[0]].tobytes()
        assert text == short_sighted.tokenizer.decode_bytes(expected.ids)
        assert bool(found["status"].numpy()[0] & SOURCE_LONG) == (len(ids) > PLACES) == (source == LONG)


def test_signatures_have_so_many_places(module: LiteModule, short_sighted: TextToText) -> None:
    limits = Limits(BYTES, 200, max_source_pieces=PLACES, align_heads=((0, 0),))
    expected = lite_signatures(short_sighted, limits, "summarize", GREEDY)
    for name, function in module.functions("summarize").items():
        given: dict[str, Any] = {key: tf.TensorSpec(spec.shape, spec.dtype) for key, spec in function.inputs.items()}
        traced = tf.function(function.call).get_concrete_function(**given)
        for side, found in (("inputs", function.inputs), ("outputs", traced.structured_outputs)):
            shapes = {key: (spec.dtype.name, tuple(spec.shape)) for key, spec in found.items()}
            assert shapes == {key: tuple(spec) for key, spec in getattr(expected[name], side).items()}, name
    assert expected["encode"].outputs["memory_bias"].shape == (1, 1, 1, PLACES)


def test_alignments_of_what_is_read(module: LiteModule, short_sighted: TextToText) -> None:
    found = module.align(**tensors("text", LONG, BYTES), **tensors("answer", b"a bike", 200))
    ids = short_sighted.tokenizer.encode(LONG)[:PLACES]
    target = np.array([[1, *short_sighted.tokenizer.encode("a bike")]], np.int32)
    expected = np.asarray(short_sighted.model.alignment(ids[None], target, [(0, 0)]))[0, :-1]
    assert found["text_pieces"].numpy().tolist() == [PLACES]
    np.testing.assert_allclose(found["weights"].numpy()[0, : len(expected), :PLACES], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("parts", "expected"), [((8, 4), [(32, 40), (64, 80), (256, 128)]), ((4, 2), [(64, 80), (128, 128), (256, 128)])]
)
def test_sizes(parts: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert sizes(256, 128, parts) == [Size(*size) for size in expected]


def test_keras_is_cut_as_the_file_is(short_sighted: TextToText) -> None:
    task = find_task("translation")
    from keras_transformer.export.progress import Steps
    from keras_transformer.export.text_export import TextExport

    examples = [(LONG.decode(), "x")]
    answers = []
    for cut in (False, True):
        export = TextExport(task, short_sighted, {}, examples, TextOptions(BYTES, 200, cut=cut, with_steps=False))
        assert export.limits["max_source_pieces"] == (PLACES if cut else BYTES)
        answers.append(export.expected([LONG], Steps(), "")[0].text)
        assert task.names({"limits": export.limits})["more_pieces"] == ("cut there too" if cut else "answered too")
    ids = short_sighted.tokenizer.encode(LONG)
    whole, cut_at = (short_sighted.search([part])[0][0].ids for part in (ids, ids[:PLACES]))
    assert answers == [short_sighted.tokenizer.decode_bytes(found) for found in (whole, cut_at)]
    assert answers[0] != answers[1]


def test_unless_told_otherwise_a_file_cuts_as_its_run(long_run_path: Path) -> None:
    task, run = find_task("translation"), RunDirectory(long_run_path)
    cases = (({}, None, 64), ({"cut": True}, None, 32), ({"cut": True}, False, 64), ({}, True, 32))
    for config, cut, expected in cases:
        found = task.export(run, config, task.options({"max_source_bytes": 64, "cut": cut}), 4)
        assert found.limits["max_source_pieces"] == expected


def test_the_command_line_says_so(
    long_run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[dict[str, Any]] = []
    report = {"headline": "bleu", "gate": {"max_loss": 0.3, "forced": [], "refused": {}}}
    monkeypatch.setattr(exporting, "export_run", lambda *_, **options: given.append(options) or report)
    command = ["export", str(long_run_path), "--output", str(tmp_path / "x")]
    assert (main(command), main([*command, "--cut"])) == (0, 0)
    assert given == [{"force": False}, {"force": False, "cut": True}]
    assert main([*command, "--cut", "--format", "ctranslate2"]) == 2
    assert "--cut is for .tflite files: leave it out of a CTranslate2 export" in capsys.readouterr().err
