"""The training, validation and test rows that a config asks for: built in, public, or the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keras_transformer import data
from keras_transformer.errors import UserError
from keras_transformer.recipe_kit.config import GENERATED, RecipeConfig
from keras_transformer.recipe_kit.telling import say

SPLITS = ("train", "validation", "test")

Splits = dict[str, list[data.Row]]
Fold = tuple[int, int] | None  # its number, from 1, and how many there are


@dataclass(frozen=True)
class DataSources:
    """Where the rows of a task come from. The first field of a row is its text: rows of one text stay together.

    Attributes:
        generated: split -> rows of the built-in data.
        named: name of a public set, split, report -> its rows.
        read: file or files of the user, report -> their rows.
        check: file or files, names that would do as well -> raises `UserError` before anything is read.
        report: makes what counts as rows are read; default `data.Report`.
        unit: what the texts of rows are called, in messages.
        texts: how many of the fields of a row are texts; they come first. None means all.

    Example:
        ```python
        sources = DataSources(generated_rows, named_rows, read_file)
        splits, parts = load_splits(config, sources)
        ```
    """

    generated: Callable[[str], list[data.Row]]
    named: Callable[..., Iterator[data.Row]]
    read: Callable[..., Iterator[data.Row]]
    check: Callable[..., Any] = data.check_data
    report: Callable[[], data.Report] | None = None
    unit: str = "sources"
    texts: int | None = 1


def load_splits(config: RecipeConfig, sources: DataSources) -> tuple[Splits, list[int]]:
    """Returns the training, validation and test rows that a config asks for, and how many of those to train on are of
    each of `config.sources`: they stand one behind the other.

    Raises:
        UserError: a file is missing or cannot be used, or there is too little data.
    """
    given = _given_splits(config, sources)
    by_source = {spec: _own_splits(spec, sources, config.fold_number) for spec in config.parted if _is_named(spec)}
    files = [spec for spec in config.parted if spec not in by_source]
    by_source.update(_split_files(files, given, sources, config.fold_number) if files else {})
    in_order = [by_source[spec] for spec in config.parted]
    splits = {split: [row for part in in_order for row in part[split]] for split in SPLITS}
    splits.update(given)
    if files or given:
        _tell_overlap(splits, sources.unit)
    held = {text for split in ("validation", "test") for row in splits[split] for text in row.fields[: sources.texts]}
    more = [_only_to_train_on(spec, held, sources) for spec in config.train_only or ()]
    splits["train"] += [row for part in more for row in part]
    return splits, [len(part["train"]) for part in in_order] + [len(part) for part in more]


def read_rows(
    reader: Callable[..., Iterator[data.Row]], *arguments: Any, make: Callable[[], data.Report] | None = None
) -> list[data.Row]:
    """Returns all rows of a reader that counts in a `report`, and tells what it counted; `make` makes the report."""
    report = make() if make else data.Report()
    rows = list(reader(*arguments, report=report))
    for line in report.messages():
        say(line)
    return rows


def numbered(examples: Iterable[tuple[str, ...]], name: str) -> list[data.Row]:
    """Returns examples that come from no file as rows; `name` says where from."""
    return [data.Row(fields, name, number) for number, fields in enumerate(examples, 1)]


def _is_named(spec: str) -> bool:
    return spec == GENERATED or spec in data.named_sets()


def _own_splits(spec: str, sources: DataSources, fold: Fold) -> Splits:
    """Returns the splits that the built-in data or a public set come with."""
    if spec == GENERATED:
        return {split: sources.generated(split) for split in SPLITS}
    has = data.named_sets()[spec].splits or SPLITS  # a set without files says itself where it is
    splits = {split: read_rows(sources.named, spec, split, make=sources.report) for split in SPLITS if split in has}
    return _completed(spec, splits, fold)


def _completed(spec: str, splits: Splits, fold: Fold) -> Splits:
    """Makes the parts that a public set lacks: what it has for validation is the test, the rest is taken of training.

    So a score is never of rows by which the training was steered.
    """
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        say(f"{spec} has no test part here: the score is that of its validation part, which is not validated on")
    missing = [split for split in ("validation", "test") if split not in splits]
    if fold and "test" not in missing:
        raise UserError(f"fold is {fold[0]}/{fold[1]}, but {spec} comes with what it is scored on: leave fold out")
    if missing:
        parts = _parted(splits["train"], missing, fold)
        found = dict(zip(SPLITS, parts, strict=True))
        splits.update({name: found[name] for name in ("train", *missing)})
        say(
            f"{spec}: {' and '.join(f'{len(splits[name]):,} rows for {name}' for name in missing)} of those to train on"
        )
    return splits


def _given_splits(config: RecipeConfig, sources: DataSources) -> Splits:
    """Reads the files that are given for validation and test, having seen that those to train on are there."""
    for spec in config.sources:
        if not _is_named(spec):
            sources.check(spec, known_names=[GENERATED, *data.named_sets()])
    return {
        split: read_rows(sources.read, spec, make=sources.report)
        for split, spec in (("validation", config.validation), ("test", config.test))
        if spec is not None
    }


def _split_files(files: list[str], given: Iterable[str], sources: DataSources, fold: Fold) -> dict[str, Splits]:
    """Reads the user's files and parts their rows, all together: no text stands in two parts."""
    rows = {spec: read_rows(sources.read, spec, make=sources.report) for spec in files}
    pooled = [row for part in rows.values() for row in part]
    parts = _parted(pooled, [split for split in ("validation", "test") if split not in given], fold)
    origin = {id(row): spec for spec, part in rows.items() for row in part}
    splits: dict[str, Splits] = {spec: {split: [] for split in SPLITS} for spec in files}
    for split, found in zip(SPLITS, parts, strict=True):
        for row in found:
            splits[origin[id(row)]][split].append(row)
    return splits


def _only_to_train_on(spec: str, held: set[str], sources: DataSources) -> list[data.Row]:
    """Returns the rows of what is trained on besides, without those that have a text of `held`, of the other parts.

    A translation of a text that is tested on gives its answer away, and is made before anyone knows the parts.
    """
    if spec == GENERATED:
        rows = sources.generated("train")
    elif _is_named(spec):
        rows = read_rows(sources.named, spec, "train", make=sources.report)
    else:
        rows = read_rows(sources.read, spec, make=sources.report)
    kept = [row for row in rows if held.isdisjoint(row.fields[: sources.texts])]
    if len(kept) < len(rows):
        left_out = f"{len(rows) - len(kept):,} of {len(rows):,} rows"
        say(f"{spec}: left out {left_out}, which have a text that is validated or tested on")
    if not kept:
        raise UserError(f"train_only: {spec} has no row whose texts are neither validated nor tested on")
    return kept


def _parted(rows: list[data.Row], missing: Sequence[str], fold: Fold) -> tuple[list[data.Row], ...]:
    """Returns the rows to train on, and those of the missing parts, taken of them."""
    validation, test = data.default_split_sizes(len(rows))
    number, count = fold or (1, 0)
    return data.split_pairs(
        rows,
        validation * ("validation" in missing),
        1 / count if fold else test * ("test" in missing),
        seed=0,
        start=(number - 1) / count if fold else 0.0,
    )


def _tell_overlap(splits: Splits, unit: str) -> None:
    """Says how many texts of the other parts are among those trained on: their scores say less."""
    trained_on = {row.fields[0] for row in splits["train"]}
    for split in ("validation", "test"):
        known = [row for row in splits[split] if row.fields[0] in trained_on]
        if known:
            say(
                f"warning: {len(known):,} of {len(splits[split]):,} {split} {unit} are in the training data too, the "
                f"first at {known[0].place}"
            )
