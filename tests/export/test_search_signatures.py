"""Searches inside the files: sizes, several answers, draws, and the loop of an app; against Keras."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.errors import UserError
from keras_transformer.export import export_run, open_artifact
from keras_transformer.export.flatbuffer import operator_name, read_model, signatures
from keras_transformer.export.limits import ID_HELD, NUMBER_HELD, SOURCE_CUT, SOURCE_LONG, TARGET_CUT, Limits
from keras_transformer.export.lite_module import LiteModule, Size, sizes
from keras_transformer.export.signatures import described, lite_signatures
from keras_transformer.export.text_artifact import Answer, TextArtifact
from keras_transformer.generation import Generated, SearchOptions, TextToText
from tests.export.conftest import (
    MAX_SOURCE_BYTES,
    MAX_TARGET_BYTES,
    N_BEST,
    SAMPLES,
    SIZED_SOURCE_BYTES,
    WORDS,
    export_searching,
    read_json,
    sentences,
)
from tests.export.proofs import FEW, MANY, fuzz_every_signature
from tests.export.test_export_run import fresh_python

pytestmark = [  # of random models and of texts that are long for them
    pytest.mark.filterwarnings("ignore:text [0-9]+ has:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

STEPS = ["encode", "decode_step", "detokenize"]
TEXTS = [*sentences(24), " ".join(WORDS), "0123456789" * 4, "ä" * 20, "🚲"]


@pytest.fixture(scope="module")
def n_best(n_best_path: Path) -> TextArtifact:
    return open_artifact(n_best_path)


@pytest.fixture(scope="module")
def samples(samples_path: Path) -> TextArtifact:
    return open_artifact(samples_path)


@pytest.fixture(scope="module")
def greedy(artifact_path: Path) -> TextArtifact:
    return open_artifact(artifact_path)


@pytest.fixture(scope="module")
def expected(long_predictor: TextToText) -> list[list[Generated]]:
    """Keras's n best answers to `TEXTS`."""
    return long_predictor.generate_n_best(TEXTS, search=N_BEST)


def check_equal(found: list[list[Answer]], expected: list[list[Generated]]) -> None:
    assert [[answer.text for answer in answers] for answers in found] == [
        [answer.text for answer in answers] for answers in expected
    ]
    for answers, wanted in zip(found, expected, strict=True):
        assert [a.score for a in answers] == pytest.approx([w.score for w in wanted], rel=1e-4, abs=1e-4)
        assert [bool(a.status & 2) for a in answers] == [not w.is_complete for w in wanted]


# Sizes


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (48, 20, [(48, 20)]),
        (63, 99, [(63, 99)]),
        (64, 99, [(16, 24), (64, 99)]),
        (128, 40, [(16, 24), (32, 40), (128, 40)]),
        (256, 128, [(32, 40), (64, 80), (256, 128)]),
        (256, 30, [(32, 30), (64, 30), (256, 30)]),
        (8, 9, [(8, 9)]),
    ],
)
def test_sizes(source: int, target: int, expected: list[tuple[int, int]]) -> None:
    assert sizes(source, target) == [Size(*size) for size in expected]


def cache_lengths(path: Path) -> set[int]:
    """The lengths of the caches that a file writes to."""
    model = read_model(path)
    return {
        int(graph.tensors[operator.inputs[0]].shape[2])
        for graph in model.subgraphs
        for operator in graph.operators
        if operator_name(model, operator) == "DYNAMIC_UPDATE_SLICE"
        and len(graph.tensors[operator.inputs[0]].shape) == 4
    }


def test_a_file_has_its_sizes(n_best_path: Path, samples_path: Path) -> None:
    assert cache_lengths(n_best_path / "model.tflite") == {24, 40}
    assert cache_lengths(n_best_path / "model.int8.tflite") == {24, 40}
    assert cache_lengths(samples_path / "model.tflite") == {40}


def test_one_size_gives_the_same(long_predictor: TextToText) -> None:
    source = b"the red man"
    text = np.zeros((1, SIZED_SOURCE_BYTES), np.uint8)
    text[0, : len(source)] = list(source)
    given = tf.constant(text), tf.constant([len(source)])
    answers = []
    for one_size in (False, True):
        module = LiteModule(long_predictor, Limits(SIZED_SOURCE_BYTES, 200, one_size=one_size))
        traced = tf.function(module.answer).get_concrete_function(*given)
        loops = [name for name in _operations(traced.graph) if name in ("While", "StatelessWhile")]
        assert len(loops) == (1 if one_size else 3), "a search for each size"
        answers.append({name: value.numpy().tolist() for name, value in traced(*given).items()})
    assert answers[0] == answers[1]


def _operations(graph: Any) -> list[str]:
    """Types of the operations of a graph and of the branches in it, not of what is in their loops."""
    found = []
    for operation in graph.get_operations():
        found.append(operation.type)
        if operation.type in ("If", "StatelessIf"):
            for branch in ("then_branch", "else_branch"):
                found += _operations(graph._get_function(operation.get_attr(branch).name).graph)
    return found


# N best


@pytest.mark.parametrize(
    ("what", "has"),
    [
        ("fits the smallest size, and so does its answer", lambda pieces, answer: pieces <= 16 and answer < 24),
        ("fits the smallest size, its answer does not", lambda pieces, answer: pieces <= 16 and answer >= 24),
        ("fits the middle size", lambda pieces, answer: 16 < pieces <= 32),
        ("fits the full size only", lambda pieces, answer: pieces > 32),
    ],
)
def test_a_text_that(
    n_best: TextArtifact,
    long_predictor: TextToText,
    expected: list[list[Generated]],
    what: str,
    has: Callable[[int, int], bool],
) -> None:
    """The answers of every size are Keras's."""
    pieces = [len(long_predictor.tokenizer.encode(text)) for text in TEXTS]
    rows = [row for row, count in enumerate(pieces) if has(count, max(a.pieces for a in expected[row]))]
    assert rows, f"no text {what}"
    check_equal(n_best.generate_n_best([TEXTS[row] for row in rows]), [expected[row] for row in rows])


def test_the_best_is_the_first_of_the_n_best(n_best: TextArtifact) -> None:
    best = n_best.generate(TEXTS)
    assert len({answer.text for answer in best}) > 12, "a model that says the same to all proves nothing"
    for one, answers in zip(best, n_best.generate_n_best(TEXTS), strict=True):
        assert (one.text, one.status) == (answers[0].text, answers[0].status)
        assert one.score == pytest.approx(answers[0].score, abs=1e-5)
        assert [answer.score for answer in answers] == sorted((a.score for a in answers), reverse=True)


def test_int8_gives_as_many(n_best_path: Path) -> None:
    found = open_artifact(n_best_path, "int8").generate_n_best(TEXTS)
    assert {len(answers) for answers in found} == {3}
    assert all(answer.score < 0 for answers in found for answer in answers)


@pytest.mark.parametrize("path", ["n_best_path", "samples_path"])
def test_the_report_agrees_with_keras(path: str, request: pytest.FixtureRequest) -> None:
    results = read_json(request.getfixturevalue(path) / "report.json")["results"]
    assert results["float32"]["agreement_with_keras"] == 100


RULES = SearchOptions(
    beam=3,
    n_best=2,
    length_penalty=0.6,
    coverage_penalty=0.3,
    min_length=2,
    min_ratio=0.4,
    max_ratio=0.8,
    force_end=True,
    repetition_penalty=1.3,
    no_repeat_ngram=2,
    forbidden=("bike", "12"),
    prefix="ä",
)


def test_every_rule_in_every_form(
    long_run_path: Path, long_predictor: TextToText, tmp_path: Path, expected: list[list[Generated]]
) -> None:
    wanted = long_predictor.generate_n_best(TEXTS, search=RULES)
    assert all(one != other for one, other in zip(wanted, expected, strict=True)), "rules that change nothing"
    path = export_searching(long_run_path, tmp_path / "rules", RULES, SIZED_SOURCE_BYTES, with_steps=False)
    check_equal(open_artifact(path).generate_n_best(TEXTS), wanted)
    check_saved_model(saved_model_answers(path, TEXTS, 'call["translate_n_best"](text=texts)'), wanted)


# Draws


@pytest.mark.parametrize(("seed", "temperature"), [(0, 1.0), (7, 0.5), (2**31 - 1, 0.3)])
def test_draws_are_those_of_keras(
    samples: TextArtifact, long_predictor: TextToText, seed: int, temperature: float
) -> None:
    texts = [text for text in TEXTS if len(text.encode()) <= MAX_SOURCE_BYTES]
    found = samples.sample(texts, seed=seed, temperature=temperature)
    search = SearchOptions(samples=4, seed=seed, temperature=temperature)
    check_equal(found, long_predictor.generate_n_best(texts, search=search))
    assert len({answer.text for answer in found[0]}) > 1


def test_a_seed_repeats(samples: TextArtifact) -> None:
    first = samples.sample(TEXTS[:4], seed=3)
    assert samples.sample(TEXTS[:4], seed=3) == first
    assert samples.sample(TEXTS[:4], seed=4) != first


def test_a_file_that_draws_gives_the_likeliest_answer_too(samples: TextArtifact, long_predictor: TextToText) -> None:
    texts = TEXTS[:8]
    check_equal([[answer] for answer in samples.generate(texts)], long_predictor.generate_n_best(texts))


def test_seed_and_temperature_are_held_to_their_range(samples: TextArtifact) -> None:
    """In the file, where nothing can be raised; from Python they are refused."""
    given = samples._source(b"a man")

    def draw(seed: int, temperature: float) -> list[Any]:
        found = samples._runner("sample")(
            **given, seed=np.array([seed], np.int32), temperature=np.array([temperature], np.float32)
        )
        return [found[name].tolist() for name in ("text", "score")]

    def status(seed: int, temperature: float, text_length: int = 5) -> set[int]:
        found = samples._runner("sample")(
            text=given["text"],
            text_length=np.array([text_length], np.int32),
            seed=np.array([seed], np.int32),
            temperature=np.array([temperature], np.float32),
        )
        return {int(one) & NUMBER_HELD for one in found["status"]}

    assert draw(-5, 1.0) == draw(0, 1.0)
    assert (status(-5, 1.0), status(0, 1.0), status(0, 1.0, -1), status(-5, 1.0, -1)) == ({32}, {0}, {32}, {32})
    nan, infinity = float("nan"), float("inf")
    for beyond, held in [(0.0, 0.001), (-1.0, 0.001), (nan, 0.001), (1e30, 1000.0), (infinity, 1000.0)]:
        assert draw(1, beyond) == draw(1, held)
        assert (status(1, beyond), status(1, held)) == ({NUMBER_HELD}, {0})
    with pytest.raises(UserError, match=r"^seed is 2147483648, expected 0 to 2147483647$"):
        samples.sample(["a"], seed=2**31)
    with pytest.raises(UserError, match=r"^temperature is 0, expected 0.001 to 1000$"):
        samples.sample(["a"], temperature=0)


# What a file has, and what it was not given


def test_an_empty_text_has_one_empty_answer(n_best: TextArtifact, samples: TextArtifact) -> None:
    assert n_best.generate_n_best([""]) == [[("", 0.0, 0)]]
    assert samples.sample([""]) == [[("", 0.0, 0)]]


@pytest.mark.parametrize(
    ("path", "search", "source_bytes", "names"),
    [
        ("n_best_path", N_BEST, SIZED_SOURCE_BYTES, ["translate", "translate_n_best", "align", *STEPS]),
        ("samples_path", SAMPLES, MAX_SOURCE_BYTES, ["translate", "sample", *STEPS]),
    ],
)
def test_signatures_and_their_description(
    long_predictor: TextToText,
    request: pytest.FixtureRequest,
    path: str,
    search: SearchOptions,
    source_bytes: int,
    names: list[str],
) -> None:
    folder = request.getfixturevalue(path)
    limits = Limits(source_bytes, 200, align_heads=() if "align" in names else None)
    wanted = lite_signatures(long_predictor, limits, "translate", search)
    assert list(wanted) == names
    for file in ("model.tflite", "model.int8.tflite"):
        assert signatures(read_model(folder / file)) == wanted
    manifest = read_json(folder / "manifest.json")
    assert manifest["signatures"] == {name: described(signature) for name, signature in wanted.items()}
    assert all(
        tensor["meaning"]
        for signature in manifest["signatures"].values()
        for side in signature.values()
        for tensor in side.values()
    )
    assert manifest["search"] == {**asdict(search), "forbidden": []}
    assert list(manifest["saved_model"]["signatures"]) == [
        "serving_default",
        *(name for name in names if name not in STEPS),
    ]
    answers = manifest["saved_model"]["signatures"][names[1]]["outputs"]["text"]
    assert answers == {"dtype": "string", "shape": [None, "answers"]}
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"## The signature `{names[1]}`\n\nGives {3 if search == N_BEST else 4} answers, " in readme


def test_signatures_without_steps(long_predictor: TextToText) -> None:
    limits = Limits(SIZED_SOURCE_BYTES, 200, with_steps=False)
    assert list(lite_signatures(long_predictor, limits, "translate", N_BEST)) == ["translate", "translate_n_best"]
    assert list(LiteModule(long_predictor, limits, N_BEST).functions("translate")) == ["translate", "translate_n_best"]


def test_how_many_answers_a_signature_gives(n_best: TextArtifact, samples: TextArtifact) -> None:
    assert [n_best.count("translate"), n_best.count("translate_n_best"), samples.count("sample")] == [1, 3, 4]


def test_a_missing_signature(greedy: TextArtifact, n_best: TextArtifact) -> None:
    known = "decode_step, detokenize, encode, translate"
    message = rf"model.tflite has no signature '{{}}'; it has {known}: export the run with it$"
    with pytest.raises(UserError, match=message.format("translate_n_best")):
        greedy.generate_n_best(["a"])
    with pytest.raises(UserError, match=message.format("sample")):
        greedy.sample(["a"])
    with pytest.raises(UserError, match=r"has no signature 'sample'; it has .*, translate_n_best: export the run"):
        n_best.count("sample")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"seed": 3}, "seed is 3, but an exported file is given it with every text: leave it out"),
        ({"temperature": 0.5}, "temperature is 0.5, but an exported file is given it with every text: leave it out"),
        ({"top_k": 900}, "top_k is 900, more than the 270 pieces of the vocabulary"),
    ],
)
def test_options_that_an_export_cannot_keep(
    run_path: Path, tmp_path: Path, search: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        export_run(run_path, tmp_path / "dist", search=SearchOptions(samples=2, **search))
    assert not list(tmp_path.iterdir())


# A loop of one's own


def test_the_stream_ends_in_the_answer(greedy: TextArtifact) -> None:
    ended = set()
    for text in [text for text in TEXTS if len(text.encode()) <= MAX_SOURCE_BYTES]:
        answer, shown = greedy.run(text.encode()), list(greedy.stream(text))
        assert (shown[-1] if shown else "") == answer.text.decode("utf-8", "replace")
        lengths = [len(part.encode("utf-8", "replace")) for part in shown]
        assert len(shown) == 20 or not answer.status & 2
        ended.add((answer.status & 2, lengths == sorted(lengths)))
    assert {status for status, _ in ended} == {0, 2}
    assert list(greedy.stream("")) == []


def test_the_stream_of_a_file_with_a_beam_is_greedy(n_best: TextArtifact, long_predictor: TextToText) -> None:
    for text in TEXTS[:6]:
        shown = list(n_best.stream(text))
        assert (shown[-1] if shown else "") == long_predictor.predict([text])[0]


def step_inputs(artifact: TextArtifact, text: bytes) -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The runner of `decode_step`, the memory of a text, and empty caches."""
    step, memory = artifact._runner("decode_step"), artifact._runner("encode")(**artifact._source(text))
    del memory["pieces"], memory["status"]
    details = step.get_input_details().items()
    return step, memory, {name: np.zeros(d["shape"], d["dtype"]) for name, d in details if name.startswith("cache_")}


def test_logits_of_a_step_are_those_of_keras(greedy: TextArtifact, predictor: TextToText) -> None:
    step, memory, cache = step_inputs(greedy, b"a man rides")
    ids = [1, 265, 30, 266]
    source = predictor.tokenizer.encode("a man rides")[None]
    wanted = np.asarray(predictor.model({"source_ids": source, "target_ids": np.array([ids], np.int32)}))[0]
    cache = {name: values + 9 for name, values in cache.items()}  # of any content
    for index, last in enumerate(ids):
        cache = step(ids=np.array([last], np.int32), index=np.array([index], np.int32), **memory, **cache)
        assert cache.pop("status").tolist() == [0]
        np.testing.assert_allclose(cache.pop("logits")[0], wanted[index], atol=1e-4)


def test_pieces_of_the_source(greedy: TextArtifact, predictor: TextToText) -> None:
    for text in ("", "a man rides", "ä🚲"):
        found = greedy._runner("encode")(**greedy._source(text.encode()))
        assert found["pieces"].tolist() == [len(predictor.tokenizer.encode(text))]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (0, 0),
        (32, 0),
        (33, SOURCE_LONG),  # trained on 32 pieces
        (MAX_SOURCE_BYTES, SOURCE_LONG),
        (MAX_SOURCE_BYTES + 1, SOURCE_LONG + SOURCE_CUT),
        (2**31 - 1, SOURCE_LONG + SOURCE_CUT),
        (-1, NUMBER_HELD),
        (-(2**31), NUMBER_HELD),
    ],
)
def test_status_of_encode(greedy: TextArtifact, given: int, status: int) -> None:
    text = np.full((1, MAX_SOURCE_BYTES), ord("x"), np.uint8)  # a piece is a byte
    found = greedy._runner("encode")(text=text, text_length=np.array([given], np.int32))
    assert found["status"].tolist() == [status]
    assert found["pieces"].tolist() == [min(max(given, 0), MAX_SOURCE_BYTES)]


@pytest.mark.parametrize(
    ("given", "held", "status"),
    [
        ((0, 19), (0, 19), 0),
        ((269, 0), (269, 0), 0),
        ((-7, 0), (0, 0), ID_HELD),
        ((270, 0), (269, 0), ID_HELD),
        ((10**6, 0), (269, 0), ID_HELD),
        ((5, -3), (5, 0), NUMBER_HELD),
        ((5, 20), (5, 19), NUMBER_HELD),
        ((5, 999), (5, 19), NUMBER_HELD),
        ((-1, -1), (0, 0), ID_HELD + NUMBER_HELD),
    ],
)
def test_ids_and_index_are_held_to_their_range(
    greedy: TextArtifact, given: tuple[int, int], held: tuple[int, int], status: int
) -> None:
    step, memory, cache = step_inputs(greedy, b"a man")
    found = [
        step(ids=np.array([last], np.int32), index=np.array([index], np.int32), **memory, **cache)
        for last, index in (given, held)
    ]
    assert np.isfinite(found[0]["logits"]).all()
    assert [one.pop("status").tolist() for one in found] == [[status], [0]]
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_text_of_strange_ids(greedy: TextArtifact, predictor: TextToText) -> None:
    def text_of(ids: list[int], length: int, status: int = 0) -> bytes:
        padded = np.array([ids + [0] * (20 - len(ids))], np.int32)
        found = greedy._runner("detokenize")(ids=padded, length=np.array([length], np.int32))
        assert not found["text"][0, found["text_length"][0] :].any()
        assert found["status"].tolist() == [status]
        return bytes(found["text"][0, : found["text_length"][0]].tobytes())

    assert text_of([265, 268], 2) == predictor.tokenizer.decode_bytes([265, 268])
    assert text_of([265, 268], 1) == predictor.tokenizer.decode_bytes([265])
    assert text_of([265, 268], 0) == text_of([265, 268], -4, NUMBER_HELD) == b""
    assert text_of([265, 268], 99, NUMBER_HELD) == text_of([265, 268], 20)
    assert text_of([-5, 10**6, 268], 3, ID_HELD) == predictor.tokenizer.decode_bytes([0, 269, 268])
    assert text_of([265, -5], 1) == text_of([265], 1), "what is not in use is nothing to tell of"
    assert text_of([-5], 30, ID_HELD + NUMBER_HELD) == b""
    long = [260] * 20  # more bytes than there is room for
    assert text_of(long, 20, TARGET_CUT) == predictor.tokenizer.decode_bytes(long)[:MAX_TARGET_BYTES]


def test_the_loop_of_the_readme(artifact_path: Path) -> None:
    readme = (artifact_path / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## Your own loop\n.*?```python\n(.*?)```", readme, re.DOTALL)
    (source,) = re.findall(r'source = "(.*)"\.encode', code)
    *_, last = fresh_python(f"{code}\nimport sys; assert 'tensorflow' not in sys.modules", artifact_path).splitlines()
    assert last == open_artifact(artifact_path).predict([source])[0].splitlines()[-1]


# The SavedModel


def saved_model_answers(folder: Path, texts: list[str], call: str) -> dict[str, list[list[Any]]]:
    """Calls a signature of the SavedModel in a fresh process."""
    code = f"""
import tensorflow as tf, tensorflow_text, json
call = tf.saved_model.load("saved_model").signatures
texts = tf.constant({texts!r})
found = {{name: value.numpy().tolist() for name, value in {call}.items()}}
found["text"] = [[text.decode(errors="replace") for text in texts] for texts in found["text"]]
print(json.dumps(found))
"""
    found: dict[str, list[list[Any]]] = json.loads(fresh_python(code, folder).splitlines()[-1])
    return found


def check_saved_model(found: dict[str, list[list[Any]]], expected: list[list[Generated]]) -> None:
    assert found["text"] == [[answer.text for answer in answers] for answers in expected]
    assert found["length"] == [[answer.pieces for answer in answers] for answers in expected]
    np.testing.assert_allclose(found["score"], [[a.score for a in answers] for answers in expected], rtol=1e-4)


def test_n_best_of_the_saved_model(n_best_path: Path, expected: list[list[Generated]]) -> None:
    found = saved_model_answers(n_best_path, [*TEXTS, ""], 'call["translate_n_best"](text=texts)')
    assert [found[name].pop() for name in ("text", "length", "score")] == [[""] * 3, [0] * 3, [0.0] * 3]
    check_saved_model(found, expected)


def test_draws_of_the_saved_model(samples_path: Path, long_predictor: TextToText) -> None:
    call = 'call["sample"](text=texts, seed=tf.constant(7), temperature=tf.constant(0.5))'
    search = SearchOptions(samples=4, seed=7, temperature=0.5)
    check_saved_model(
        saved_model_answers(samples_path, TEXTS, call), long_predictor.generate_n_best(TEXTS, search=search)
    )


@pytest.mark.parametrize("examples", [FEW // 2, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_fuzz_of_every_signature(n_best_path: Path, samples_path: Path, precision: str, examples: int) -> None:
    """Beams, draws, with any seed and temperature, and alignments."""
    for path in (n_best_path, samples_path):
        fuzz_every_signature(open_artifact(path, precision)._interpreter, examples)
