"""What holds of a folder from text to text: its schema, verify.py, fuzzing; see `proofs` for what holds of all."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_transformer.cli import main
from keras_transformer.export import check_folder, open_artifact, verify_folder
from keras_transformer.export.flatbuffer import read_model
from keras_transformer.export.golden import REFERENCE, rule
from keras_transformer.export.limits import TARGET_CUT, cut_at_character
from keras_transformer.export.precisions import FILES, PRECISIONS, WEIGHTS
from keras_transformer.export.text_artifact import RawAnswer
from keras_transformer.generation import TextToText
from tests.export.conftest import MAX_TARGET_BYTES, read_json
from tests.export.proofs import FEW, MANY, check_metadata, faults_of, fuzz, fuzz_every_signature, reseal, run_verify


@pytest.fixture
def copied(artifact_path: Path, tmp_path: Path) -> Path:
    shutil.copytree(artifact_path, tmp_path / "dist")
    return tmp_path / "dist"


# The schema


def test_the_manifest_is_as_its_schema_says(artifact_path: Path) -> None:
    assert faults_of(check_folder(artifact_path)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"task": "Translation"}, "'Translation' does not match"),
        ({"format": "keras-transformer artifact 1"}, "'keras-transformer artifact 2' was expected"),
        ({"sha256": "x"}, "'x' does not match"),
        ({"labels": ["a"]}, "is not of type 'null'"),
        ({"limits": {"max_source_bytes": 48, "max_source_pieces": 48}}, "'max_target_bytes' is a required property"),
        ({"files": {}}, "'golden.json' is a required property"),
        ({"search": None}, "None is not of type 'object'"),
    ],
)
def test_a_schema_that_tells(artifact_path: Path, change: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in faults_of({**check_folder(artifact_path), **change}))


def test_every_precision_fits_the_schema(artifact_path: Path) -> None:
    manifest = check_folder(artifact_path)
    known = {name: {"file": FILES[name], "weights": WEIGHTS[name]} for name in PRECISIONS}
    assert faults_of({**manifest, "precisions": known}) == []


def test_files_elsewhere_are_against_the_schema(artifact_path: Path) -> None:
    manifest = check_folder(artifact_path)
    entry = manifest["files"]["README.md"]
    for name in ("/etc/passwd", "../a", "a/../../b", "a\\b"):
        assert faults_of({**manifest, "files": {**manifest["files"], name: entry}})


@pytest.mark.parametrize("name", ["model.tflite", "model.int8.tflite"])
def test_a_file_describes_itself(artifact_path: Path, name: str) -> None:
    manifest = check_folder(artifact_path)
    root = check_metadata(read_model(artifact_path / name), manifest)
    assert root.text(1) == "A model that translates one text at a time: UTF-8 bytes in; made by keras-transformer."
    with zipfile.ZipFile(artifact_path / name) as archive:
        assert archive.namelist() == ["settings.json"]
        settings = json.loads(archive.read("settings.json"))
    assert (settings["task"], settings["search"]) == ("translation", manifest["search"])


# verify.py


def test_verify_needs_nothing_of_ours_and_finds_all_well(artifact_path: Path) -> None:
    status, lines = run_verify(artifact_path)
    assert status == 0, lines
    assert re.match(r"\d+ files are as manifest.json says$", lines[0])
    assert [line.split()[:2] + line.split()[-1:] for line in lines[2:4]] == [
        ["model.tflite", "float32", "ok"],
        ["model.int8.tflite", "int8", "ok"],
    ]
    assert lines[-1] == "every model answers as it must"
    assert (artifact_path / "verify.py").read_text() == Path(verify_folder.__file__).read_text()


def test_verify_names_the_file_and_the_mismatch(copied: Path) -> None:
    data = bytearray((copied / "model.int8.tflite").read_bytes())
    data[len(data) // 3] ^= 16
    (copied / "model.int8.tflite").write_bytes(data)
    (copied / "report.json").write_text("{")
    status, lines = run_verify(copied)
    assert status == 1
    said = "\n".join(lines)
    assert re.search(r"model\.int8\.tflite is damaged: .* \(SHA-256 \w{12}\.\.\., not \w{12}\.\.\.\)", said)
    assert re.search(r"report\.json is damaged: .* \(1 bytes, not [\d,]+\)", said)
    assert re.search(r"^model\.int8\.tflite +int8 +\d+ +- +\d+ +damaged$", said, re.MULTILINE)
    assert re.search(r"^model\.tflite +float32 .* ok$", said, re.MULTILINE)


def test_verify_finds_other_answers(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One wrong answer of float32 is too many here, and elsewhere if there are more than may hang on a last digit."""
    golden = read_json(copied / "golden.json")
    empty = next(entry for entry in golden["inputs"] if entry["kind"] == "empty")
    empty["answers"]["float32"]["base64"] = "eA=="
    reseal(copied, golden=golden)
    assert verify_folder.main([str(copied)]) == 1
    count = len(golden["inputs"])
    out = capsys.readouterr().out
    assert re.search(rf"^model\.tflite +float32 +{count} +{count - 1} +{count} +not ok$", out, re.MULTILINE)
    assert "model.tflite: other answers to empty\n" in out
    golden["made_on"]["processor"] = "another"
    reseal(copied, golden=golden)
    assert verify_folder.main([str(copied)]) == 0
    needed = round(0.98 * count)
    assert re.search(rf"model\.tflite +float32 +{count} +{count - 1} +{needed} +ok\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "manifest.json").write_text("{"), r"manifest\.json is damaged: JSONDecodeError"),
        (lambda path: (path / "manifest.json").unlink(), r"is no artifact folder: it has no manifest\.json"),
        (lambda path: (path / "golden.json").unlink(), r"golden\.json cannot be read: No such file or directory"),
        (
            lambda path: (path / "manifest.json").write_text('{"format": "keras-transformer artifact 9"}'),
            r"manifest\.json: format is 'keras-transformer artifact 9', and up to '.* 2' is known here",
        ),
    ],
)
def test_verify_of_half_a_folder(
    copied: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], Any], message: str
) -> None:
    damage(copied)
    assert verify_folder.main([str(copied)]) == 1
    assert re.search(message, capsys.readouterr().out)


def test_verify_of_a_folder_without_its_page(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "web").mkdir()
    (copied / "web" / "worker.js").write_text("//")
    reseal(copied)
    (copied / "web" / "worker.js").unlink()
    assert verify_folder.main([str(copied)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"web/worker\.js cannot be read: .*; `keras-transformer web` renews it\n", said)
    assert said.endswith("\nevery model answers as it must, but the folder is not whole: see above\n")


def test_verify_called_wrongly(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify_folder.main(["--help"]) == 0
    assert "python verify.py [FOLDER]" in capsys.readouterr().out
    assert verify_folder.main([str(copied), "more"]) == 2
    assert capsys.readouterr().out == f"expected one folder, got 2: {copied} more\n"
    assert verify_folder.main([str(copied / "golden.json")]) == 2
    assert capsys.readouterr().out == f"{copied / 'golden.json'} is no folder; give the one that export made\n"
    monkeypatch.setitem(verify_folder.LIBRARIES, "no_such_library", "no-such-library")
    assert verify_folder.main([str(copied)]) == 2
    assert capsys.readouterr().out == "not installed here: no-such-library; pip install no-such-library\n"


def test_verify_of_a_model_that_does_not_load(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "model.tflite").write_bytes(b"no model")
    reseal(copied)
    assert verify_folder.main([str(copied)]) == 1
    assert re.search(r"model\.tflite +float32 +\d+ +- +\d+ +fails\n", capsys.readouterr().out)


def test_verify_finds_numbers_that_are_none() -> None:
    one = {"text": np.zeros((1, 8), np.uint8), "text_length": np.array([8], np.int32)}
    score = {"score": np.array([-1.5], np.float32)}
    assert verify_folder.is_sound({**one, **score})
    assert not verify_folder.is_sound({**one, "score": np.array([np.nan], np.float32)})
    assert not verify_folder.is_sound({**one, **score, "text_length": np.array([9], np.int32)})
    assert not verify_folder.is_sound({**one, **score, "text_length": np.array([-1], np.int32)})
    assert not verify_folder.is_sound({"words": np.array([3], np.int32), "starts": np.zeros((1, 2), np.int32)})


def test_what_a_quantised_file_owes() -> None:
    answers = {name: [RawAnswer(text, 0.0, 0) for text in texts] for name, texts in TEXTS.items()}
    assert rule(answers, REFERENCE) == {"share": 1.0, "share_elsewhere": 0.98, "tolerance": 1e-3}
    assert rule(answers, "int8") == {"share": 0.7, "share_elsewhere": 0.7, "tolerance": 0.1}
    assert rule(answers, "float16")["share"] == 0.9
    assert rule(answers, "int4")["share"] == 0


TEXTS = {"float32": [b"a"] * 4, "int8": [b"a"] * 3 + [b"b"], "float16": [b"a"] * 4, "int4": [b"b"] * 4}


def test_evaluate_names_the_report(copied: Path, run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the report that says whether texts are tokenised already."""
    (copied / "report.json").write_text("{}")
    data = str(run_path / "data" / "test.jsonl")
    assert main(["evaluate", str(copied), "--data", data]) == 2
    assert re.search(r"report\.json is damaged: .* \(2 bytes, not [\d,]+\); export the run", capsys.readouterr().err)


# Fuzzing


def check_answer(found: dict[str, np.ndarray]) -> None:
    length = int(found["text_length"][0])
    assert 0 <= length <= MAX_TARGET_BYTES
    assert not found["text"][0, length:].any()


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fuzz(artifact_path: Path, precision: str, examples: int) -> None:
    artifact = open_artifact(artifact_path, precision)
    fuzz(artifact._runner(artifact.signature), check_answer, examples)


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fuzz_of_the_cut(artifact_path: Path, predictor: TextToText, examples: int) -> None:
    """Whatever pieces an answer has, it is cut at its limit; where they are whole text, what is left is that too."""
    artifact, tokenizer = open_artifact(artifact_path), predictor.tokenizer
    detokenize = artifact._runner("detokenize")
    places = detokenize.get_input_details()["ids"]["shape"][1]
    texts = st.text(st.sampled_from("aä€🚲 の"), max_size=20).map(str.encode) | st.binary(max_size=30)

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(texts, st.integers(0, places))
    def one(text: bytes, given_length: int) -> None:
        pieces = tokenizer.encode(text)[:places]
        length = min(given_length, len(pieces))
        ids = np.zeros((1, places), np.int32)
        ids[0, : len(pieces)] = pieces
        found = detokenize(ids=ids, length=np.array([length], np.int32))
        whole = tokenizer.decode_bytes(pieces[:length])
        cut = found["text"][0, : found["text_length"][0]].tobytes()
        assert cut == cut_at_character(whole, MAX_TARGET_BYTES)
        assert bool(found["status"][0] & TARGET_CUT) == (len(whole) > MAX_TARGET_BYTES)
        if whole.decode("utf-8", "ignore").encode() == whole:
            cut.decode("utf-8")

    one()


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fuzz_of_every_signature(artifact_path: Path, precision: str, examples: int) -> None:
    fuzz_every_signature(open_artifact(artifact_path, precision)._interpreter, examples)


# The SavedModel


def test_the_readme_shows_the_saved_model_in_a_shell(artifact_path: Path) -> None:
    block = re.search(r"```sh\n(.*?)```", (artifact_path / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    program, *arguments = shlex.split(block[1].replace("\\\n", ""))
    assert program == "python"
    done = subprocess.run([sys.executable, *arguments], cwd=artifact_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Result for output key text:" in done.stdout


def test_the_saved_model_without_our_package_and_without_that_of_tensorflow_text(artifact_path: Path) -> None:
    library = "importlib.util.find_spec('tensorflow_text').submodule_search_locations[0]"
    code = (
        "import importlib.util, json, sys\n"
        f"library = {library} + '/python/ops/_fast_wordpiece_tokenizer.so'\n"
        "sys.modules['keras_transformer'] = sys.modules['tensorflow_text'] = sys.modules['keras'] = None\n"
        "import tensorflow as tf\n"
        "tf.load_op_library(library)\n"
        "model = tf.saved_model.load('saved_model').signatures['translate']\n"
        "print(json.dumps([one.hex() for one in model(text=tf.constant(['a man', '', 'Käse']))['text'].numpy()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=artifact_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [bytes.fromhex(text) for text in json.loads(done.stdout.splitlines()[-1])]
    artifact = open_artifact(artifact_path)
    expected = [artifact.run(text.encode()).text for text in ("a man", "", "Käse")]
    assert [cut_at_character(text, MAX_TARGET_BYTES) for text in found] == expected
