"""The classification recipe: trained in seconds on data of every kind, and what it says of odd data."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_transformer
from keras_transformer import cli, data
from keras_transformer.errors import UserError
from keras_transformer.recipes import classification
from keras_transformer.recipes.classification import Config, labels
from keras_transformer.recipes.classification.generated import SPLITS, generated_messages, labels_of, split_of
from keras_transformer.recipes.classification.messages import FINE, PROBLEMS
from keras_transformer.training import RunDirectory
from keras_transformer.training.config import EncoderConfig, TrainingConfig
from keras_transformer.training.panels_config import TensorBoardConfig

WORDS = {"im Lager": ["shelf", "box", "stock"], "größer": ["huge", "tall", "wide"], "sonst": ["why", "when", "how"]}
FILLING = ["the", "a", "one", "two", "of", "and", "blue", "red"]
SMALL = EncoderConfig(num_encoder_layers=1, hidden_dim=16, intermediate_dim=32, num_heads=2, dropout=0.0)


def options(steps: int, **others: Any) -> TrainingConfig:
    numbers = {"batch_tokens": 400, "learning_rate": 0.02, "warmup_steps": 5, "averaging": None}
    return TrainingConfig(
        steps=steps, evaluate_every=steps, checkpoint_every=steps, tensorboard=TensorBoardConfig(), **numbers, **others
    )


def examples(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns texts whose label is that of the one telling word in them."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        label = draw.choice(list(WORDS))
        words = [draw.choice(FILLING) for _ in range(draw.randint(2, 6))]
        words.insert(draw.randint(0, len(words)), draw.choice(WORDS[label]))
        found.append((" ".join(words), label))
    return found


def write(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> str:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Any], str]:
    """A run on a table with everything odd in it, its scores, and what was said."""
    folder = tmp_path_factory.mktemp("trained")
    rows = examples(300)
    odd = [("the same text", "im Lager"), ("the same text", "sonst"), ("", "sonst"), ("why " * 300, "sonst")]
    test = [*examples(60, seed=1), rows[0], ("never seen before", "neu")]
    config = Config(
        data=write(folder / "train.csv", [*rows, *odd]),
        validation=write(folder / "validation.csv", examples(60, seed=2)),
        test=write(folder / "test.csv", test),
        run=str(folder / "run"),
        vocabulary_size=300,
        max_length=64,
        model=SMALL,
        training=options(60),
    )
    with contextlib.redirect_stderr(io.StringIO()) as said:
        scores = classification.main(config)
    assert scores is not None
    return config, scores, said.getvalue()


def test_it_learns_and_scores(trained: tuple[Config, dict[str, Any], str]) -> None:
    config, scores, _ = trained
    assert scores["texts"] == 62
    assert scores["accuracy"] > 90
    assert list(scores["labels"]) == ["größer", "im Lager", "sonst"]
    assert len(scores["confusion"]) == 4  # a row for the label that was not trained on
    assert sum(map(sum, scores["confusion"])) == 62
    corpus = [json.loads(line) for line in Path(scores["corpus"]).read_text(encoding="utf-8").splitlines()]
    assert len(corpus) == 62
    assert corpus[-1]["reference"] == ["neu"]
    assert set(corpus[0]["probabilities"]) == set(WORDS)
    limited = classification.evaluate(config.run, limit=5)
    assert limited["texts"] == 5
    assert limited["corpus"].endswith("test.first-5.jsonl")
    again = classification.evaluate(config.run, data=str(config.test))
    assert again["accuracy"] == scores["accuracy"]


def test_a_file_with_columns_of_its_own(
    trained: tuple[Config, dict[str, Any], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _, _ = trained
    (tmp_path / "other.csv").write_text("id,is,says\n1,sonst,was\n2,im Lager,da\n")
    command = ["evaluate", config.run, "--data", str(tmp_path / "other.csv")]
    assert cli.main(command) == 2
    capsys.readouterr()
    assert cli.main([*command, "--columns", "says", "is"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [json.loads(line)["text"] for line in Path(found["corpus"]).read_text().splitlines()] == ["was", "da"]
    assert cli.main(["evaluate", config.run, "--columns", "says", "is"]) == 2
    assert "--columns is for --data FILE" in capsys.readouterr().err


def test_what_is_odd_is_told(trained: tuple[Config, dict[str, Any], str]) -> None:
    _, _, said = trained
    assert "skipped 1 of 304 rows with an empty field, the first at" in said
    assert "1 training texts stand with different labels, the first again at" in said
    assert "test has labels that were not trained on, which always count as missed: 'neu' (1)." in said
    assert "of 62 test texts are in the training data too" in said
    assert "cut 1 of 303 training texts at 64 pieces, the first at" in said
    assert "303 training texts, " in said
    assert "temperature " in said


def test_what_the_run_holds(trained: tuple[Config, dict[str, Any], str]) -> None:
    config, _, _ = trained
    run = RunDirectory(config.run)
    saved = run.read_json(run.labels)
    assert saved["kind"] == "single"
    assert saved["labels"] == ["größer", "im Lager", "sonst"]
    assert saved["temperature"] != 1.0
    metrics = run.read_json(run.metrics)
    assert {"accuracy", "macro_f1", "examples", "train_accuracy"} <= set(metrics["evaluations"][-1])
    assert metrics["examples_per_second"] > 0
    events = b"".join(path.read_bytes() for path in run.logs.glob("events*"))
    for tag in (b"validation/confusion", b"validation/accuracy", b"train/examples_per_second"):
        assert tag in events


def test_predictions_on_the_command_line(
    trained: tuple[Config, dict[str, Any], str], capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    config, _, _ = trained
    assert cli.main(["predict", config.run, "two huge and red", "the shelf"]) == 0
    assert capsysbinary.readouterr().out.decode().splitlines() == ["größer", "im Lager"]
    assert cli.main(["predict", config.run, "--json", "two huge and red"]) == 0
    line = json.loads(capsysbinary.readouterr().out)
    assert line["labels"] == ["größer"]
    assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    page = tmp_path / "page.html"
    assert cli.main(["predict", config.run, "--explain", "gradient", "--html", str(page), "two huge and red"]) == 0
    found = capsysbinary.readouterr().out.decode()
    assert found.startswith("größer ")
    assert {cell.split(" ")[0] for cell in found.split("\t")[1:]} == {"two", "huge", "and", "red"}
    assert "größer" in page.read_text(encoding="utf-8")
    assert cli.main(["predict", config.run, "--beam", "4", "a"]) == 2
    assert b"--beam is for models that write text; this one does not" in capsysbinary.readouterr().err
    assert cli.main(["evaluate", config.run, "--beam", "4"]) == 2
    assert b"--beam is for models that write text; this one does not" in capsysbinary.readouterr().err


def test_a_run_is_taken_up(trained: tuple[Config, dict[str, Any], str], tmp_path: Path) -> None:
    config, scores, _ = trained
    from dataclasses import replace

    again = classification.main(replace(config, resume=True))
    assert again is not None
    assert again["accuracy"] == scores["accuracy"]
    with pytest.raises(UserError, match="was trained with pooling mean, not max; to resume, leave"):
        classification.main(replace(config, resume=True, pooling="max"))


def test_several_labels_with_all_that_helps(tmp_path: Path) -> None:
    """Warm-up, then frozen; dropouts of every kind, augmentation, class weights, focal loss, mixup, adversary."""
    rows = [(text, label if i % 2 else f"{label}|odd one") for i, (text, label) in enumerate(examples(120))]
    rows.append(("nothing of all this", "|"))
    model = EncoderConfig(**{**vars(SMALL), "dropout": 0.1, "word_dropout": 0.1, "embedding_dropout": 0.1})
    config = Config(
        data=write(tmp_path / "train.csv", rows),
        run=str(tmp_path / "run"),
        kind="multi",
        pooling="attention",
        balance=0.5,
        focal=1.0,
        mixup=0.2,
        adversarial=0.5,
        swap_words=0.1,
        delete_words=0.1,
        warm_up_steps=4,
        vocabulary_size=300,
        max_length=64,
        model=model,
        training=options(6, piece_dropout=0.1, freeze=["token_embedding", "encoder_0"]),
    )
    scores = classification.main(config)
    assert scores is not None
    assert {"micro_f1", "macro_f1", "accuracy", "calibration_error"} <= set(scores)
    assert list(scores["labels"]) == ["größer", "im Lager", "odd one", "sonst"]
    warmed = RunDirectory(Path(config.run) / "warm_up")
    assert warmed.read_json(warmed.metrics)["evaluations"][-1]["step"] == 4
    assert all(
        set(one) <= set(scores["labels"]) for one in [keras_transformer.load(config.run).classify(["a"])[0].labels]
    )


def test_numbers(tmp_path: Path) -> None:
    rows = [(text, str(100 + 10 * len(text.split())), "-3.5") for text, _ in examples(200)]
    rows[0] = (*rows[0][:2], "1e3")
    table = write(tmp_path / "train.csv", rows, ("body", "words", "other"))
    config = Config(
        data=table,
        columns=["body", "words", "other"],
        run=str(tmp_path / "run"),
        kind="regression",
        vocabulary_size=300,
        model=SMALL,
        training=options(40, r_drop=0.5),
    )
    scores = classification.main(config)
    assert scores is not None
    assert set(scores["numbers"]) == {"words", "other"}
    assert scores["numbers"]["words"]["root_mean_square_error"] < 15  # their deviation is about 14 before training
    found = keras_transformer.load(config.run).classify(["the a one two of and"])[0]
    assert 120 < found.probabilities["words"] < 200


def learned(texts: list[tuple[str, ...]], kind: str = "single") -> labels.Labels:
    rows = [data.Row(fields, "train.csv", i) for i, fields in enumerate(texts, 2)]
    return labels.learn(rows, kind, "|", ["stars"])


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        (
            [("a", "x"), ("b", "x")],
            "single",
            r"^all 2 training texts have the label 'x'; a classifier wants two labels",
        ),
        (
            [(f"{i}", f"{i}") for i in range(30)],
            "single",
            r"^30 labels for 30 training texts, such as '0': is this the",
        ),
        (
            [("a", "|"), ("b", "|")],
            "multi",
            r"^none of 2 training texts has a label; give them some, separated by '\|'$",
        ),
        (
            [("a", "1"), ("b", "many")],
            "regression",
            r"^train.csv:3: 'many' is not a number such as -1, 2.5 or 1e-3; kind regression wants one in",
        ),
        ([("a", "1"), ("b", "nan")], "regression", r"^train.csv:3: 'nan' is not a number"),
        ([("a", "1"), ("b", "1")], "regression", r"^stars is 1 in all 2 training texts; there is nothing to learn$"),
    ],
)
def test_labels_that_cannot_be_learned(texts: list[tuple[str, ...]], kind: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learned(texts, kind)


def test_labels_keep_their_numbers() -> None:
    found = learned([("a", "x y"), ("b", " ö "), ("c", "x y")])
    assert (found.names, found.counts) == (("x y", "ö"), (2, 1))
    assert found.references([("a", "ö"), ("b", "z")]).tolist() == [[1], [2]]
    assert found.unknown([("a", "ö"), ("b", "z"), ("c", "z")]) == {"z": 2}
    weights = np.array(found.weights(1.0))
    np.testing.assert_allclose(weights, [0.75, 1.5])
    assert found.weights(0.0) is None
    several = learned([("a", "x|y"), ("b", "y"), ("c", "|")], "multi")
    assert several.references([("a", "y | x"), ("b", "|")]).tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "regression", "balance": 1.0}, "balance is 1.0, expected 0 with kind regression"),
        ({"mixup": 0.2, "training": TrainingConfig(r_drop=1.0)}, "mixup is 0.2, expected 0 with training.r_drop"),
        ({"delete_words": 1.0}, "delete_words is 1.0, expected at least 0 and less than 1"),
        ({"adversarial": -1.0}, "adversarial is -1.0, expected 0 or more"),
        ({"data": "x.csv", "columns": ["text"]}, "columns is .'text'., expected text and label"),
        ({"data": "multi30k"}, "data is 'multi30k', a public set for translation, not classification"),
        (
            {"kind": "regression", "data": "x.csv", "columns": ["body", "text"]},
            "columns is .'body', 'text'., expected no number column called 'text', as the text is: give its number",
        ),
        (
            {"kind": "regression", "data": "x.csv", "columns": ["a", "b", "b"]},
            "columns is .'a', 'b', 'b'., expected each once: 'b' is given twice",
        ),
        ({"data": "x.csv", "columns": ["1", "01"]}, "expected each once: 1 is given twice"),
        ({"label_separator": ""}, "label_separator is '', expected one character or more"),
    ],
)
def test_configs_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config(**options)


def test_generated_messages_follow_their_rule() -> None:
    found = {split: generated_messages(split, 400) for split in SPLITS}
    for split, messages in found.items():
        assert len({message.text for message in messages}) == 400
        for message in messages:
            wrong, fine, _ = message.item
            assert split_of(message.item) == split
            assert wrong in PROBLEMS[message.category]
            assert not fine or fine not in FINE.get(message.category, ())
            assert 1 <= message.urgency <= 5
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not {m.item for m in found[one]} & {m.item for m in found[other]}
        assert not {m.text for m in found[one]} & {m.text for m in found[other]}
    assert generated_messages("train", 10) == found["train"][:10]
    urgent = next(message for message in found["train"] if message.urgency >= 4)
    assert labels_of(urgent, "single") == urgent.category
    assert labels_of(urgent, "multi") == f"{urgent.category}|urgent"
    assert labels_of(urgent, "regression") == str(urgent.urgency)
    with pytest.raises(UserError, match=r"generated data: no split 'tests'; there are train, validation, test"):
        generated_messages("tests", 1)
    with pytest.raises(UserError, match="count must be at least 1, received 0"):
        generated_messages("train", 0)


def test_a_public_set_is_tested_on_its_own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit alone takes out what a set does not have: nothing is held out twice, nor a published part trained on."""
    published = {"train": examples(200), "validation": examples(40, seed=1)}

    def rows(name: str, split: str, report: data.Report | None = None) -> Any:
        return iter([data.Row(fields, split, line) for line, fields in enumerate(published[split], 1)])

    monkeypatch.setattr(data, "named_rows", rows)
    splits, parts = classification.load_splits(Config(data="sst2"))
    assert [row.fields for row in splits["test"]] == published["validation"]
    assert parts == [len(splits["train"])]
    assert len(splits["train"]) + len(splits["validation"]) == 200
    assert len(splits["validation"]) < 20
