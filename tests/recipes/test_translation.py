"""The translation recipe, from a small file to translations, and everything that can be wrong on the way."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import keras_transformer
from keras_transformer.cli import main
from keras_transformer.cli.discovery import RECIPES, config_names, recipe_names
from keras_transformer.config import parse_config, save_config
from keras_transformer.errors import UserError
from keras_transformer.recipe_kit import make_run
from keras_transformer.recipe_kit.run import _find_run
from keras_transformer.recipes.translation import Config, settle

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning"),
]

WORDS = {"a": "ein", "man": "Mann", "dog": "Hund", "rides": "fährt", "sees": "sieht", "bike": "Rad", "big": "großes"}
MICRO = [
    *("--model.num_encoder_layers", "1", "--model.num_decoder_layers", "1", "--model.hidden_dim", "8"),
    *("--model.intermediate_dim", "8", "--model.num_heads", "2", "--training.steps", "4"),
    *("--training.warmup_steps", "2", "--training.evaluate_every", "2", "--training.batch_tokens", "256"),
    *("--max_source_length", "24", "--max_target_length", "40"),
]


def pairs(count: int) -> list[tuple[str, str]]:
    words = list(WORDS)
    sources = [f"{a} {b} {c} {d}" for a in words for b in words for c in words for d in words if len({a, b, c, d}) == 4]
    return [(source, " ".join(WORDS[word] for word in source.split())) for source in sources[:count]]


def tsv(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that the command line made of 60 lines."""
    folder = tmp_path_factory.mktemp("translation")
    data = tsv(folder / "corpus.tsv", [*pairs(60), ("much longer than the limit of pieces", "zu lang")])
    assert main(["train", "translation", "--data", str(data), "--run", str(folder / "mine"), *MICRO]) == 0
    return folder / "mine"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tsv(tmp_path / "corpus.tsv", pairs(60))


def errors_of(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """Runs a command that fails with status 2, and returns what it says; there is no traceback."""
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def train_error(capsys: pytest.CaptureFixture[str], run: Path, *argv: str | Path) -> str:
    said = errors_of(capsys, "train", "translation", "--run", run, *MICRO, *argv)
    assert not run.exists(), "a refused training leaves nothing"
    return said


@pytest.mark.parametrize("task", recipe_names())
def test_every_recipe_is_complete(task: str) -> None:
    recipe = import_module(f"keras_transformer.recipes.{task}")
    config = parse_config(recipe.Config, None, [])
    assert config.task == task
    assert config_names(task)
    assert callable(recipe.main)
    assert callable(recipe.evaluate)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in recipe_names() for name in config_names(task)])
def test_every_config_parses(task: str, name: str) -> None:
    recipe = import_module(f"keras_transformer.recipes.{task}")
    path = RECIPES / task / "configs" / f"{name}.yaml"
    config = parse_config(recipe.Config, path, [])
    given = yaml.safe_load(path.read_text())
    assert given, "a config sets something"
    assert config.training.steps == given.get("training", {}).get("steps", config.training.steps)


def test_the_run_directory_is_complete(trained: Path) -> None:
    names = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith(("logs/", "checkpoints/"))} == {
        "config.yaml",
        "model.json",
        "tokenizer/byte_pieces.json",
        "model.weights.h5",
        "metrics.json",
        "samples.txt",
        "training.lock",
        "data/validation.jsonl",
        "data/test.jsonl",
        "data/train/source.ids.npy",
        "data/train/source.offsets.npy",
        "data/train/target.ids.npy",
        "data/train/target.offsets.npy",
        "evaluations/test.json",
        "evaluations/test.jsonl",
    }
    assert {"checkpoints/step-00000002.npz", "checkpoints/step-00000004.npz"} <= names
    assert any(name.startswith("logs/events.out.tfevents") for name in names)


def test_the_config_is_written_out(trained: Path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["task"] == "translation"
    assert config["model"]["normalize_first"] is True  # from the preset
    assert config["model"]["activation"] == "relu"  # a default
    assert config["model"]["hidden_dim"] == 8  # given
    unset = {name for name, value in config["model"].items() if value is None}
    assert unset <= {"num_key_value_heads", "attention_chunk", "attention_window"}  # for which none says something
    assert config["training"]["steps"] == 4


def test_the_scores_and_the_corpus(trained: Path) -> None:
    scores = json.loads((trained / "evaluations" / "test.json").read_text())
    rows = [json.loads(line) for line in (trained / "evaluations" / "test.jsonl").read_text().splitlines()]
    assert scores["sentences"] == len(rows) == 3
    assert "tok:13a" in scores["bleu_signature"]
    assert {"source", "reference", "output", "score"} == set(rows[0])
    translator = keras_transformer.load(trained)
    assert translator.predict([row["source"] for row in rows]) == [row["output"] for row in rows]
    known = dict(pairs(60))
    assert all(known[row["source"]] == row["reference"] for row in rows)


def test_long_pairs_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tsv(tmp_path / "long.tsv", [*pairs(30), ("".join(map(chr, range(0xC0, 0xE0))), "y"), ("z", "y " * 99)])
    config = ["--validation", str(data), "--test", str(data)]
    assert main(["train", "translation", "--data", str(data), "--run", str(tmp_path / "run"), *config, *MICRO]) == 0
    said = capsys.readouterr().err
    told = (
        "left out 2 of 32 training pairs longer than 24 source pieces, or 40 target pieces with the end, the first at"
    )
    assert f"{told} {data}:31" in said
    assert "warning: 32 of 32 test sources are in the training data too" in said


def test_evaluate_another_file(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tsv(tmp_path / "held-out.tsv", pairs(90)[60:])
    run = shutil.copytree(trained, tmp_path / "run")
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(data), "--limit", "5", "--batch_tokens", "64"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["sentences"] == 5
    (corpus,) = (run / "evaluations").glob("held-out.tsv.*.first-5.jsonl")
    assert scores["corpus"] == str(corpus)
    assert len(Path(scores["corpus"]).read_text().splitlines()) == 5
    assert json.loads((run / "evaluations" / "test.json").read_text())["sentences"] == 3


def test_predict(trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a man sees a dog", "", "big bike"]
    expected = keras_transformer.load(trained).predict(texts)
    assert main(["predict", str(trained), *texts]) == 0
    assert capsys.readouterr().out.split("\n")[:3] == expected
    stdin = io.TextIOWrapper(io.BytesIO(b"a man sees a dog\r\n\nbig bike"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["predict", str(trained)]) == 0
    assert capsys.readouterr().out.split("\n")[:3] == expected


def test_predict_a_long_source(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "ÿ" * 13  # of two bytes that are no piece together
    capsys.readouterr()
    assert main(["predict", str(trained), long]) == 0
    whole = capsys.readouterr()
    assert "has 26 pieces, more than the 24 this model was trained on: the answer may be poor; cut=True (--cut)" in (
        whole.err
    )
    assert main(["predict", str(trained), "--cut", long]) == 0
    cut = capsys.readouterr()
    assert "trained on: it was cut there" in cut.err
    assert cut.out.rstrip("\n") == keras_transformer.load(trained).predict(["ÿ" * 12])[0]


def test_resume_makes_more_steps(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(trained, tmp_path / "moved")  # a run may be moved, and its data may be gone
    corpus = trained.parent / "corpus.tsv"
    again = ["train", "translation", "--data", str(corpus), "--run", str(run), "--resume", *MICRO]
    assert main([*again, "--training.steps", "6"]) == 0
    assert f"taking up {run} at step 4" in capsys.readouterr().err.replace("\n", " ").replace("  ", " ")
    metrics = json.loads((run / "metrics.json").read_text())
    assert [entry["step"] for entry in metrics["evaluations"]] == [2, 4, 6]
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["training"]["steps"] == 6
    assert saved["resume"] is False  # a new training can begin from it


def untouched(config: Config, run: object) -> None:
    raise AssertionError("a run that is resumed has its data already")


def test_a_short_training_has_a_short_warm_up_and_keeps_it_when_resumed(tmp_path: Path) -> None:
    short = parse_config(Config, None, ["--training.steps", "100", "--run", str(tmp_path)])
    assert settle(short).training.warmup_steps == 25
    save_config(settle(short), tmp_path / "config.yaml")
    longer = parse_config(Config, None, ["--training.steps", "9000", "--run", str(tmp_path), "--resume"])
    assert settle(longer).training.warmup_steps == 25
    make_run(settle(longer), untouched)  # it is the same training
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000060.npz").touch()
    given = replace(longer, training=replace(longer.training, warmup_steps=50))
    with pytest.raises(UserError, match=r"was trained with training\.warmup_steps 25, not 50; to resume, leave it "):
        make_run(settle(given), untouched)
    before = (tmp_path / "config.yaml").read_text()
    for steps, message in (
        (20, r"^training\.steps is 20, expected at least the warm-up of .*, which has 25 steps$"),
        (30, r"^training\.steps is 30, but .* stands at step 60 already: give more to train it further$"),
    ):
        flags = ["--training.steps", str(steps), "--run", str(tmp_path), "--resume"]
        with pytest.raises(UserError, match=message):
            make_run(settle(parse_config(Config, None, flags)), untouched)
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_run_of_another_task_is_not_resumed(tmp_path: Path) -> None:
    config = settle(parse_config(Config, None, ["--run", str(tmp_path)]))
    save_config(config, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("task: translation", "task: tagging"))
    with pytest.raises(UserError, match=rf"^{tmp_path} is a run of tagging, not translation: give another --run$"):
        settle(replace(config, resume=True))


def test_a_run_of_before_a_number_was_new_is_resumed(tmp_path: Path) -> None:
    config = replace(settle(parse_config(Config, None, ["--run", str(tmp_path)])), resume=True)
    save_config(config, tmp_path / "config.yaml")
    saved = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del saved["model"]["attention_chunk"], saved["model"]["copy"], saved["training"]["accumulate"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved, explicit_end=True))
    make_run(config, untouched)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["copy"] is False


def test_before_the_first_checkpoint_the_training_may_change(tmp_path: Path) -> None:
    """As after a divergence, which advises a lower rate."""
    config = settle(parse_config(Config, None, ["--run", str(tmp_path)]))
    save_config(config, tmp_path / "config.yaml")
    now = parse_config(Config, None, ["--run", str(tmp_path), "--resume", "--training.learning_rate", "1e-5"])
    make_run(settle(now), untouched)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["training"]["learning_rate"] == 1e-5
    for flag, message in (
        ("training.piece_dropout", r"training\.piece_dropout 0\.0, not 0\.5"),
        ("fold", "fold none, n"),
    ):
        other = [f"--{flag}", "0.5"] if flag != "fold" else ["--data", "x.tsv", "--fold", "1/3"]
        with pytest.raises(UserError, match=message):
            make_run(settle(parse_config(Config, None, ["--run", str(tmp_path), "--resume", *other])), untouched)


def test_what_the_device_cannot_do_leaves_no_run(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = train_error(capsys, tmp_path / "run", "--data", corpus, "--training.devices", "64")
    assert "training.devices is 64, but this host has" in said
    assert not (tmp_path / "run").exists()


def test_a_host_with_another_config_is_refused(tmp_path: Path) -> None:
    flags = ["--run", str(tmp_path), "--training.batch_tokens", "999", "--training.hosts", "a:1", "b"]
    save_config(settle(parse_config(Config, None, flags)), tmp_path / "config.yaml")
    second = settle(parse_config(Config, None, [*flags, "--training.host", "1"]))
    assert _find_run(second).path == tmp_path
    other = replace(second, training=replace(second.training, learning_rate=1.0), vocabulary_size=99)
    message = (
        r"^host 1 differs from host 0, which has vocabulary_size none, not 99, and training\.learning_rate [0-9.]+, "
        r"not 1\.0; start all hosts with the same config and flags, host and devices apart$"
    )
    with pytest.raises(UserError, match=message):
        _find_run(other)


def test_resume_with_another_config(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "config.yaml").read_bytes()
    base = ["train", "translation", "--data", trained.parent / "corpus.tsv", "--run", trained, "--resume", *MICRO]
    said = errors_of(capsys, *base, "--model.hidden_dim", "16", "--training.seed", "5")
    assert "was trained with model.hidden_dim 8, not 16, and training.seed 0, not 5; to resume, leave it as it" in said
    assert "(steps, minutes, patience, evaluate_every, checkpoint_every, step_back, devices, hosts, host, " in said
    assert "tensorboard, train_only_steps may change): " in said
    assert f"): --config {trained}/config.yaml --run {trained} --resume has it all" in said
    assert (trained / "config.yaml").read_bytes() == before


def test_a_run_that_exists_is_not_overwritten(trained: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    said = errors_of(capsys, "train", "translation", "--data", corpus, "--run", trained, *MICRO)
    assert f"{trained} exists already; give another --run, or --resume to take up the training in it" in said
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_resume_without_a_run(tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = train_error(capsys, tmp_path / "none", "--data", corpus, "--resume")
    assert f"no run directory '{tmp_path}/none'" in said


def test_a_run_in_an_impossible_place(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = errors_of(capsys, "train", "translation", "--data", corpus, "--run", corpus / "run", *MICRO)
    assert f"{corpus}/run cannot be made: " in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a man\tein Mann\na dog\n", r"corpus.tsv:2: the row has 1 column separated by a tab, expected 2"),
        (b"a\tb\tc\n", r"corpus.tsv:1: the row has 3 columns separated by a tab, expected 2"),
        (b"a\tb\n\xff\xfe\tb\n", "corpus.tsv:2: "),
        (b"a\tb\nc\0\td\n", "corpus.tsv:2: "),
        (b"\tb\n \n", "no pair is left: every line is empty or has an empty side"),
        (b"a\tb\n", "Too little data: "),
        (b"a\tb\nb\tc\n", "Too little data: "),
    ],
)
def test_data_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    (tmp_path / "corpus.tsv").write_bytes(content)
    assert message in train_error(capsys, tmp_path / "run", "--data", tmp_path / "corpus.tsv")


def test_data_that_is_not_there(tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = train_error(capsys, tmp_path / "run", "--data", tmp_path / "corpsu.tsv")
    assert "corpsu.tsv" in said
    assert "Did you mean" in said
    assert "corpus.tsv" in said
    assert "Did you mean 'generated'?" in train_error(capsys, tmp_path / "run", "--data", "generatde")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.hiden_dim", "8"], "unknown flag '--model.hiden_dim'. Did you mean '--model.hidden_dim'"),
        (["--model.preset", "tinny"], "no preset 'tinny'; there are tiny, small, base, big. Did you mean 'tiny'?"),
        (["--config", "dmo"], "has no config 'dmo'. Did you mean 'demo'?"),
        (["--model.num_heads", "3"], "hidden_dim is 8, expected a multiple of num_heads, 3"),
        (["--training.steps", "0"], "steps is 0, expected 1 or more"),
        (["--training.dtype_policy", "float61"], "dtype_policy is 'float61', expected one of float32, mixed_bfloat16"),
        (["--max_source_length", "0"], "max_source_length is 0, expected 1 or more"),
        (["--training.label_smoothing", "much"], "--training.label_smoothing: expected a number, got 'much'"),
        (["--vocabulary_size", "9000"], "vocabulary_size 9000 is more than the text gives: "),
        (["--vocabulary_size", "100"], "vocabulary_size 100 is too small: "),
        (["--training.batch_tokens", "4"], "a batch of 4 tokens cannot hold the longest row of "),
        (["--max_source_length", "1"], "no row is within the limits of length (source 1, target 39, in pieces)"),
        (["--model.copy", "true", "--training.r_drop", "1"], "r_drop is given, but the model copies: give model.copy "),
        (["--languages", "en-fr"], "languages is 'en-fr', but data is no public set: leave languages out"),
    ],
)
def test_values_that_make_no_sense(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert message in train_error(capsys, tmp_path / "run", "--data", corpus, *flags)


@pytest.mark.parametrize("flag", ["--validation", "--test", "--columns"])
def test_options_that_built_in_data_has_no_use_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    said = train_error(capsys, tmp_path / "run", "--data", "generated", flag, "x", *(["y"] if "col" in flag else []))
    assert f"{flag[2:]} is given, but data is 'generated': {flag[2:]} belongs to files of your own" in said


def test_unknown_keys_are_told_with_file_and_line(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("model:\n  presett: tiny\ntrainin:\n  steps: 3\n")
    said = train_error(capsys, tmp_path / "run", "--data", corpus, "--config", config)
    assert f"{config}:2: unknown field 'model.presett'. Did you mean 'model.preset'" in said
    assert f"{config}:3: unknown field 'trainin'." in said


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.weights.h5", 0.5, "model.weights.h5 is damaged or of another model: "),
        ("model.weights.h5", None, "model.weights.h5 is missing; the training has not reached its first evaluation"),
        ("tokenizer", None, "tokenizer is missing; "),
        ("tokenizer/byte_pieces.json", 0.5, "byte_pieces.json: damaged tokenizer: not valid JSON"),
        ("model.json", 0.5, "model.json is damaged: "),
        ("config.yaml", None, "no config.yaml"),
    ],
)
def test_a_damaged_run(
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    file: str,
    content: float | None,
    message: str,
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    if content is not None:
        whole = (run / file).read_bytes()
        (run / file).write_bytes(whole[: int(len(whole) * content)])
    elif (run / file).is_dir():
        shutil.rmtree(run / file)
    else:
        (run / file).unlink()
    said = errors_of(capsys, command, run, *(["a man"] if command == "predict" else []))
    assert message in said
    assert said.count("\n") == 1


def test_a_damaged_checkpoint_and_store(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    again = ["train", "translation", "--data", trained.parent / "corpus.tsv", "--run", run, "--resume", *MICRO]
    (last,) = run.glob("checkpoints/step-00000004.npz")
    last.write_bytes(last.read_bytes()[:999])
    assert "step-00000004.npz is damaged (" in errors_of(capsys, *again, "--training.steps", "6")
    (run / "data" / "train" / "source.ids.npy").write_bytes(b"")
    assert "the token store is damaged (" in errors_of(capsys, *again, "--training.steps", "6")


def test_a_run_of_another_task(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("task: translation", "task: parsing"))
    assert "config.yaml: task: expected one of " in errors_of(capsys, "evaluate", run)


def test_aligned_files_and_a_header(tmp_path: Path) -> None:
    """The other shapes of the user's data reach the store: two files, and named columns."""
    rows = pairs(40)
    (tmp_path / "t.en").write_text("\n".join(source for source, _ in rows) + "\n")
    (tmp_path / "t.de").write_text("\n".join(target for _, target in rows) + "\n")
    table = tmp_path / "t.csv"
    table.write_text("id,de,en\n" + "".join(f"{i},{target},{source}\n" for i, (source, target) in enumerate(rows)))
    recipe = import_module("keras_transformer.recipes.translation")
    aligned, _ = recipe.load_splits(recipe.Config(data=f"{tmp_path}/t.en,{tmp_path}/t.de"))
    named, _ = recipe.load_splits(recipe.Config(data=str(table), columns=["en", "de"]))
    texts = [{name: [row.fields for row in rows] for name, rows in splits.items()} for splits in (aligned, named)]
    assert texts[0] == texts[1]
    assert sorted(pair for split in texts[0].values() for pair in split) == sorted(rows)
    held_out = tsv(tmp_path / "held-out.tsv", pairs(45)[40:])
    given, _ = recipe.load_splits(recipe.Config(data=f"{tmp_path}/t.en,{tmp_path}/t.de", test=str(held_out)))
    assert [row.fields for row in given["test"]] == pairs(45)[40:]
    assert len(given["train"]) + len(given["validation"]) == 40
