"""Where an exported model looks in the source for each piece and word of an answer, against Keras."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer import cli
from keras_transformer.errors import UserError
from keras_transformer.export import ExportError, export_run, open_artifact
from keras_transformer.export.checks import check_alignment
from keras_transformer.export.limits import NUMBER_HELD, SOURCE_CUT, SOURCE_LONG, TARGET_CUT, Limits
from keras_transformer.export.lite_module import LiteModule
from keras_transformer.export.text_artifact import TextArtifact
from keras_transformer.generation import TextToText
from tests.export.conftest import SIZED_SOURCE_BYTES, WORDS, read_json
from tests.export.test_export_run import fresh_python

pytestmark = [  # of random models and of texts that are long for them
    pytest.mark.filterwarnings("ignore:text [0-9]+ has:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

ANSWER_ROOM, ANSWER_BYTES = 40, 200
PAIRS = [  # for every size of the file: 16 pieces to 24, 32 to 40, 128 to 40
    ("a man", "the bike"),
    ("the man rides", "Käse und " * 4),
    (" ".join(WORDS[:8]), "a bike"),
    ("0123456789" * 5, "the man"),
    ("ä🚲", "🚲"),
    ("a", "x" * ANSWER_ROOM),
]


@pytest.fixture(scope="module")
def aligning(n_best_path: Path) -> TextArtifact:
    return open_artifact(n_best_path)


def call(artifact: TextArtifact, text: bytes, answer: bytes, *lengths: int) -> dict[str, np.ndarray]:
    """The signature as an app calls it; lengths are those of the bytes unless given."""
    given = {}
    rooms = {"text": artifact.max_source_bytes, "answer": artifact.max_target_bytes}
    for number, (name, content) in enumerate([("text", text), ("answer", answer)]):
        padded = np.full((1, rooms[name]), 255, np.uint8)  # what follows the text has no effect
        padded[0, : len(content)] = list(content)
        length = lengths[number] if lengths else len(content)
        given |= {name: padded, f"{name}_length": np.array([length], np.int32)}
    found: dict[str, np.ndarray] = artifact._runner("align")(**given)
    return found


@pytest.mark.parametrize(("text", "answer"), PAIRS)
def test_weights_of_pieces_are_those_of_keras(
    aligning: TextArtifact, long_predictor: TextToText, text: str, answer: str
) -> None:
    tokenizer = long_predictor.tokenizer
    sides = {"text": tokenizer.encode(text), "answer": tokenizer.encode(answer)}
    inputs = np.array([[tokenizer.start_id, *sides["answer"]]], np.int32)
    expected = np.asarray(long_predictor.model.alignment(sides["text"][None], inputs))[0, :-1]
    found = call(aligning, text.encode(), answer.encode())
    for name, ids in sides.items():
        ends = np.cumsum([len(tokenizer.pieces[i]) for i in ids])
        assert found[f"{name}_pieces"].tolist() == [len(ids)]
        assert found[f"{name}_ends"][0, : len(ids)].tolist() == ends.tolist()
        assert set(found[f"{name}_ends"][0, len(ids) :].tolist()) <= {ends[-1]}
    rows, columns = expected.shape
    np.testing.assert_allclose(found["weights"][0, :rows, :columns], expected, atol=1e-5)
    assert not found["weights"][0, rows:].any()
    assert not found["weights"][0, :, columns:].any()


def test_weights_differ(aligning: TextArtifact) -> None:
    """A model that looks everywhere alike proves nothing."""
    assert np.ptp(aligning.align("the man rides a bike", "Käse und über").weights, axis=0).max() > 0.05


def test_words_are_those_of_keras(aligning: TextArtifact, long_predictor: TextToText) -> None:
    for text, answer in PAIRS:
        found, expected = aligning.align(text, answer), long_predictor.align(text, answer)
        assert found[:2] == expected[:2]
        np.testing.assert_allclose(found.weights, expected.weights, atol=1e-4)


@pytest.mark.parametrize("one_size", [False, True])
def test_heads_are_those_that_were_chosen(long_predictor: TextToText, one_size: bool) -> None:
    module = LiteModule(long_predictor, Limits(64, 64, one_size=one_size, align_heads=((0, 1),)))
    given = {}
    for name, content in (("text", b"the man"), ("answer", b"a bike")):
        given |= {name: tf.constant([[*content, *bytes(64 - len(content))]], tf.uint8)}
        given |= {f"{name}_length": tf.constant([len(content)])}
    weights = tf.function(module.align)(**given)["weights"].numpy()[0]
    encode, model = long_predictor.tokenizer.encode, long_predictor.model
    source, target = encode("the man")[None], np.array([[1, *encode("a bike")]], np.int32)
    one, all_of_them = (np.asarray(model.alignment(source, target, heads))[0, :-1] for heads in ([(0, 1)], None))
    np.testing.assert_allclose(weights[: one.shape[0], : one.shape[1]], one, atol=1e-5)
    assert not np.allclose(one, all_of_them, atol=1e-2)


def test_int8_looks_about_there(n_best_path: Path, long_predictor: TextToText) -> None:
    int8 = open_artifact(n_best_path, "int8")
    for text, answer in PAIRS[:3]:
        weights = int8.align(text, answer).weights
        np.testing.assert_allclose(weights, long_predictor.align(text, answer).weights, atol=0.1)


@pytest.mark.parametrize(
    ("lengths", "pieces", "status"),
    [
        ((0, 3), (0, 3), 0),
        ((3, 0), (3, 0), 0),
        ((-1, 3), (0, 3), NUMBER_HELD),
        ((3, -(2**31)), (3, 0), NUMBER_HELD),
        ((-1, -1), (0, 0), NUMBER_HELD),
        ((SIZED_SOURCE_BYTES + 1, 1), (SIZED_SOURCE_BYTES, 1), SOURCE_CUT + SOURCE_LONG),
        ((1, ANSWER_ROOM), (1, ANSWER_ROOM), 0),
        ((1, ANSWER_ROOM + 1), (1, ANSWER_ROOM), TARGET_CUT),
        ((1, 2**31 - 1), (1, ANSWER_ROOM), TARGET_CUT),
    ],
)
def test_lengths_are_held_to_the_room(
    aligning: TextArtifact, lengths: tuple[int, int], pieces: tuple[int, int], status: int
) -> None:
    found = call(aligning, b"x" * SIZED_SOURCE_BYTES, b"y" * ANSWER_BYTES, *lengths)  # a piece is a byte
    assert found["status"].tolist() == [status]
    assert (found["text_pieces"][0], found["answer_pieces"][0]) == pieces
    sums = found["weights"][0].sum(axis=1)
    in_use = pieces[1] if pieces[0] else 0
    np.testing.assert_allclose(sums, [1.0] * in_use + [0.0] * (ANSWER_ROOM - in_use), atol=1e-5)


def test_what_does_not_fit_is_cut(aligning: TextArtifact) -> None:
    found = aligning.align("ä" * SIZED_SOURCE_BYTES, " a" * ANSWER_BYTES)
    assert (len(found.text), len(found.answer)) == (1, ANSWER_ROOM)
    with pytest.raises(UserError, match=r"^an empty text has no alignment$"):
        aligning.align("", "a")


def test_the_saved_model(n_best_path: Path, long_predictor: TextToText) -> None:
    pairs = [*PAIRS, ("", "a"), ("a", "")]
    code = f"""
import tensorflow as tf, tensorflow_text, json
texts, answers = (tf.constant(side) for side in zip(*{pairs!r}))
found = tf.saved_model.load("saved_model").signatures["align"](text=texts, answer=answers)
print(json.dumps({{name: value.numpy().tolist() for name, value in found.items()}}))
"""
    found = json.loads(fresh_python(code, n_best_path).splitlines()[-1])
    described = read_json(n_best_path / "manifest.json")["saved_model"]["signatures"]["align"]["outputs"]
    assert set(found) == set(described)
    tokenizer = long_predictor.tokenizer
    for row, (text, answer) in enumerate(pairs):
        source, target = tokenizer.encode(text), tokenizer.encode(answer)
        assert (found["text_pieces"][row], found["answer_pieces"][row]) == (len(source), len(target))
        weights = np.array(found["weights"][row])
        np.testing.assert_allclose(weights.sum(), len(target) if len(source) else 0, atol=1e-3)
        for name, ids in (("text", source), ("answer", target)):
            ends = np.cumsum([len(tokenizer.pieces[i]) for i in ids]).tolist()
            assert found[f"{name}_ends"][row][: len(ids)] == ends
        if len(source) and len(target):
            inputs = np.array([[tokenizer.start_id, *target]], np.int32)
            expected = np.asarray(long_predictor.model.alignment(source[None], inputs))[0, :-1]
            np.testing.assert_allclose(weights[: len(target), : len(source)], expected, atol=1e-4)


def test_the_example_of_the_readme(n_best_path: Path, aligning: TextArtifact) -> None:
    readme = (n_best_path / "README.md").read_text(encoding="utf-8")
    assert "(decoder layer 0, mean of the heads 0, 1, both counted from 0)" in readme
    (code,) = re.findall(r"## The signature `align`\n.*?```python\n(.*?)```", readme, re.DOTALL)
    (source,) = re.findall(r'source = "(.*)"\.encode', code)
    lines = fresh_python(f"{code}\nimport sys; assert 'tensorflow' not in sys.modules", n_best_path).splitlines()
    answer = aligning.predict([source])[0]
    assert "".join(line.partition(" <- ")[0] for line in lines) == answer
    found = call(aligning, source.encode(), answer.encode())
    assert len(lines) == found["answer_pieces"][0]


# The command line


def predicted(path: Path, *flags: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.main(["predict", str(path), "the man", *flags]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_predict_with_a_file(n_best_path: Path, aligning: TextArtifact, capsys: pytest.CaptureFixture[str]) -> None:
    found = predicted(n_best_path / "model.tflite", "--json", "--align", capsys=capsys)
    expected = aligning.align("the man", found["answers"][0]["text"])
    assert (found["alignment"]["text"], found["alignment"]["answer"]) == expected[:2]
    np.testing.assert_allclose(found["alignment"]["weights"], expected.weights, atol=1e-4)


def test_predict_with_a_run(
    long_run_path: Path, long_predictor: TextToText, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, heads in [
        ([], None),
        (["--align-layer", "0"], [(0, 0), (0, 1)]),
        (["--align-heads", "1"], [(0, 1)]),
        (["--align-heads", "1, 0"], [(0, 1), (0, 0)]),
    ]:
        found = predicted(long_run_path, "--json", "--align", *flags, capsys=capsys)
        expected = long_predictor.align("the man", found["answers"][0]["text"], heads)
        np.testing.assert_allclose(found["alignment"]["weights"], expected.weights, atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--align", "--align is printed as JSON: give --json too"),
        ("--json --align-layer 0", "--align-layer is given without --align: add it, or leave this out"),
        ("--json --align-heads 0", "--align-heads is given without --align: add it, or leave this out"),
        ("--json --align --align-layer 1", "--align-layer is 1, expected 0 to 0: the decoder has 1"),
        ("--json --align --align-layer -1", "--align-layer is -1, expected 0 to 0: the decoder has 1"),
        ("--json --align --align-heads 0,2", "--align-heads has 2, expected 0 to 1: a layer has 2"),
        ("--json --align --align-heads 1,1", r"--align-heads is \[1, 1\], expected one head or more, each once"),
        ("--json --align --align-heads 0,b", "argument --align-heads: expected whole numbers .*, got '0,b' .*"),
        ("--json --align --align-layer last", "argument --align-layer: expected a whole number, got 'last' .*"),
    ],
)
def test_what_a_run_refuses(long_run_path: Path, flags: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(long_run_path), "a", *flags.split()]) == 2
    assert re.fullmatch(f"keras-transformer: error: {message}\n", capsys.readouterr().err)


def test_what_a_file_refuses(artifact_path: Path, n_best_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, flags, message in [
        (artifact_path, [], "--align: .*model.tflite has no alignments; export the run with --align"),
        (
            n_best_path,
            ["--align-layer", "0"],
            "--align-layer: a file aligns as it was exported; export the run with .*",
        ),
        (
            n_best_path,
            ["--align-heads", "0"],
            "--align-heads: a file aligns as it was exported; export the run with .*",
        ),
    ]:
        assert cli.main(["predict", str(path), "a", "--json", "--align", *flags]) == 2
        assert re.search(f"^keras-transformer: error: {message}$", capsys.readouterr().err, re.MULTILINE)


def test_what_an_export_refuses(run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, message in [
        (["--align", "--align-layer", "4"], "--align-layer is 4, expected 0 to 0: the decoder has 1"),
        (["--align-heads", "0"], "--align-heads is given without --align: add it, or leave this out"),
        (["--align", "--format", "ctranslate2"], "--align is for .tflite files: leave it out of a CTranslate2 export"),
    ]:
        assert cli.main(["export", str(run_path), "--output", str(tmp_path / "dist"), *flags]) == 2
        assert re.search(f"^keras-transformer: error: {re.escape(message)}$", capsys.readouterr().err, re.MULTILINE)
    with pytest.raises(UserError, match=r"^align_layer or align_heads is given, but align is not: the files would "):
        export_run(run_path, tmp_path / "dist", align_heads=[0])
    assert not list(tmp_path.iterdir())


def test_an_export_stops_at_another_alignment() -> None:
    weights = np.eye(3, dtype=np.float32)
    check_alignment("model.tflite", "a", weights, weights + 5e-4)
    for other in (weights + 0.01, weights[:2]):
        with pytest.raises(ExportError, match=r"^model.tflite: another alignment than Keras's for 'a'$"):
            check_alignment("model.tflite", "a", other, weights)
