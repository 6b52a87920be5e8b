"""The translation recipe's ways with its data: several sources, other pieces in every epoch, curriculum, batch size."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from keras_transformer import training
from keras_transformer.cli import main
from keras_transformer.config import load_config
from keras_transformer.data import TokenStore
from keras_transformer.text import BytePieceTokenizer

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning"),
]

MICRO = [
    *("--model.num_encoder_layers", "1", "--model.num_decoder_layers", "1", "--model.hidden_dim", "8"),
    *("--model.intermediate_dim", "8", "--model.num_heads", "2", "--training.steps", "4"),
    *("--training.warmup_steps", "2", "--training.evaluate_every", "2", "--training.checkpoint_every", "2"),
    *("--max_target_length", "40", "--max_source_length", "40"),
]
ADVANCED = [
    *("--mixing_temperature", "5", "--training.piece_dropout", "0.2", "--training.curriculum_steps", "3"),
    *("--training.optimizer", "adamw", "--training.freeze", "encoder_0/feed_forward", "--training.batch_tokens", "200"),
]


def tsv(path: Path, first: int, count: int) -> Path:
    numbers = range(first, first + count)
    path.write_text("".join(f"{i} men see {7 * i} dogs\t{i} Mann sehen {7 * i} Hunde\n" for i in numbers))
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("data")
    return [str(tsv(folder / "large.tsv", 0, 80)), str(tsv(folder / "small.tsv", 500, 20))]


def train(run: Path, sources: list[str], *flags: str) -> int:
    return main(["train", "translation", "--data", *sources, "--run", str(run), *MICRO, *flags])


def refused(capsys: pytest.CaptureFixture[str], run: Path, sources: list[str], *flags: str) -> str:
    capsys.readouterr()
    assert train(run, sources, *flags) == 2
    assert not run.exists(), "a refused training leaves nothing"
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sources: list[str]) -> Path:
    run = tmp_path_factory.mktemp("runs") / "mine"
    assert train(run, sources, *ADVANCED) == 0
    return run


def test_sources_are_mixed(
    trained: Path, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = TokenStore(trained / "data" / "train").parts
    assert (sum(parts), parts[0] > 60, parts[1] < 20) == (90, True, True)
    large, small = (part ** (1 / 5) for part in parts)
    count = round(90 * large / (large + small))
    assert train(tmp_path / "run", sources, *ADVANCED) == 0
    said = capsys.readouterr().err
    assert (
        f"pairs an epoch: {count} of {sources[0]} ({count / 90:.1%}; it has {parts[0]}), "
        f"{90 - count} of {sources[1]} ({1 - count / 90:.1%}; it has {parts[1]})"
    ) in said


def test_the_config_names_every_source(trained: Path, sources: list[str]) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["data"] == sources
    assert config["mixing_temperature"] == 5.0
    assert config["training"]["freeze"] == ["encoder_0/feed_forward"]


def test_taken_up_again_it_is_the_same_training(trained: Path, sources: list[str], tmp_path: Path) -> None:
    run = tmp_path / "halves"
    assert train(run, sources, *ADVANCED, "--training.steps", "2") == 0
    assert train(run, sources, *ADVANCED, "--resume") == 0
    name = "checkpoints/step-00000004.npz"
    with np.load(trained / name) as straight, np.load(run / name) as halves:
        names = [key for key in straight.files if key != "state.json"]
        assert any("token_embedding/embeddings" in key for key in names)
        for key in names:
            np.testing.assert_array_equal(halves[key], straight[key], err_msg=key)


def test_what_a_model_made_is_trained_on_only(
    sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [line.split("\t")[0] for line in Path(sources[0]).read_text().splitlines()]
    (tmp_path / "texts.en").write_text("".join(f"{text}\n" for text in texts))
    (tmp_path / "made.de").write_text("".join(f"gemacht {number}\n" for number in range(len(texts))))
    made = f"{tmp_path}/texts.en,{tmp_path}/made.de"
    run = tmp_path / "run"
    assert train(run, sources[:1], "--train_only", made, "--mixing_weights", "3", "1") == 0
    held = [(run / f"data/{name}.jsonl").read_text().splitlines() for name in ("validation", "test")]
    examples = [json.loads(line) for part in held for line in part]
    assert len(examples) == 8
    assert not any("gemacht" in row["target"] for row in examples)
    assert TokenStore(run / "data" / "train").parts == (72, 72), "without what the sources of the other parts were made"
    said = capsys.readouterr().err
    assert f"{made}: left out 8 of 80 rows, which have a text that is validated or tested on" in said
    assert f"pairs an epoch: 108 of {sources[0]} (75.0%; it has 72), 36 of {made} (25.0%; it has 72)" in said


def test_a_training_ends_on_the_data_alone(
    sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taken up at the end of a training on both, or laid out so from the beginning, batches are the same."""
    from keras_transformer.recipes import translation

    made = tmp_path / "made.tsv"
    made.write_text("".join(f"gemacht {number}\tgemacht {number}\n" for number in range(60)))
    flags, run = ["--train_only", str(made), "--training.accumulate", "2"], tmp_path / "run"
    flags += ["--training.piece_dropout", "0"]
    assert train(run, sources[:1], *flags) == 0
    capsys.readouterr()
    assert train(run, sources[:1], *flags, "--resume", "--training.steps", "8", "--train_only_steps", "4") == 0
    assert f"after 4 updates {sources[0]} alone\n" in capsys.readouterr().err

    directory = training.RunDirectory(run)
    config = load_config(translation.Config, directory.config)
    tokenizer = BytePieceTokenizer.load(directory.tokenizer)
    batches = translation.make_batches(config, directory, tokenizer)
    assert len(batches.parts) == 2
    both = translation.make_batches(replace(config, train_only_steps=None), directory, tokenizer)

    def texts(batches: Any, start: int, count: int) -> list[str]:
        found = (inputs["source_ids"] for inputs, _ in itertools.islice(batches.from_step(start), count))
        return [tokenizer.decode(row[row > 2]) for ids in found for row in ids]

    assert texts(batches, 0, 8) == texts(both, 0, 8)  # 4 updates of 2 batches
    assert any(text.startswith("gemacht") for text in texts(batches, 0, 8))
    end = texts(batches, 8, 40)
    assert not any(text.startswith("gemacht") for text in end)
    assert set(end) == {text for text in texts(both, 0, 80) if not text.startswith("gemacht")}
    assert texts(batches, 6, 10) == texts(batches, 6, 2) + end[: len(texts(batches, 8, 8))]


def test_frozen_weights_have_no_place_in_the_optimizer(trained: Path) -> None:
    with np.load(trained / "checkpoints/step-00000004.npz") as saved:
        slots = [name for name in saved.files if "momentum" in name]
    assert any("decoder_0_feed_forward_expand" in name for name in slots)
    assert not any("encoder_0_feed_forward_expand" in name for name in slots)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mixing_weights", "1"], "mixing_weights is [1.0], expected 2 of them, one for each data"),
        (["--mixing_weights", "1", "0"], "mixing_weights is [1.0, 0.0], expected each more than 0"),
        (
            ["--mixing_weights", "1", "2", "--mixing_temperature", "2"],
            "mixing_temperature is 2.0, expected 1, for mixing_weights are given",
        ),
        (["--mixing_temperature", "0"], "mixing_temperature is 0.0, expected more than 0"),
        (["--training.piece_dropout", "1"], "piece_dropout is 1.0, expected at least 0 and less than 1"),
        (["--training.curriculum_steps", "-1"], "curriculum_steps is -1, expected 0 or more"),
        (["--training.length_multiple", "9" * 21], "expected at most 1,048,576"),
        (["--training.length_multiple", "0"], "length_multiple is 0, expected more than 0, or none"),
        (
            ["--training.no_weight_decay", "*/bias", "encodr_0"],
            "no_weight_decay: no weight matches 'encodr_0'. Did you mean 'encoder_0'",
        ),
        (["--training.freeze", "encodr_0"], "freeze: no weight matches 'encodr_0'. Did you mean 'encoder_0'"),
        (
            ["--training.batch_tokens", "many"],
            "--training.batch_tokens: expected an integer or one of 'auto', got 'many'",
        ),
    ],
)
def test_values_that_make_no_sense(
    flags: list[str], message: str, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, tmp_path / "run", sources, *flags)


def test_sources_that_cannot_be_mixed(sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = refused(capsys, tmp_path / "run", [sources[0], sources[0]])
    assert f"expected each once: {sources[0]!r} is given twice" in twice
    assert "data is [], expected one or more files or names" in refused(capsys, tmp_path / "run", ["[]"])
    gone = refused(capsys, tmp_path / "run", [sources[0], sources[1].replace("small", "smal")])
    assert "Did you mean 'small.tsv'" in gone
    lengthy = tmp_path / "long.tsv"
    lines = ["".join(chr(0x4E00 + 97 * (31 * i + j) % 20_000) for j in range(30)) for i in range(30)]
    lengthy.write_text("".join(f"{line}\t{i}\n" for i, line in enumerate(lines)))
    vocabulary = ["--vocabulary_size", "262"]
    said = refused(capsys, tmp_path / "run", [sources[0], str(lengthy)], *vocabulary)
    assert f"{lengthy}: no training pair of it is within the limits of length (40, 39); raise them" in said


def test_built_in_data_and_a_file(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_transformer.recipes import translation

    monkeypatch.setattr(translation, "GENERATED", {"train": 30, "validation": 5, "test": 6})
    splits, parts = translation.load_splits(translation.Config(data=["generated", sources[1]]))
    assert parts == [30, 18]
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [48, 6, 7]
    assert {row.file for row in splits["train"][30:]} == {sources[1]}


def test_a_curriculum_counts_updates(trained: Path) -> None:
    from keras_transformer.recipes import translation

    run, tokenizer = training.RunDirectory(trained), BytePieceTokenizer.load(trained / "tokenizer")
    config = load_config(translation.Config, run.config)
    assert translation.make_batches(config, run, tokenizer).curriculum_steps == 3
    config.training.accumulate = 4
    assert translation.make_batches(config, run, tokenizer).curriculum_steps == 12  # batches


def test_the_batch_size_is_found_once(
    sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fitting(model: dict[str, Any], config: Any, longest: int, say: Any, **kinds: Any) -> int:
        asked.append((model["hidden_dim"], longest))
        return 300

    monkeypatch.setattr(training, "fitting_batch_tokens", fitting)
    run = tmp_path / "run"
    assert train(run, sources, "--training.batch_tokens", "auto") == 0
    assert asked == [(8, 40)]
    assert yaml.safe_load((run / "config.yaml").read_text())["training"]["batch_tokens"] == 300
    assert train(run, sources, "--training.batch_tokens", "auto", "--training.steps", "6", "--resume") == 0
    assert len(asked) == 1
    moved = shutil.copytree(run, tmp_path / "moved")
    capsys.readouterr()
    assert train(moved, sources, "--training.batch_tokens", "auto") == 2
    assert f"{moved} exists already" in capsys.readouterr().err
    assert len(asked) == 1
