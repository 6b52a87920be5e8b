"""Exported taggers: words and labels as graphs, the files, and what the folder says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_transformer
from keras_transformer.cli import main
from keras_transformer.export import check_folder, export_run, open_artifact, report
from keras_transformer.export.benchmarking import benchmark
from keras_transformer.export.flatbuffer import operators, read_model
from keras_transformer.export.golden import golden_source
from keras_transformer.export.label_task import LabelOptions
from keras_transformer.export.limits import NUMBER_HELD, SOURCE_CUT, SOURCE_LONG, TARGET_CUT
from keras_transformer.export.progress import Steps
from keras_transformer.export.tag_artifact import TagArtifact, TaggedWords, marked
from keras_transformer.export.tag_export import TagExport
from keras_transformer.export.tag_module import TagLiteModule, _bounds_of_units, _units, viterbi
from keras_transformer.export.tag_task import examples_of, tags_at
from keras_transformer.export.tasks import find_task
from keras_transformer.models.crf import LinearChainCRF
from keras_transformer.predictors import TextToTags
from keras_transformer.text.word_kinds import CODE_POINTS, GLUE, INNER, JOINS, MARK, PLAIN, SPACE, code_point_kinds
from keras_transformer.text.words import RULES, Rule, word_spans
from keras_transformer.training import RunDirectory
from tests.export.conftest import fresh_python, read_json, sentences
from tests.export.proofs import FEW, MANY, faults_of, fuzz, run_verify
from tests.export.tag_runs import MAX_LENGTH, TAGS, write_tag_run

BYTES = 64
UNICODE: Rule = "punctuation_unicode14"
TEXTS = [*sentences(24), "", "   ", "🚲 (Käse).", "don't, U.S. 3.14!", "a man rides\tthe\nbike", "x" * 40, ". " * 30]


@pytest.fixture(scope="module")
def tag_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tag_run(tmp_path_factory.mktemp("runs") / "tags", UNICODE, crf=True)


@pytest.fixture(scope="module")
def export(tag_run: Path) -> TagExport:
    found = find_task("tagging").export(RunDirectory(tag_run), {}, LabelOptions(BYTES), 24)
    assert isinstance(found, TagExport)
    return found


@pytest.fixture(scope="module")
def folder(tag_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact folder, made once; not to be changed."""
    path = tmp_path_factory.mktemp("dist") / "tags"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_keras_time", lambda *_: {"ms_per_sentence": 1.5, "file_bytes": 1})
        export_run(tag_run, path, max_source_bytes=BYTES, max_loss=100)
    return path


@pytest.fixture(scope="module")
def artifact(folder: Path) -> TagArtifact:
    found = open_artifact(folder)
    assert isinstance(found, TagArtifact)
    return found


def in_graph(module: TagLiteModule, source: bytes) -> dict[str, np.ndarray]:
    """What the graph that is converted answers in TensorFlow."""
    padded = np.zeros((1, BYTES), np.uint8)
    padded[0, : len(source)] = list(source)
    return {name: value.numpy() for name, value in module.tag(tf.constant(padded), tf.constant([len(source)])).items()}


# Graphs


@pytest.mark.parametrize("rule", RULES)
def test_words_are_those_of_python(rule: str, tmp_path: Path) -> None:
    tagger = keras_transformer.load(write_tag_run(tmp_path / "run", rule, max_length=64))
    tagger.max_length = BYTES
    module = TagLiteModule(tagger, BYTES)
    draw = np.random.default_rng(2)
    alphabet = np.frombuffer(b" \t\n.,'ab1\xc3\xa4\x00", np.uint8)
    sources = [bytes(draw.choice(alphabet, draw.integers(0, BYTES + 1))) for _ in range(40)]
    for text in ("“a”…b’c", "、a。\u3000b", "👩\u200d💻👍🏽\u0301\u0301 \u0301", "\u200d\u200d.\u200da\u2028\u200d"):
        sources += [
            text.encode(),
            *(draw.permutation(np.frombuffer(text.encode(), np.uint8)).tobytes() for _ in range(4)),
        ]
    for source in [*sources, draw.bytes(BYTES), b"", b" " * BYTES, b"." * BYTES, b"\xcc\x81" * (BYTES // 2)]:
        padded = np.full(BYTES, 65, np.uint8)  # what follows the text has no effect
        padded[: len(source)] = list(source)
        found = module._words(tf.constant(padded), tf.constant(len(source)))
        count = int(found.count)
        expected = word_spans(source, rule)
        assert list(zip(found.starts[:count].numpy(), found.ends[:count].numpy(), strict=True)) == expected, source
        assert not found.starts[count:].numpy().any()
        assert not found.ends[count:].numpy().any()


def test_the_graph_knows_every_code_point() -> None:
    """All of the planes that have other kinds than letters, and some of the rest."""
    assert not np.flatnonzero(code_point_kinds()[0x20000:0xE0000] != PLAIN).size
    planes = (range(0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE0200), range(0x20000, CODE_POINTS, 97))
    points = [point for plane in planes for point in plane]
    data = np.frombuffer("".join(f"a{chr(point)}b {chr(point)} " for point in points).encode(), np.uint8)
    begins, finishes = _bounds_of_units(*_units(tf.constant(data, tf.int32)))
    found = zip(np.flatnonzero(begins), np.flatnonzero(finishes) + 1, strict=True)
    assert list(found) == word_spans(data.tobytes(), UNICODE)


def test_viterbi_is_that_of_the_crf() -> None:
    draw = np.random.default_rng(3)
    places, labels = 12, 4
    crf = LinearChainCRF(labels)
    for part in (crf.transitions, crf.start, crf.end):
        part.assign(draw.normal(0, 2, part.shape))
    weights = [tf.constant(ops.convert_to_numpy(part)) for part in (crf.transitions, crf.start, crf.end)]
    for count in [*range(1, places + 1), 7, 7, 7]:
        logits = draw.normal(0, 1, (places, labels)).astype(np.float32)
        counted = draw.random(places) < 0.6
        expected = ops.convert_to_numpy(crf.decode(logits[None, :count], counted[None, :count]))[0]
        found = viterbi(tf.constant(logits), tf.constant(counted), tf.constant(count), *weights)
        assert found.numpy()[:count].tolist() == expected.tolist()


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_the_graph_answers_as_keras(crf: bool, rule: str, tmp_path: Path) -> None:
    run = write_tag_run(tmp_path / "run", rule, crf=crf)
    tagger = keras_transformer.load(run)
    assert isinstance(tagger, TextToTags)
    module = TagLiteModule(tagger, BYTES)
    seen = set()
    for text in TEXTS:
        source = text.encode()[:BYTES]
        found = in_graph(module, source)
        count = int(found["words"][0])
        words = word_spans(source, rule)
        (expected,) = tagger.tags_of([source], [[start for start, _ in words]], cut=True)
        tags = [TAGS[label] for label in found["labels"][0, :count]]
        assert tags == expected[:count], text
        assert list(zip(found["starts"][0, :count], found["ends"][0, :count], strict=True)) == words[:count]
        assert count == min(len(words), MAX_LENGTH)
        seen.update(tags)
    assert len(seen) > 2, "a model that says the same of all proves nothing"


@pytest.mark.parametrize(
    ("source", "given", "status"),
    [
        (b"a man", 5, 0),
        (b"", 0, 0),
        (b"a man", -1, NUMBER_HELD),
        (b"x" * 30, 30, SOURCE_LONG),
        (b"a man rides the bike and the man " + b" " * 31, 65, SOURCE_CUT + SOURCE_LONG),
        (b". " * 32, 64, SOURCE_LONG + TARGET_CUT),
    ],
)
def test_status(export: TagExport, source: bytes, given: int, status: int) -> None:
    module, _ = export.lite()
    padded = np.zeros((1, BYTES), np.uint8)
    padded[0, : len(source)] = list(source)
    found = module.tag(tf.constant(padded), tf.constant([given]))
    assert found["status"].numpy().tolist() == [status]


# Files


def test_the_file_answers_as_keras(artifact: TagArtifact, export: TagExport) -> None:
    sources = [*(text.encode()[:BYTES] for text in TEXTS), b"\xff\xfe .", bytes(range(64))]
    for source, expected in zip(sources, export.expected(sources, Steps(), "Keras"), strict=True):
        found = artifact.run(source)
        count = len(found.words)
        assert (found.tags, found.words) == (expected.tags[:count], expected.words[:count]), source
        assert count == min(len(expected.words), MAX_LENGTH)


def test_the_file_finds_words_as_python_does(artifact: TagArtifact) -> None:
    """All punctuation, what joins it, white space, and some of everything else."""
    kinds = code_point_kinds()
    draw = np.random.default_rng(5)
    special = np.flatnonzero(np.isin(kinds, [MARK, INNER, GLUE, SPACE]))
    others = draw.choice(CODE_POINTS, 1500, replace=False)
    points = [point for point in [*special, *draw.permutation(np.flatnonzero(kinds == JOINS))[:500], *others]
              if not 0xD800 <= point < 0xE000]  # fmt: skip
    for one, other in zip(points[::2], points[1::2], strict=False):
        source = f"a{chr(one)}b{chr(other)} {chr(other)}{chr(one)}".encode()
        assert artifact.run(source).words == tuple(word_spans(source, UNICODE))[:MAX_LENGTH], (one, other)


@pytest.mark.parametrize("name", ["model.tflite", "model.int8.tflite"])
def test_a_file_has_only_built_in_operators(folder: Path, name: str) -> None:
    counted = operators(read_model(folder / name))
    present = {name for part in counted.values() for name in part}
    assert not {"CUSTOM", "VAR_HANDLE"} & present
    assert "WHILE" in present, "the chain of labels"


def test_strings(artifact: TagArtifact, tag_run: Path) -> None:
    tagger = keras_transformer.load(tag_run)
    texts = [text for text in TEXTS if 0 < len(text) < 30]
    assert artifact.predict(texts) == tagger.predict(texts)
    for found, expected in zip(artifact.answers(texts), tagger.answers(texts), strict=True):
        assert found.pop("status") == 0
        assert found == expected
        data = found["text"].encode()
        assert [word["text"] for word in found["words"]] == [
            data[start:end].decode() for start, end in word_spans(data, UNICODE)
        ]
    with pytest.raises(TypeError, match="take a list of strings; received one string"):
        artifact.tag("a man")
    with pytest.warns(UserWarning, match="^text 1 has more pieces than the model was trained on: words behind them"):
        assert artifact.tag(["x" * 30])[0].status == SOURCE_LONG
    with (
        pytest.warns(UserWarning, match="has more pieces"),
        pytest.warns(UserWarning, match="^text 1 has more words than this file has room for: the last ones"),
    ):
        assert len(artifact.tag([". " * 30])[0].words) == MAX_LENGTH


def test_marks() -> None:
    found = TaggedWords(("B-PER", "I-PER", "O", "B-LOC"), ((0, 4), (5, 9), (10, 12), (13, 19)), 0)
    assert marked("Anna May in Köln.".encode(), found._replace(words=((0, 4), (5, 8), (9, 11), (12, 17)))) == (
        "[Anna May]{PER} in [Köln]{LOC}."
    )


def test_tags_at_the_words_of_a_sentence() -> None:
    answer = TaggedWords(("B-x", "I-x", "O"), ((0, 1), (1, 6), (7, 8)), 0)
    assert tags_at(answer, [0, 1, 3, 6, 7, 8]) == ["B-x", "I-x", "I-x", "O", "O", "O"]
    assert tags_at(TaggedWords((), (), 0), [0, 2]) == ["O", "O"]
    rows = [("In Paris .", "O\tB-LOC\tO")]
    assert examples_of(rows, "space") == [("In Paris .", [0, 3, 9], ["O", "B-LOC", "O"])]
    assert examples_of(rows, "punctuation") == [("In Paris.", [0, 3, 8], ["O", "B-LOC", "O"])]


# The folder


def test_the_manifest(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    assert (manifest["task"], manifest["signature"], manifest["labels"]) == ("tagging", "tag", list(TAGS))
    assert (manifest["words"], manifest["crf"]) == (UNICODE, True)
    limits = {"max_source_bytes": BYTES, "max_source_pieces": MAX_LENGTH, "max_words": MAX_LENGTH}
    assert manifest["limits"] == limits
    outputs = manifest["signatures"]["tag"]["outputs"]
    assert {name: (spec["dtype"], spec["shape"]) for name, spec in outputs.items()} == {
        "labels": ("int32", [1, MAX_LENGTH]),
        "starts": ("int32", [1, MAX_LENGTH]),
        "ends": ("int32", [1, MAX_LENGTH]),
        "words": ("int32", [1]),
        "status": ("int32", [1]),
    }


def test_the_report(folder: Path) -> None:
    found = read_json(folder / "report.json")
    assert (found["task"], found["headline"], found["sentences"]) == ("tagging", "f1", 24)
    assert found["results"]["float32"]["agreement_with_keras"] == 100
    assert found["results"]["float32"]["f1"] == found["results"]["keras"]["f1"]


def test_golden_answers_and_benchmark(folder: Path, artifact: TagArtifact) -> None:
    inputs = read_json(folder / "golden.json")["inputs"]
    assert len(inputs) >= 50
    for entry in inputs:
        found = artifact.run(golden_source(entry))
        assert found.is_golden(entry["answers"]["float32"]), entry["kind"]
        assert not found._replace(tags=("O", *found.tags)).is_golden(entry["answers"]["float32"])
    for measured in benchmark(folder)["precisions"].values():
        assert measured["golden_equal"] == measured["golden_inputs"]


def test_the_saved_model_in_a_fresh_process(folder: Path, artifact: TagArtifact) -> None:
    texts = ["a man rides", "", "🚲 (Käse)."]
    code = f"""
import tensorflow as tf, json
found = tf.saved_model.load("saved_model").signatures["tag"](text=tf.constant({texts!r}))
print(json.dumps({{name: value.numpy().tolist() for name, value in found.items()}}))
"""
    found = json.loads(fresh_python(code, folder).splitlines()[-1])
    for row, text in enumerate(texts):
        expected, count = artifact.run(text.encode()), found["words"][row]
        assert tuple(TAGS[label] for label in found["labels"][row][:count]) == expected.tags
        assert tuple(zip(found["starts"][row], found["ends"][row], strict=True))[:count] == expected.words


def test_the_readme_can_be_followed(folder: Path, artifact: TagArtifact) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "$" not in re.sub(r"\$[0]", "", readme), "something was not filled in"
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    source = re.search(r'source = "(.*)"\.encode', code[1])
    assert source is not None
    data = source[1].encode()
    found = artifact.run(data)
    expected = [f"{tag} {data[a:b].decode()}" for tag, (a, b) in zip(found.tags, found.words, strict=True)]
    assert fresh_python(code[1], folder).splitlines() == expected


def test_the_command_line(
    folder: Path, artifact: TagArtifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(folder), "a man rides"]) == 0
    assert capsys.readouterr().out.splitlines() == artifact.predict(["a man rides"])
    assert main(["predict", str(folder), "--json", "a man rides"]) == 0
    assert json.loads(capsys.readouterr().out) == artifact.answers(["a man rides"])[0]
    tags = artifact.run(b"a man rides").tags
    data = tmp_path / "test.conll"
    data.write_text(
        "".join(f"{w} {t}\n" for w, t in zip(["a", "man", "rides"], tags, strict=True)).replace("größer ", "")
    )
    assert main(["evaluate", str(folder), "--data", str(data)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sentences"], found["words"]) == (1, 3)


def test_differences_and_ties(export: TagExport) -> None:
    source = b"a man"
    (ours,) = export.expected([source], Steps(), "Keras")
    assert export.differences([source], [ours], [ours]) == []
    other = ours._replace(tags=tuple("O" if tag != "O" else "B-x" for tag in ours.tags))
    (found,) = export.differences([source], [ours], [other])
    assert (found["index"], found["source"], found["tie"]) == (0, "a man", False)
    fewer = ours._replace(words=ours.words[:1], tags=ours.tags[:1])
    assert len(export.differences([source], [ours], [fewer])) == 1
    assert export.differences([source], [ours], [fewer._replace(status=TARGET_CUT)]) == []


def check_words(found: dict[str, np.ndarray]) -> None:
    count, places = int(found["words"][0]), found["starts"].shape[1]
    assert 0 <= count <= places
    starts, ends = (found[name][0, :count].tolist() for name in ("starts", "ends"))
    bounds = [bound for word in zip(starts, ends, strict=True) for bound in word]
    assert bounds == sorted(bounds)
    assert all(start < end <= BYTES for start, end in zip(starts, ends, strict=True))
    assert not any(found[name][0, count:].any() for name in ("labels", "starts", "ends"))
    assert ((found["labels"] >= 0) & (found["labels"] < len(TAGS))).all()


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fuzz(folder: Path, precision: str, examples: int) -> None:
    artifact = open_artifact(folder, precision)
    fuzz(artifact._runner(artifact.signature), check_words, examples)


def test_the_schema_and_verify(folder: Path) -> None:
    manifest = check_folder(folder)
    assert faults_of(manifest) == []
    assert faults_of({**manifest, "words": "other"}) == [
        "'other' is not one of ['space', 'punctuation', 'punctuation_unicode14']"
    ]
    status, lines = run_verify(folder)
    assert status == 0, lines
    assert [line.split()[-1] for line in lines[2:4]] == ["ok", "ok"]
