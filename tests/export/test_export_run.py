"""The whole way from a run directory to an artifact folder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.export import ExportError, export_run, open_artifact, run
from keras_transformer.export.benchmarking import benchmark
from keras_transformer.export.flatbuffer import operators, read_model, signatures
from keras_transformer.export.golden import golden_source
from keras_transformer.export.limits import Limits
from keras_transformer.export.signatures import described, lite_signatures
from keras_transformer.export.verify_folder import digest
from keras_transformer.generation import TextToText
from keras_transformer.generation.options import GREEDY
from tests.export.conftest import MAX_SOURCE_BYTES, MAX_TARGET_BYTES, fresh_python, read_json, sentences, write_run

pytestmark = pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning")


def test_everything_is_there(artifact_path: Path) -> None:
    names = {"saved_model", "model.tflite", "model.int8.tflite", "manifest.json", "golden.json", "report.json"}
    assert {path.name for path in artifact_path.iterdir()} == {*names, "README.md", "verify.py"}
    assert [path.name for path in artifact_path.parent.iterdir()] == [artifact_path.name], "something was left beside"


def test_sizes(artifact_path: Path, predictor: TextToText) -> None:
    weights = 4 * predictor.model.count_params()
    variables = sum(path.stat().st_size for path in (artifact_path / "saved_model" / "variables").glob("*.data*"))
    assert weights <= variables < 1.05 * weights + 8192  # each variable's place in the file takes a little
    assert (artifact_path / "model.tflite").stat().st_size >= weights


@pytest.mark.parametrize("name", ["model.tflite", "model.int8.tflite"])
def test_a_file_has_its_signatures_and_only_built_in_operators(
    artifact_path: Path, predictor: TextToText, name: str
) -> None:
    model = read_model(artifact_path / name)
    expected = lite_signatures(predictor, Limits(MAX_SOURCE_BYTES, MAX_TARGET_BYTES), "translate", GREEDY)
    assert list(expected) == ["translate", "encode", "decode_step", "detokenize"]
    assert signatures(model) == expected
    counted = operators(model)
    assert not {"CUSTOM", "VAR_HANDLE"} & {name for part in counted.values() for name in part}
    loop = next(part for name, part in counted.items() if "body" in name)
    assert not {"SHAPE", "BROADCAST_TO", "DEQUANTIZE", "TRANSPOSE"} & set(loop), "waste at every step"


def test_the_manifest_tells_the_truth(artifact_path: Path, predictor: TextToText) -> None:
    manifest = read_json(artifact_path / "manifest.json")
    files = {path.relative_to(artifact_path).as_posix() for path in artifact_path.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == {"bytes": (artifact_path / name).stat().st_size, "sha256": digest(artifact_path / name)}
    assert manifest["limits"] == {
        "max_source_bytes": MAX_SOURCE_BYTES,
        "max_target_bytes": MAX_TARGET_BYTES,
        "max_source_pieces": MAX_SOURCE_BYTES,
        "max_target_pieces": 20,
        "trained_source_pieces": 32,
    }
    assert manifest["special_ids"] == {"pad": 0, "start": 1, "end": 2}
    assert manifest["labels"] is None
    assert manifest["weights"] == predictor.model.count_params()
    limits = Limits(MAX_SOURCE_BYTES, MAX_TARGET_BYTES)
    expected = lite_signatures(predictor, limits, "translate", GREEDY)
    assert manifest["signatures"] == {key: described(signature) for key, signature in expected.items()}
    assert manifest["signature"] == "translate"
    text = manifest["signatures"]["translate"]["inputs"]["text"]
    assert (text["dtype"], text["shape"]) == ("uint8", [1, MAX_SOURCE_BYTES])
    assert text["meaning"].startswith("UTF-8 bytes of the source")
    assert list(manifest["saved_model"]["signatures"]) == ["serving_default", "translate"]
    assert manifest["search"] == asdict(GREEDY) | {"forbidden": []}


def test_the_report_compares_every_file_with_keras(artifact_path: Path) -> None:
    report = read_json(artifact_path / "report.json")
    assert list(report["results"]) == ["keras", "float32", "int8"]
    for found in report["results"].values():
        assert found["sentences"] == report["sentences"] == 24
        assert found["ms_per_sentence"] > 0
        assert 0 <= found["bleu"] <= 100
    float32, int8 = (report["results"][name] for name in ("float32", "int8"))
    assert float32["agreement_with_keras"] == float32["agreement_with_float32"] == 100
    assert int8["loss"] == pytest.approx(float32["bleu"] - int8["bleu"], abs=1e-3)
    assert report["gate"] == {"max_loss": 100, "forced": [], "refused": {}}
    for found in (float32, int8):
        assert 100_000 < found["peak_memory_bytes"] < 100_000_000
    assert float32["shown"] == []
    assert int8["file_bytes"] == (artifact_path / "model.int8.tflite").stat().st_size
    assert int8["differences"] == len(int8["shown"]) == round((1 - int8["agreement_with_keras"] / 100) * 24)


def test_float32_answers_are_those_of_keras(artifact_path: Path, predictor: TextToText) -> None:
    texts = [text for text in sentences(24) if len(text) <= MAX_SOURCE_BYTES]
    expected = predictor.generate(texts)
    found = open_artifact(artifact_path).generate(texts)
    assert len({answer.text for answer in found}) > 8, "a model that says the same to all proves nothing"
    whole = [(a, e) for a, e in zip(found, expected, strict=True) if not a.status & 4]
    assert [a.text for a, _ in whole] == [e.text for _, e in whole]
    np.testing.assert_allclose([a.score for a in found], [e.score for e in expected], rtol=1e-4)
    assert [bool(a.status & 2) for a in found] == [e.pieces == 20 for e in expected]
    assert {a.status for a in found} >= {0, 2}


def test_golden_answers(artifact_path: Path) -> None:
    inputs = read_json(artifact_path / "golden.json")["inputs"]
    assert len(inputs) >= 50
    kinds = {entry["kind"] for entry in inputs}
    assert {"test", "empty", "emoji", "Han", "Cyrillic", "Arabic", "too long", "random bytes"} <= kinds
    assert any(kind.startswith("invalid UTF-8") for kind in kinds)
    artifact = open_artifact(artifact_path)
    for entry in inputs:
        answer, golden = artifact.run(golden_source(entry)), entry["answers"]["float32"]
        assert (answer.text, answer.status) == (golden_source(golden), golden["status"]), entry["kind"]
        assert answer.score == pytest.approx(golden["score"], abs=1e-3)
        assert set(entry["answers"]) == {"float32", "int8"}
    empty = next(entry for entry in inputs if entry["kind"] == "empty")["answers"]["float32"]
    assert (empty["text"], empty["score"], empty["status"]) == ("", 0, 0)


def test_benchmark_measures_every_file(artifact_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = benchmark(artifact_path)
    assert list(found["precisions"]) == ["float32", "int8"]
    for measured in found["precisions"].values():
        assert 0 < measured["median_ms"] <= measured["p90_ms"]
        assert measured["load_ms"] > 0
        assert measured["sentences"] == 24
        assert measured["golden_equal"] == measured["golden_inputs"] >= 50
    assert re.search(r"float32 on the golden inputs: \d+ in .* s \(.*/s\)", capfd.readouterr().err)


def test_the_saved_model_gives_the_same_in_a_fresh_process(artifact_path: Path, predictor: TextToText) -> None:
    texts = [*sentences(6), "", "🚲"]
    code = f"""
import tensorflow as tf, tensorflow_text, json
answer = tf.saved_model.load("saved_model").signatures["serving_default"](text=tf.constant({texts!r}))
empty = tf.saved_model.load("saved_model").signatures["serving_default"](text=tf.constant(["", ""]))
assert empty["text"].numpy().tolist() == [b"", b""], empty
texts = [text.decode(errors="replace") for text in answer["text"].numpy()]
print(json.dumps([texts, answer["score"].numpy().tolist(), answer["length"].numpy().tolist()]))
"""
    found_texts, scores, lengths = json.loads(fresh_python(code, artifact_path).splitlines()[-1])
    expected = predictor.generate(texts)
    assert found_texts == [answer.text for answer in expected]
    assert lengths == [answer.pieces for answer in expected]
    np.testing.assert_allclose(scores, [answer.score for answer in expected], rtol=1e-4)


def test_the_readme_can_be_followed_without_tensorflow(artifact_path: Path) -> None:
    readme = (artifact_path / "README.md").read_text(encoding="utf-8")
    assert "$" not in re.sub(r"\$0", "", readme), "something was not filled in"
    for part in (
        "| Keras |",
        "| float32 |",
        "| int8 |",
        "[1, 48]",
        "### Kotlin",
        "### Swift",
        "### C++",
        "### JavaScript",
        "An app needs **one `.tflite` file** and nothing else of this folder: `model.int8.tflite`, the smallest (0.0",
    ):
        assert part in readme
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    source = re.search(r'source = "(.*)"\.encode', code[1])
    assert source is not None
    check = (
        f"{code[1]}\nfrom keras_transformer.export import open_artifact\n"
        f"print(open_artifact('.').predict([{source[1]!r}])[0])\n"
        "import sys; assert not {'tensorflow', 'keras', 'yaml'} & set(sys.modules), 'not needed'"
    )
    shown, predicted = fresh_python(check, artifact_path).split("\n")[:2]
    assert shown == predicted


# What is refused, and what an interruption leaves


def test_a_target_below_a_file_is_refused(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    message = rf"^{tmp_path}/notes/a/b cannot be made: {tmp_path}/notes is a file; give another --output$"
    with pytest.raises(UserError, match=message):
        export_run(run_path, tmp_path / "notes" / "a" / "b")


def test_an_existing_target_is_refused(run_path: Path, artifact_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiny exists already; give another --output, or --force to replace it$"):
        export_run(run_path, artifact_path)
    (tmp_path / "precious").write_text("data")
    with pytest.raises(UserError, match=r"is no artifact folder \(it has no manifest.json\): --force does not replace"):
        export_run(run_path, tmp_path, force=True)
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ["int9"]}, r"no precision 'int9'. Did you mean 'int8' or 'int4'\? There are: float32, "),
        ({"precisions": []}, r"precisions is \[\], expected a list of float32, float16, int8, int8_static, int4"),
        ({"max_loss": -1}, r"max_loss is -1, expected 0 or more"),
        ({"max_source_bytes": 7}, r"max_source_bytes is 7, expected 8 to 1048576"),
    ],
)
def test_wrong_arguments(run_path: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_run(run_path, tmp_path / "dist", **options)
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_task(run_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(run_path, path)
    (path / "config.yaml").write_text("task: translatoin\n")
    message = r"config.yaml: no export for the task 'translatoin'. Did you mean 'translation'\? There are: .*translat"
    with pytest.raises(UserError, match=message):
        export_run(path, tmp_path / "dist")
    (path / "config.yaml").write_text("task: [")
    with pytest.raises(UserError, match=r"config.yaml is damaged: ParserError"):
        export_run(path, tmp_path / "dist")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ExportError("model.tflite: not right")])
def test_an_interruption_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch, run_path: Path, tmp_path: Path, error: BaseException
) -> None:
    def stop(export: object, folder: Path, steps: object) -> None:
        (folder / "half").write_text("half")
        raise error

    monkeypatch.setattr(run, "save_model", stop)
    with pytest.raises(type(error)):
        export_run(run_path, tmp_path / "new")
    assert not list(tmp_path.iterdir())
    old = tmp_path / "old"
    old.mkdir()
    (old / "manifest.json").write_text("{}")
    with pytest.raises(type(error)):
        export_run(run_path, old, force=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "manifest.json"]


def test_one_precision_replaces_by_force(
    monkeypatch: pytest.MonkeyPatch, run_path: Path, artifact_path: Path, tmp_path: Path
) -> None:
    """The files are taken from the artifact made before: converting once more would prove nothing new."""

    def copy(saved_model: Path, signatures: list[str], outputs: dict[str, Path], log: Path) -> None:
        for path in outputs.values():
            shutil.copy(artifact_path / path.name, path)

    monkeypatch.setattr(run, "convert", copy)
    monkeypatch.setattr(
        "keras_transformer.export.report._keras_time", lambda *_: {"ms_per_sentence": None, "file_bytes": 1}
    )
    path = tmp_path / "dist"
    path.mkdir()
    (path / "manifest.json").write_text("{}")
    (path / "of old").write_text("")
    limits = {"max_source_bytes": MAX_SOURCE_BYTES, "max_target_bytes": MAX_TARGET_BYTES}
    report = export_run(run_path, path, ["int8"], force=True, test_limit=5, max_loss=100, **limits)
    assert report["sentences"] == 5
    names = {"saved_model", "model.int8.tflite", "manifest.json", "golden.json", "report.json", "README.md"}
    assert {entry.name for entry in path.iterdir()} == {*names, "verify.py"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["dist"]
    assert list(read_json(path / "manifest.json")["precisions"]) == ["int8"]
    assert 'Interpreter("model.int8.tflite")' in (path / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"dist has no precision 'float32'. There are: int8\.$"):
        open_artifact(path, "float32")
    assert open_artifact(path).path.name == "model.int8.tflite", "none asked for: what there is"


def test_float32_must_be_keras_to_the_byte(
    monkeypatch: pytest.MonkeyPatch, artifact_path: Path, run_path: Path, tmp_path: Path
) -> None:
    """The files of one model with the weights of another."""

    def copy(saved_model: Path, signatures: list[str], outputs: dict[str, Path], log: Path) -> None:
        for path in outputs.values():
            shutil.copy(artifact_path / path.name, path)

    other = write_run(tmp_path / "other", activation="gelu")
    monkeypatch.setattr(run, "convert", copy)
    limits = {"max_source_bytes": MAX_SOURCE_BYTES, "max_target_bytes": MAX_TARGET_BYTES}
    with pytest.raises(ExportError, match=r"model.tflite: other answers than Keras gives to \d+"):
        export_run(other, tmp_path / "dist", **limits)
    assert not (tmp_path / "dist").exists()
