"""Exported classifiers: the files, what they answer, and what the folder says of them."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_transformer
from keras_transformer.cli import main
from keras_transformer.errors import UserError
from keras_transformer.export import ExportError, check_folder, export_ctranslate2, export_run, open_artifact, report
from keras_transformer.export.associated import read_associated
from keras_transformer.export.benchmark_text import benchmark_text
from keras_transformer.export.benchmarking import benchmark, sized_texts
from keras_transformer.export.encoder_export import default_room
from keras_transformer.export.encoder_module import sizes
from keras_transformer.export.flatbuffer import operators, read_model
from keras_transformer.export.golden import golden_source
from keras_transformer.export.label_artifact import LabelArtifact, Labelled
from keras_transformer.export.label_export import LabelExport
from keras_transformer.export.label_module import LabelLiteModule
from keras_transformer.export.label_task import LabelOptions
from keras_transformer.export.limits import NUMBER_HELD, SOURCE_CUT, SOURCE_LONG
from keras_transformer.export.tasks import find_task
from keras_transformer.export.verify_folder import is_same
from keras_transformer.predictors import TextToLabels
from tests.export.conftest import fresh_python, read_json, sentences
from tests.export.label_runs import LABELS, MAX_LENGTH, write_label_run
from tests.export.proofs import FEW, MANY, check_metadata, faults_of, fuzz, run_verify

BYTES = 64
TEXTS = [*sentences(24), "", "🚲", "のひと", "\x00", "a man rides a bike. " * 3]


@pytest.fixture(scope="module")
def label_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_label_run(tmp_path_factory.mktemp("runs") / "labels")


@pytest.fixture(scope="module")
def classifier(label_run: Path) -> TextToLabels:
    found = keras_transformer.load(label_run)
    assert isinstance(found, TextToLabels)
    return found


@pytest.fixture(scope="module")
def folder(label_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact folder, made once; not to be changed."""
    path = tmp_path_factory.mktemp("dist") / "labels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_keras_time", lambda *_: {"ms_per_sentence": 1.5, "file_bytes": 1})
        export_run(label_run, path, max_source_bytes=BYTES, max_loss=100)
    return path


@pytest.fixture(scope="module")
def artifact(folder: Path) -> LabelArtifact:
    found = open_artifact(folder)
    assert isinstance(found, LabelArtifact)
    return found


def as_keras(classifier: TextToLabels, source: bytes) -> np.ndarray:
    """Keras's probabilities for what fits into a file: of bytes, and of pieces."""
    ids = classifier.tokenizer.encode(source[:BYTES])[:MAX_LENGTH]
    return np.asarray(classifier.probabilities_of(classifier.logits([ids if len(ids) else np.zeros(16, np.int32)]))[0])


# The files


def test_probabilities_are_those_of_keras(artifact: LabelArtifact, classifier: TextToLabels) -> None:
    answers = set()
    for source in [*(text.encode() for text in TEXTS), b"\xff\xfe", bytes(range(256))]:
        found = artifact.run(source)
        np.testing.assert_allclose(found.probabilities, as_keras(classifier, source), atol=1e-5)
        assert found.labels == (LABELS[int(found.probabilities.argmax())],)
        answers.add(found.labels)
    assert len(answers) > 1, "a model that says the same to all proves nothing"


def test_the_temperature_is_in_the_file(artifact: LabelArtifact, classifier: TextToLabels) -> None:
    logits = classifier.logits([classifier.tokenizer.encode("a man")])[0]
    found = np.log(artifact.run(b"a man").probabilities)
    np.testing.assert_allclose(found - found[0], (logits - logits[0]) / 1.7, atol=1e-4)


def test_int8_is_near(folder: Path, classifier: TextToLabels) -> None:
    int8 = open_artifact(folder, "int8")
    found = np.stack([int8.run(text.encode()).probabilities for text in TEXTS])
    expected = np.stack([as_keras(classifier, text.encode()) for text in TEXTS])
    assert np.abs(found - expected).max() < 0.15
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("name", ["model.tflite", "model.int8.tflite"])
def test_a_file_has_only_built_in_operators(folder: Path, name: str) -> None:
    counted = operators(read_model(folder / name))
    assert not {"CUSTOM", "VAR_HANDLE"} & {name for part in counted.values() for name in part}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (5, 0),
        (0, 0),
        (-3, NUMBER_HELD),
        (BYTES, SOURCE_LONG),
        (BYTES + 1, SOURCE_CUT + SOURCE_LONG),
        (2**31 - 1, SOURCE_CUT + SOURCE_LONG),
    ],
)
def test_status(artifact: LabelArtifact, classifier: TextToLabels, given: int, status: int) -> None:
    text = np.frombuffer(b"x" * BYTES, np.uint8)[None]  # a piece each: more than the model reads
    found = artifact._runner("classify")(text=text, text_length=np.array([given], np.int32))
    assert found["status"].tolist() == [status]
    held = min(max(given, 0), BYTES)
    np.testing.assert_allclose(found["probabilities"][0], as_keras(classifier, b"x" * held), atol=1e-5)


def test_what_follows_the_text_has_no_effect(artifact: LabelArtifact) -> None:
    text = np.full((1, BYTES), 0xFF, np.uint8)
    text[0, :5] = list(b"a man")
    found = artifact._runner("classify")(text=text, text_length=np.array([5], np.int32))
    assert found["probabilities"][0].tolist() == artifact.run(b"a man").probabilities.tolist()


@pytest.mark.parametrize(
    ("smallest", "full", "expected"),
    [(16, 16, [16]), (16, 10, [10]), (16, 17, [16, 17]), (16, 100, [16, 32, 64, 100]), (128, 64, [64])],
)
def test_sizes(smallest: int, full: int, expected: list[int]) -> None:
    assert sizes(smallest, full, 2) == expected


def test_labels_are_in_the_file(folder: Path) -> None:
    for name in ("model.tflite", "model.int8.tflite"):
        with zipfile.ZipFile(folder / name) as archive:
            assert archive.read("labels.txt").decode() == "".join(f"{label}\n" for label in LABELS)
        labels, settings = read_associated(folder / name)
        assert tuple(labels) == LABELS
        assert settings == {"task": "classification", "kind": "single", "temperature": 1.7, "separator": "|"}
        (graph, *_) = check_metadata(read_model(folder / name), read_json(folder / "manifest.json")).tables(3)
        files = {tensor.text(0): [file.text(0) for file in tensor.tables(6)] for tensor in graph.tables(3)}
        assert files == {"probabilities": ["labels.txt"], "status": []}


def test_a_file_without_labels(folder: Path, tmp_path: Path) -> None:
    data = (folder / "model.tflite").read_bytes()
    (tmp_path / "x.tflite").write_bytes(data[: data.rindex(b"PK\x01\x02")])
    with pytest.raises(UserError, match=r"x.tflite has no labels in it \(.*\); export the run again$"):
        open_artifact(tmp_path / "x.tflite")


# In Python


def test_strings(artifact: LabelArtifact, classifier: TextToLabels) -> None:
    texts = TEXTS[:8]
    assert artifact.predict(texts) == classifier.predict(texts)
    expected = classifier.answers(texts)
    for found, wanted in zip(artifact.answers(texts), expected, strict=True):
        assert found.pop("status") == 0
        assert found["probabilities"] == pytest.approx(wanted.pop("probabilities"), abs=1e-5)
        assert found == {**wanted, "probabilities": found["probabilities"]}


def test_a_string_is_no_list(artifact: LabelArtifact) -> None:
    with pytest.raises(TypeError, match="take a list of strings; received one string"):
        artifact.classify("a man")


def test_cutting_is_told(artifact: LabelArtifact) -> None:
    with pytest.warns(UserWarning, match=f"^text 2 has 65 bytes, more than the {BYTES} that this file takes: it was"):
        found = artifact.classify(["a man", " man" * 16 + "x"])
    assert [one.status for one in found] == [0, SOURCE_CUT]
    with pytest.warns(UserWarning, match="^text 1 has more pieces than the model was trained on: it was cut there"):
        assert artifact.classify(["x" * (MAX_LENGTH + 1)])[0].status == SOURCE_LONG
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        artifact.classify(["x" * MAX_LENGTH, ""])


def test_neither_tensorflow_nor_keras_is_needed(folder: Path) -> None:
    code = (
        "from keras_transformer.export import open_artifact\nimport sys\n"
        "print(open_artifact('.').predict(['a man'])[0])\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))"
    )
    label, heavy = fresh_python(code, folder).splitlines()
    assert label in LABELS
    assert heavy == "[]"


# The folder


def test_the_manifest(folder: Path, classifier: TextToLabels) -> None:
    manifest = read_json(folder / "manifest.json")
    assert manifest["task"] == "classification"
    assert manifest["labels"] == list(LABELS)
    assert (manifest["kind"], manifest["temperature"]) == ("single", 1.7)
    assert manifest["limits"] == {"max_source_bytes": BYTES, "max_source_pieces": MAX_LENGTH}
    assert manifest["weights"] == classifier.model.count_params()
    signature = manifest["signatures"][manifest["signature"]]
    assert manifest["signature"] == "classify"
    assert {name: (spec["dtype"], spec["shape"]) for name, spec in signature["outputs"].items()} == {
        "probabilities": ("float32", [1, 3]),
        "status": ("int32", [1]),
    }
    assert list(manifest["saved_model"]["signatures"]) == ["serving_default", "classify"]


def test_the_report(folder: Path) -> None:
    found = read_json(folder / "report.json")
    assert (found["task"], found["headline"], found["sentences"]) == ("classification", "accuracy", 24)
    for precision in ("keras", "float32", "int8"):
        assert 0 <= found["results"][precision]["accuracy"] <= 100
        assert 0 <= found["results"][precision]["macro_f1"] <= 100
        assert found["results"][precision]["ms_per_sentence"] > 0
    assert found["results"]["float32"]["agreement_with_keras"] == 100
    assert found["results"]["float32"]["texts_cut"] == 0
    assert found["results"]["float32"]["accuracy"] == found["results"]["keras"]["accuracy"]


def test_golden_answers(folder: Path, artifact: LabelArtifact) -> None:
    inputs = read_json(folder / "golden.json")["inputs"]
    assert len(inputs) >= 50
    for entry in inputs:
        golden, found = entry["answers"]["float32"], artifact.run(golden_source(entry))
        assert found.is_golden(golden), entry["kind"]
        assert found.status == golden["status"]
        assert not found._replace(labels=("wrong",)).is_golden(golden)
        assert not found._replace(probabilities=found.probabilities + 0.01).is_golden(golden)


def test_benchmark(folder: Path) -> None:
    found = benchmark(folder, size=40)
    for measured in found["precisions"].values():
        assert 0 < measured["median_ms"] <= measured["p90_ms"]
        assert measured["golden_equal"] == measured["golden_inputs"] >= 50
        assert 0 < measured["sized"]["median_ms"] <= measured["sized"]["p90_ms"]
        assert measured["sized"]["bytes"] == 40
    assert "Texts of 40 bytes" in benchmark_text(found)


def test_texts_of_a_size(folder: Path) -> None:
    assert sized_texts([b"A bike.", b"Two."], 6, 2) == [b"A bike", b". Two."]
    texts = sized_texts(["Größe".encode()], 128, 7)  # shorter than one text is long
    assert len(texts) == 7
    assert {len(text) for text in texts} <= {127, 128}
    assert all(text.decode() for text in texts)
    with pytest.raises(UserError, match="bytes is 65, expected at most 64, which these files have room for"):
        benchmark(folder, size=65)


def test_the_saved_model_in_a_fresh_process(folder: Path, classifier: TextToLabels) -> None:
    texts = [*TEXTS[:6], "🚲"]
    code = f"""
import tensorflow as tf, tensorflow_text, json
classify = tf.saved_model.load("saved_model").signatures["classify"]
assert classify(text=tf.constant(["", ""]))["probabilities"].shape == (2, 3)
found = classify(text=tf.constant({texts!r}))
print(json.dumps([found["probabilities"].numpy().tolist(), [one.decode() for one in found["label"].numpy()]]))
"""
    probabilities, labels = json.loads(fresh_python(code, folder).splitlines()[-1])
    expected = classifier.classify(texts, cut=True)
    np.testing.assert_allclose(probabilities, [list(one.probabilities.values()) for one in expected], atol=1e-5)
    assert labels == [one.labels[0] for one in expected]


def test_the_readme_can_be_followed(folder: Path, artifact: LabelArtifact) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "$" not in re.sub(r"\$0", "", readme), "something was not filled in"
    for part in ("| accuracy, % |", "[1, 64]", "1. `größer`", "divided by 1.7", "class Classifier(", "### JavaScript"):
        assert part in readme
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    source = re.search(r'source = "(.*)"\.encode', code[1])
    assert source is not None
    shown = fresh_python(code[1], folder).splitlines()
    expected = artifact.run(source[1].encode())
    assert shown == [f"{n:.4f} {label}" for n, label in zip(expected.numbers, LABELS, strict=True)]


# Proofs


def check_numbers(found: dict[str, np.ndarray]) -> None:
    assert found["probabilities"].min() >= 0
    assert found["probabilities"].sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fuzz(folder: Path, precision: str, examples: int) -> None:
    artifact = open_artifact(folder, precision)
    fuzz(artifact._runner(artifact.signature), check_numbers, examples)


def test_the_schema_and_verify(folder: Path) -> None:
    manifest = check_folder(folder)
    assert faults_of(manifest) == []
    assert faults_of({**manifest, "kind": "other"}) == ["'other' is not one of ['single', 'multi', 'regression']"]
    status, lines = run_verify(folder)
    assert status == 0, lines
    assert [line.split()[-1] for line in lines[2:4]] == ["ok", "ok"]
    golden = read_json(folder / "golden.json")
    wanted = golden["inputs"][0]["answers"]["float32"]
    numbers = np.array([wanted["probabilities"]], np.float32)
    found = {"probabilities": numbers, "status": np.array([wanted["status"]], np.int32)}
    assert is_same(found, wanted, manifest, 1e-3)
    assert not is_same({**found, "probabilities": numbers + 0.01}, wanted, manifest, 1e-3)
    assert not is_same({**found, "status": np.array([32], np.int32)}, wanted, manifest, 1e-3)
    assert not is_same(found, {**wanted, "labels": []}, manifest, 1e-3)


# On the command line


def test_predict(folder: Path, artifact: LabelArtifact, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder), "a man", "the bike"]) == 0
    assert capsys.readouterr().out.splitlines() == artifact.predict(["a man", "the bike"])
    assert main(["predict", str(folder), "--json", "a man"]) == 0
    assert json.loads(capsys.readouterr().out) == artifact.answers(["a man"])[0]
    assert main(["predict", str(folder), "--beam", "3", "a man"]) == 2
    assert "--beam is for models that write text; this one does not" in capsys.readouterr().err


def test_evaluate(folder: Path, label_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(label_run / "data" / "test.jsonl")
    assert main(["evaluate", str(folder), "--data", data]) == 0
    printed = capsys.readouterr()
    assert "warning: labels that were not trained on, which always count as missed: 'new' (8)" in printed.err
    found = json.loads(printed.out)
    reported = read_json(folder / "report.json")["results"]["float32"]
    assert {name: found[name] for name in ("accuracy", "macro_f1", "nll")} == {
        name: reported[name] for name in ("accuracy", "macro_f1", "nll")
    }
    assert found["file"].endswith("model.tflite")
    assert found["ms_per_sentence"] > 0
    assert main(["evaluate", str(folder), "--data", data, "--precision", "int8", "--limit", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["texts"] == 5
    for flags, message in (
        ([], "has no test data in it: give --data FILE"),
        (["--data", data, "--batch-tokens", "8"], "--batch-tokens: an exported file takes one text at a time"),
        (["--data", data, "--beam", "2"], "--beam: a file searches as it was exported"),
        (["--data", str(tmp_path / "x.tsv")], "x.tsv"),
    ):
        assert main(["evaluate", str(folder), *flags]) == 2
        assert message in capsys.readouterr().err
    assert main(["evaluate", str(label_run), "--precision", "int8"]) == 2
    assert "is a run directory; only an artifact folder has several" in capsys.readouterr().err


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_source_bytes": 7}, r"^max_source_bytes is 7, expected 8 to 1048576$"),
        (
            {"max_target_bytes": 9},
            r"^max_target_bytes is no option of an export for classification\. Did you mean 'max_s",
        ),
        ({"align": True}, r"^align is no option of an export for classification. There are: max_source_bytes\.$"),
    ],
)
def test_wrong_options(label_run: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_run(label_run, tmp_path / "dist", **options)
    assert not list(tmp_path.iterdir())


def test_ctranslate2_is_for_text(label_run: Path, tmp_path: Path) -> None:
    message = "^CTranslate2 runs models that write text, which those of classification do not$"
    with pytest.raises(UserError, match=message):
        export_ctranslate2(label_run, tmp_path / "x")


def exported(run: Path, **options: Any) -> LabelExport:
    task = find_task("classification")
    return task.export(keras_transformer.training.RunDirectory(run), {}, LabelOptions(**options), 8)


def test_an_export_stops_at_other_probabilities(label_run: Path) -> None:
    export = exported(label_run)
    ours = Labelled(("other",), np.array([0.1, 0.2, 0.7], np.float32), 0)
    near, far = (ours._replace(probabilities=ours.probabilities + offset) for offset in (5e-4, 5e-3))
    with pytest.raises(ExportError, match=r"^x.tflite: other probabilities than Keras's for 'test': \[0.105"):
        export.verify_more(_Named(), [_Sentence()], [ours], [far], None)
    export.verify_more(_Named(), [_Sentence()], [ours], [near], None)


class _Named:
    path = Path("x.tflite")


class _Sentence:
    kind = "test"
    source = b"a man"


def test_differences_and_ties(label_run: Path) -> None:
    export = exported(label_run)

    def answer(*numbers: float) -> Labelled:
        array = np.array(numbers, np.float32)
        return Labelled((LABELS[int(array.argmax())],), array, 0)

    ours = [answer(0.5, 0.3, 0.2), answer(0.4, 0.40004, 0.2), answer(0.2, 0.3, 0.5)]
    theirs = [answer(0.45, 0.3, 0.25), answer(0.40004, 0.4, 0.2), answer(0.2, 0.5, 0.3)]
    found = export.differences([b"a", b"b", b"c"], ours, theirs)
    assert [(one["index"], one["keras"], one["file"], one["tie"]) for one in found] == [
        (1, "größer", "in store", True),
        (2, "other", "größer", False),
    ]


@pytest.mark.parametrize("kind", ["multi", "regression"])
@pytest.mark.parametrize("pooling", ["max", "attention", "first"])
def test_other_kinds_and_poolings_as_graphs(kind: str, pooling: str, tmp_path: Path) -> None:
    """Without a conversion: the graph that would be converted, in TensorFlow."""
    import tensorflow as tf

    classifier = keras_transformer.load(write_label_run(tmp_path / "run", kind, 1.0, pooling=pooling))
    module = LabelLiteModule(classifier, BYTES)
    call = tf.function(module.classify, autograph=False)
    for text in (b"", b"a man rides the bike", b"x" * 50):
        padded = np.zeros((1, BYTES), np.uint8)
        padded[0, : len(text)] = list(text)
        found = call(tf.constant(padded), tf.constant([len(text)]))
        name = "values" if kind == "regression" else "probabilities"
        np.testing.assert_allclose(found[name][0], as_keras(classifier, text), atol=1e-5)
        assert found["status"].numpy().tolist() == [SOURCE_LONG if len(text) > MAX_LENGTH and text[0] == 120 else 0]


def test_room_for_a_text() -> None:
    assert [default_room(length) for length in (1, 16, 100, 256)] == [64, 64, 448, 1024]


def test_associated_files_stand_in_a_file_once(folder: Path, tmp_path: Path) -> None:
    """The model part is read by its own schema whatever stands behind it."""
    path = tmp_path / "x.tflite"
    path.write_bytes((folder / "model.tflite").read_bytes())
    before = read_model(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt", "settings.json"]
    assert len(before.signatureDefs) == 1
