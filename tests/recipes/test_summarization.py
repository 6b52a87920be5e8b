"""The summarization recipe, from a small file to summaries, and everything that can be wrong on the way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import keras_transformer
from keras_transformer.cli import main
from keras_transformer.generation import SearchOptions

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning"),
]

THINGS = ["pump", "valve", "crane", "lift", "fan", "boiler", "belt", "gate"]
MICRO = [
    *("--model.num_encoder_layers", "1", "--model.num_decoder_layers", "1", "--model.hidden_dim", "8"),
    *("--model.intermediate_dim", "8", "--model.num_heads", "2", "--training.steps", "4"),
    *("--training.warmup_steps", "2", "--training.evaluate_every", "2", "--training.batch_tokens", "256"),
    *("--max_source_length", "40", "--max_target_length", "24"),
]


def examples(count: int) -> list[dict[str, str]]:
    pairs = [(a, b) for a in THINGS for b in THINGS if a != b]
    return [
        {"body": f"The {a} was oiled. The {b} broke. It rained.", "short": f"{b} broke", "other": f"broken {b}"}
        for a, b in pairs[:count]
    ]


def json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that the command line made of 50 documents with two summaries each, or one."""
    folder = tmp_path_factory.mktemp("summarization")
    rows = [{**row, "other": ""} if i % 3 == 0 else row for i, row in enumerate(examples(50))]
    del rows[0]["other"]
    rows[3]["other"] = None
    rows.append({"body": "The pump was oiled. " * 40, "short": "oiled", "other": ""})
    data = json_lines(folder / "corpus.jsonl.gz", rows)
    columns = ["--columns", "body", "short", "other"]
    assert main(["train", "summarization", "--data", str(data), "--run", str(folder / "mine"), *columns, *MICRO]) == 0
    return folder / "mine"


def errors_of(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """Runs a command that fails with status 2, and returns what it says; there is no traceback."""
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def test_the_config_has_the_search_and_the_copying(trained: Path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["copy"] is True
    assert (config["search"]["beam"], config["search"]["no_repeat_ngram"]) == (4, 6)
    summarizer = keras_transformer.load(trained)
    assert summarizer.model.copy_head is not None
    assert summarizer.default_search.beam == 4
    assert summarizer.cut is True


def test_the_scores_and_the_corpus(trained: Path) -> None:
    scores = json.loads((trained / "evaluations" / "test.json").read_text())
    rows = [json.loads(line) for line in (trained / "evaluations" / "test.jsonl").read_text().splitlines()]
    assert {"rouge1", "rouge2", "rougeL", "rougeLsum", "lead3", "compression", "novel_2grams"} <= set(scores)
    assert scores["summaries"] == len(rows) > 0
    assert scores["rouge_options"].startswith("nrefs:2|")
    assert scores["search"] == {"beam": 4, "length_penalty": 1.0, "coverage_penalty": 0.01, "no_repeat_ngram": 6}
    assert {len(row["references"]) for row in rows} <= {1, 2}
    summarizer = keras_transformer.load(trained)
    assert summarizer.predict([row["source"] for row in rows]) == [row["output"] for row in rows]


def test_every_summary_is_trained_on(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = import_module("keras_transformer.recipes.summarization")
    config = recipe.Config(data=str(trained.parent / "corpus.jsonl.gz"), columns=["body", "short", "other"])
    splits, _ = recipe.load_splits(config)
    from keras_transformer.data import TokenStore

    store = TokenStore(trained / "data" / "train")
    assert len(store.column("source").lengths) == sum(len(row.fields) - 1 for row in splits["train"])
    assert store.column("source").lengths.max() <= 40


def test_a_run_searches_as_it_says(trained: Path, tmp_path: Path) -> None:
    """Given options replace those of the run one by one; what was not given stays."""
    from keras_transformer.cli import build_parsers
    from keras_transformer.cli.search_flags import search_of, search_of_run

    _, commands = build_parsers()
    saved = search_of_run(str(trained))
    assert saved == SearchOptions(beam=4, length_penalty=1.0, coverage_penalty=0.01, no_repeat_ngram=6)

    def asked(*flags: str) -> SearchOptions | None:
        return search_of(commands["evaluate"].parse_command([str(trained), *flags]), str(trained))

    assert asked() is None
    assert asked("--beam", "2") == SearchOptions(beam=2, length_penalty=1.0, coverage_penalty=0.01, no_repeat_ngram=6)
    assert asked("--beam", "1") == SearchOptions(no_repeat_ngram=6)
    assert asked("--samples", "3") == SearchOptions(samples=3, no_repeat_ngram=6)


def test_evaluation_with_another_search_has_a_name_of_its_own(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained), "--beam", "1", "--limit", "1"]) == 0
    assert (trained / "evaluations" / "test.first-1.beam=1,length_penalty=0.0,coverage_penalty=0.0.json").is_file()


def test_empty_and_long_documents(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty one has an empty summary; one of a megabyte is cut like those trained on, and told."""
    summarizer = keras_transformer.load(trained)
    assert summarizer.predict([""]) == [""]
    megabyte = "The pump was oiled. " * 52_429
    with pytest.warns(UserWarning, match=r"text 1 has \d+ pieces, more than the 40 .*: it was cut there"):
        (long,) = summarizer.predict([megabyte])
    ids = summarizer.tokenizer.encode(megabyte[:2000])[:40]
    assert summarizer.predict([summarizer.tokenizer.decode(ids)]) == [long]


def test_lead_beside_the_score(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "evaluations" / "test.jsonl").read_text().splitlines()]
    scores = json.loads((trained / "evaluations" / "test.json").read_text())
    assert set(scores["lead3"]) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    assert scores["lead3"]["rouge1"] > 20
    evaluations = json.loads((trained / "metrics.json").read_text())["evaluations"]
    assert all(entry["lead3_rougeL"] > 20 for entry in evaluations)
    assert all(line["references"] for line in lines)


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        (examples(40), [], "no field 'document'. The object has 'body', 'short', 'other'"),
        (examples(40), ["--columns", "body"], "columns is ['body'], expected that of the document and its summary"),
        (examples(40), ["--columns", "body", "shrot"], "no field 'shrot'. Did you mean 'short'"),
        (examples(40), ["--columns", "short", "body"], "the summary is longer than its document, and so in "),
        ([{"document": "", "summary": "x"}], [], "no pair is left: every line is empty or has an empty side"),
        (
            [{"document": f"{row['body']} ", "summary": row["short"]} for row in examples(40)],
            ["--training.r_drop", "1"],
            "r_drop is given, but the model copies: give model.copy false, or leave r_drop out",
        ),
    ],
)
def test_data_and_values_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, str]], flags: list[str], message: str
) -> None:
    data = json_lines(tmp_path / "corpus.jsonl", rows)
    said = errors_of(
        capsys,
        "train",
        "summarization",
        "--data",
        data,
        "--run",
        tmp_path / "run",
        "--model.copy",
        "true",
        *MICRO,
        *flags,
    )
    assert message in said
    assert not (tmp_path / "run").exists()


def test_some_summaries_longer_than_their_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = import_module("keras_transformer.recipes.summarization")
    rows = [{"document": row["body"], "summary": row["short"]} for row in examples(40)]
    rows[3] = {"document": "Hi.", "summary": "Somebody says hello to somebody else."}
    data = json_lines(tmp_path / "corpus.jsonl", rows)
    splits, _ = recipe.load_splits(recipe.Config(data=str(data)))
    recipe.check_lengths([row for part in splits.values() for row in part])
    said = capsys.readouterr().err
    assert f"warning: 1 of 40 summaries are longer than their documents, the first at {data}:4" in said


def test_documents_that_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With cut false, long documents are no part of the training."""
    recipe = import_module("keras_transformer.recipes.summarization")
    rows = [{"document": row["body"], "summary": row["short"]} for row in examples(40)]
    rows.append({"document": "The pump was oiled. " * 40, "summary": "oiled"})
    data = str(json_lines(tmp_path / "corpus.jsonl", rows))
    config = recipe.Config(
        data=data, run=str(tmp_path / "run"), max_source_length=40, cut=False, validation=data, test=data
    )
    recipe.prepare_data(config, import_module("keras_transformer.training").RunDirectory(config.run))
    said = capsys.readouterr().err
    told = "left out 1 of 41 training pairs longer than 40 pieces, or 128 pieces of summary with its end, the first at"
    assert f"{told} {data}:41" in said


def test_aligned_files_and_tables(tmp_path: Path) -> None:
    recipe = import_module("keras_transformer.recipes.summarization")
    rows = [(row["body"], row["short"]) for row in examples(40)]
    (tmp_path / "d.txt").write_text("".join(f"{document}\n" for document, _ in rows))
    (tmp_path / "s.txt").write_text("".join(f"{summary}\n" for _, summary in rows))
    table = tmp_path / "t.csv"
    table.write_text("short,body\n" + "".join(f'{summary},"{document}"\n' for document, summary in rows))
    found = [
        sorted(row.fields for part in recipe.load_splits(config)[0].values() for row in part)
        for config in (
            recipe.Config(data=f"{tmp_path}/d.txt,{tmp_path}/s.txt"),
            recipe.Config(data=str(table), columns=["body", "short"]),
        )
    ]
    assert found[0] == found[1] == sorted(rows)
