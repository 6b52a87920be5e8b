"""Running an exported file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from keras_transformer.errors import UserError
from keras_transformer.export import open_artifact
from keras_transformer.export.limits import NUMBER_HELD, SOURCE_CUT, cut_at_character
from keras_transformer.export.text_artifact import RawAnswer, TextArtifact
from tests.export.conftest import MAX_SOURCE_BYTES, MAX_TARGET_BYTES

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning")


@pytest.fixture(scope="module")
def artifact(artifact_path: Path) -> TextArtifact:
    return open_artifact(artifact_path)


@pytest.fixture
def copied(artifact_path: Path, tmp_path: Path) -> Path:
    shutil.copytree(artifact_path, tmp_path / "dist", ignore=shutil.ignore_patterns("saved_model"))
    return tmp_path / "dist"


def test_what_it_knows_of_itself(artifact: TextArtifact) -> None:
    assert artifact.signature == "translate"
    assert (artifact.max_source_bytes, artifact.max_target_bytes) == (MAX_SOURCE_BYTES, MAX_TARGET_BYTES)


def test_a_folder_and_its_file_are_the_same(artifact_path: Path, artifact: TextArtifact) -> None:
    texts = ["a man", "", "🚲", "のひと"]
    assert open_artifact(artifact_path / "model.tflite").predict(texts) == artifact.predict(texts)


def test_int8(artifact_path: Path) -> None:
    int8 = open_artifact(artifact_path, "int8")
    assert int8.path.name == "model.int8.tflite"
    assert all(answer.score < 0 for answer in int8.generate(["a man", "Käse"]))


def test_a_string_is_no_list(artifact: TextArtifact) -> None:
    with pytest.raises(TypeError, match="take a list of strings; received one string"):
        artifact.predict("a man")


def test_an_empty_text(artifact: TextArtifact) -> None:
    assert artifact.generate([""]) == [("", 0.0, 0)]


@pytest.mark.parametrize("extra", [1, 500])
def test_a_text_that_is_too_long(artifact: TextArtifact, extra: int) -> None:
    text = "a man rides. " * 50
    message = rf"^text 2 has {MAX_SOURCE_BYTES + extra} bytes, more than the {MAX_SOURCE_BYTES} .*: it was cut there$"
    with pytest.warns(UserWarning, match=message):
        short, cut = artifact.generate([text[:MAX_SOURCE_BYTES], text[: MAX_SOURCE_BYTES + extra]])
    assert (cut.text, cut.score) == (short.text, short.score)
    assert cut.status == short.status | 1 != short.status


def test_a_character_is_not_cut_in_two(artifact: TextArtifact) -> None:
    text = "x" + "ä" * MAX_SOURCE_BYTES
    with pytest.warns(UserWarning, match="it was cut there"):
        cut = artifact.predict([text])
    assert cut == artifact.predict([text[: MAX_SOURCE_BYTES // 2]])


def test_no_warning_without_cause(artifact: TextArtifact) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "text [0-9]+ has an answer that")
        artifact.predict(["ä" * (MAX_SOURCE_BYTES // 2), "\ud800", "\0", "\n"], cut=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("status", "warned"),
    [
        (0, []),
        (1, []),  # told before the file is asked
        (2, ["text 1 has an answer that reached its limit of pieces without an end"]),
        (4, ["text 1 has an answer that was cut for want of room"]),
        (8, ["text 1 has more pieces than the model was trained on: the answer may be poor"]),
        (
            14,
            [
                "text 1 has more pieces than the model was trained on: the answer may be poor",
                "text 1 has an answer that reached its limit of pieces without an end",
                "text 1 has an answer that was cut for want of room",
            ],
        ),
    ],
)
def test_a_status_becomes_a_warning(
    artifact: TextArtifact, monkeypatch: pytest.MonkeyPatch, status: int, warned: list[str]
) -> None:
    monkeypatch.setattr(artifact, "_run", lambda *_: [RawAnswer(b"ja", -1.5, status)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert artifact.generate(["a man"]) == [("ja", -1.5, status)]
    assert [str(warning.message) for warning in caught] == warned


def test_an_answer_that_does_not_exist_is_left_out(artifact: TextArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [RawAnswer(b"ja", -1.5, 0), RawAnswer(b"", -1e30, 2)]
    monkeypatch.setattr(artifact, "_run", lambda *_: found)
    assert artifact.generate_n_best(["a man"]) == [[("ja", -1.5, 0)]]


def test_lengths_are_held_to_the_room(artifact: TextArtifact) -> None:
    """The file itself, given what no caller should give."""
    import numpy as np

    text = np.full((1, MAX_SOURCE_BYTES), ord("a"), np.uint8)
    whole = artifact.run(b"a" * MAX_SOURCE_BYTES)
    for length, status in ((2**31 - 1, SOURCE_CUT), (-5, NUMBER_HELD), (-(2**31), NUMBER_HELD)):
        found = artifact._runner("translate")(text=text, text_length=np.array([length], np.int32))
        assert found["status"][0] == (whole.status | status if length > 0 else status)
        assert found["text_length"][0] == (len(whole.text) if length > 0 else 0)


def test_what_follows_the_text_has_no_effect(artifact: TextArtifact) -> None:
    import numpy as np

    text = np.full((1, MAX_SOURCE_BYTES), 255, np.uint8)
    text[0, :5] = list(b"a man")
    found = artifact._runner("translate")(text=text, text_length=np.array([5], np.int32))
    assert found["text"][0, : found["text_length"][0]].tobytes() == artifact.run(b"a man").text
    assert not found["text"][0, found["text_length"][0] :].any()


def test_a_long_answer_is_cut_where_a_character_begins(artifact_path: Path) -> None:
    import json

    inputs = json.loads((artifact_path / "golden.json").read_text(encoding="utf-8"))["inputs"]
    cut = [answer for entry in inputs if (answer := entry["answers"]["float32"])["status"] & 4]
    assert cut, "no answer was long enough"


@pytest.mark.parametrize(
    ("text", "room", "kept"),
    [
        (b"abc", 3, b"abc"),
        (b"abcd", 3, b"abc"),
        ("abä".encode(), 3, b"ab"),
        ("a🚲".encode(), 4, b"a"),
        ("ab🚲".encode(), 4, b"ab"),
        ("🚲🚲".encode(), 4, "🚲".encode()),
        (b"\x80" * 9, 8, b"\x80" * 8),
        (b"abcdef\x80\x80\x80\x80\x80", 10, b"abcdef\x80\x80\x80\x80"),
    ],
)
def test_cutting(text: bytes, room: int, kept: bytes) -> None:
    assert cut_at_character(text, room) == kept


def test_neither_tensorflow_nor_keras_is_needed(artifact_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from keras_transformer.export import open_artifact\n"
        f"print(open_artifact({str(artifact_path)!r}, 'int8').predict(['a man', '']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(eval(done.stdout)) == 2


# Damage


def test_an_unknown_precision(artifact_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no precision 'int9'. Did you mean 'int8'\? There are: float32, int8.$"):
        open_artifact(artifact_path, "int9")


def test_a_precision_of_one_file(artifact_path: Path) -> None:
    message = r"model.tflite is one file: a precision \(int8\) can be chosen of a folder only$"
    with pytest.raises(UserError, match=message):
        open_artifact(artifact_path / "model.tflite", "int8")


def test_a_folder_for_another_engine(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "keras-transformer ctranslate2 1", "files": {}}')
    with pytest.raises(
        UserError, match=r"is for CTranslate2, it has no .tflite file: its README.md says how to run it$"
    ):
        open_artifact(tmp_path)


def test_a_changed_file(copied: Path) -> None:
    data = bytearray((copied / "model.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (copied / "model.tflite").write_bytes(data)
    for path in (copied, copied / "model.tflite"):
        with pytest.raises(
            UserError, match=r"model.tflite is damaged: it is not the file that manifest.json describes"
        ):
            open_artifact(path)
    assert open_artifact(copied, "int8").predict([""]) == [""]


def test_a_missing_file(copied: Path) -> None:
    (copied / "model.tflite").unlink()
    with pytest.raises(UserError, match=r"model.tflite cannot be read: No such file"):
        open_artifact(copied)
    with pytest.raises(UserError, match=r"model.tflite: no such file"):
        open_artifact(copied / "model.tflite")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": {}}'])
def test_a_damaged_manifest(copied: Path, content: str) -> None:
    (copied / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest.json is damaged: .*; export the run again"):
        open_artifact(copied)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no artifact folder: it has no manifest.json"):
        open_artifact(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x1c\0\0\0TFL3" + b"\0" * 64])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"x.tflite is damaged or no .tflite file"):
        open_artifact(tmp_path / "x.tflite")


def test_a_truncated_file(artifact_path: Path, tmp_path: Path) -> None:
    data = (artifact_path / "model.tflite").read_bytes()
    (tmp_path / "x.tflite").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"x.tflite is damaged or no .tflite file"):
        open_artifact(tmp_path / "x.tflite")
