"""The rows that a config asks for: built in, public or of the user's files, and what of a recipe's config is shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from keras_transformer import data
from keras_transformer import recipe_kit as kit
from keras_transformer.config import describe, fields_of, parse_config
from keras_transformer.data.named import NamedFile, NamedSet
from keras_transformer.errors import UserError
from keras_transformer.recipe_kit import config as kit_config


@dataclass
class Config(kit.RecipeConfig):
    """Trains a shouter.

    Args:
        columns: the text and its shout.
        loudness: of the shouts.
    """

    task: Literal["shouting"] = "shouting"
    run: str = "runs/shouting"
    loudness: int = 1

    def __post_init__(self) -> None:
        self.check_counts("loudness")
        super().__post_init__()


SIZES = {"train": 40, "validation": 3, "test": 4}


def entry(name: str, splits: tuple[str, ...], task: str = "shouting") -> NamedSet:
    files = tuple(NamedFile(split, "https://example.org", f"{name}/{split}.tsv", "0" * 64) for split in splits)
    return NamedSet(name, task, "shouts", "none", "nobody", files)


SETS = {
    "whole": entry("whole", ("train", "validation", "test")),
    "untested": entry("untested", ("train", "validation")),
    "alone": entry("alone", ("train",)),
    "songs": entry("songs", ("train",), "singing"),
}


@pytest.fixture(autouse=True)
def sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit_config, "named_sets", lambda: SETS)
    monkeypatch.setattr(data, "named_sets", lambda: SETS, raising=False)


def rows(name: str, split: str) -> list[data.Row]:
    return kit.numbered([(f"{name} {split} {i}", f"{i}!") for i in range(SIZES[split])], name)


def named(name: str, split: str, report: data.Report) -> Iterator[data.Row]:
    assert split in SETS[name].splits
    yield from rows(name, split)


def read(spec: str, report: data.Report) -> Iterator[data.Row]:
    return data.read_fields(spec, ("text", "shout"), report=report)


SOURCES = kit.DataSources(lambda split: rows("generated", split), named, read, data.check_table, unit="texts")


def write(path: Path, first: int, count: int) -> str:
    path.write_text("".join(f"text {i}\t{i}!\n" for i in range(first, first + count)))
    return str(path)


def loaded(**options: Any) -> tuple[dict[str, list[data.Row]], list[int]]:
    return kit.load_splits(Config(**options), SOURCES)


def test_sets_that_lack_a_part(capsys: pytest.CaptureFixture[str]) -> None:
    splits, _ = loaded(data="whole")
    assert {name: len(part) for name, part in splits.items()} == SIZES
    assert capsys.readouterr().err == ""
    splits, _ = loaded(data="untested")
    assert [row.fields for row in splits["test"]] == [row.fields for row in rows("untested", "validation")]
    assert (len(splits["train"]), len(splits["validation"])) == (38, 2)
    said = capsys.readouterr().err
    assert "untested has no test part here: the score is that of its validation part, which is not validated" in said
    assert "untested: 2 rows for validation of those to train on" in said
    splits, parts = loaded(data="alone")
    texts = {name: {row.fields[0] for row in part} for name, part in splits.items()}
    assert {name: len(part) for name, part in texts.items()} == {"train": 36, "validation": 2, "test": 2}
    assert len(set.union(*texts.values())) == 40
    assert parts == [36]
    assert "alone: 2 rows for validation and 2 rows for test of those to train on" in capsys.readouterr().err


def test_folds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 0, 100)
    for options in ({"data": "alone"}, {"data": path}):
        tested: list[str] = []
        for number in range(1, 5):
            splits, _ = loaded(fold=f"{number}/4", **options)
            texts = {name: {row.fields[0] for row in part} for name, part in splits.items()}
            assert len(texts["validation"]) == len(loaded(**options)[0]["validation"])
            assert sum(map(len, texts.values())) == len(set.union(*texts.values()))
            tested += texts["test"]
        assert len(tested) == len(set(tested)) == (40 if options["data"] == "alone" else 100)
    with pytest.raises(UserError, match=r"^fold is 2/4, but untested comes with what it is scored on: leave fold out$"):
        loaded(data="untested", fold="2/4")


def test_several_sources_and_overlap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = write(tmp_path / "a.tsv", 0, 40), write(tmp_path / "b.tsv", 30, 20)
    splits, parts = loaded(data=["whole", path], test=other)
    assert parts == [40, 38]
    assert [row.file for row in splits["train"]] == ["whole"] * 40 + [path] * 38
    assert len(splits["validation"]) == 3 + 2
    known = sum(row.fields[0] in {row.fields[0] for row in splits["train"]} for row in splits["test"])
    assert known >= 8
    assert f"warning: {known} of 20 test texts are in the training data too" in capsys.readouterr().err


def test_what_is_trained_on_besides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = write(tmp_path / "more.tsv", 0, 10)
    plain, _ = loaded(data="whole")
    splits, parts = loaded(data="whole", train_only=[more, "untested"])
    assert parts == [40, 10, 40]
    assert [row.file for row in splits["train"]] == ["whole"] * 40 + [more] * 10 + ["untested"] * 40
    assert (splits["validation"], splits["test"]) == (plain["validation"], plain["test"])
    assert capsys.readouterr().err == ""
    assert loaded(data="untested", train_only=["generated"])[1] == [38, 40]


@pytest.mark.parametrize(("texts", "left_out"), [(1, 2), (2, 4), (None, 4)])
def test_nothing_that_is_tested_on_is_trained_on_besides(
    texts: int | None, left_out: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = replace(SOURCES, texts=texts)
    more = tmp_path / "more.tsv"
    rows = ["whole test 0\tA", "whole validation 1\tB", "C\t3!", "D\t0!", "whole train 5\tE", "F\t4!"]
    more.write_text("".join(f"{row}\n" for row in rows))  # 0! to 3! are answers of the test part, 4! is none
    splits, parts = kit.load_splits(Config(data="whole", train_only=[str(more)]), sources)
    assert parts == [40, 6 - left_out]
    assert [row.fields[1] for row in splits["train"][40:]] == (["3!", "0!"] if texts == 1 else []) + ["E", "4!"]
    told = f"{more}: left out {left_out} of 6 rows, which have a text that is validated or tested on"
    assert told in capsys.readouterr().err
    more.write_text("whole test 0\tA\n")
    with pytest.raises(UserError, match=r"^train_only: .*more\.tsv has no row whose texts are neither validated nor"):
        kit.load_splits(Config(data="whole", train_only=[str(more)]), sources)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No file 'whoel'\. Did you mean 'whole'\?"):
        loaded(data="whoel")
    with pytest.raises(UserError, match=r"No file 'alnoe'\. Did you mean 'alone'\?"):
        loaded(data="whole", train_only=["alnoe"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "songs"}, "data is 'songs', a public set for singing, not shouting; train singing with it, or give "),
        ({"data": ["whole", "whole"]}, "expected each once: 'whole' is given twice"),
        ({"train_only_steps": 9}, "train_only_steps is 9, expected 1 or more, with train_only given"),
        (
            {"train_only_steps": 0, "data": "a.tsv", "train_only": ["b.tsv"]},
            "train_only_steps is 0, expected 1 or more",
        ),
        ({"data": "whole", "train_only": ["whole"]}, "train_only is ['whole'], expected each once: 'whole' is given "),
        ({"train_only": ["songs"]}, "train_only is 'songs', a public set for singing, not shouting; train singing "),
        ({"data": "a.tsv", "train_only": ["b.tsv"], "mixing_weights": [1]}, "expected 2 of them, one for each data"),
        ({"data": "alone", "test": "x.tsv"}, "test is given, but data is 'alone': test belongs to files of your own"),
        ({"loudness": 0}, "loudness is 0, expected 1 or more"),
        (
            {"data": "a.tsv", "fold": "0/10"},
            "fold is '0/10', expected K/N with 1 <= K <= N and N from 3 to 100, such",
        ),
        ({"data": "a.tsv", "fold": "2/2"}, "fold is '2/2', expected K/N"),
        ({"data": "a.tsv", "fold": "half"}, "fold is 'half', expected K/N"),
        ({"data": "a.tsv", "fold": "1/5", "test": "b.tsv"}, "fold is '1/5', expected none: the test part is b.tsv"),
        ({"fold": "1/5"}, "fold is '1/5', expected none: the built-in data has a test part"),
        ({"mixing_temperature": 0}, "mixing_temperature is 0, expected more than 0"),
    ],
)
def test_configs_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Config(**options)
    assert message in str(caught.value)


def test_what_a_config_inherits_is_explained() -> None:
    keys = [field.key for field in fields_of(Config)]
    assert keys.index("loudness") < keys.index("training.steps"), "sections come last"
    assert all(field.help for field in fields_of(Config))
    text = describe(Config)
    assert "the text and its shout." in text
    assert "names (the file has a header)" not in text, "a recipe's own words stand in for those of the kit"
    assert "pieces of the vocabulary" in text
    assert parse_config(Config, None, ["--data", "a.tsv", "b.tsv"]).sources == ["a.tsv", "b.tsv"]
    assert Config(data="a.tsv", columns=["text", "1"]).picked == ["text", 1]


def test_names_of_evaluations() -> None:
    items = ["a", "b", "c"]
    assert kit.evaluation_name(None, items) == "test"
    assert kit.evaluation_name(None, items, 3) == "test"
    assert kit.evaluation_name(None, items, 2, {"beam": 5}) == "test.first-2.beam=5"
    first, second = (kit.evaluation_name("d/x.tsv", part) for part in (items, items[:2]))
    assert first.startswith("x.tsv.")
    assert first != second
    awkward = [kit.shorten({"prefix": text}) for text in ("a b", "a_b", "a/b", "b" * 200, "b" * 201)]
    assert len({name.casefold() for name in awkward}) == len(awkward)
    assert all(len(name) < 100 and "/" not in name for name in awkward)
