"""Public data sets by name: where they are published, what they must hold, and how they come onto this machine.

The sets stand in `sets.yaml`. A file is looked for below `$KERAS_TRANSFORMER_DATA` (a mirror, for machines without a
network), then in the cache (`$KERAS_TRANSFORMER_CACHE` or `~/.cache/keras-transformer`), and else downloaded into the
cache. Its SHA-256 is checked every time.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from keras_transformer._files import replacing
from keras_transformer.data.conll import read_tagged
from keras_transformer.data.download import download, verify
from keras_transformer.data.files import read_lines
from keras_transformer.data.readers import read_aligned, read_columns
from keras_transformer.data.rows import EMPTY_ROWS, Report, Row, usable_pairs
from keras_transformer.errors import UserError, close_matches

MIRROR_VARIABLE = "KERAS_TRANSFORMER_DATA"
CACHE_VARIABLE = "KERAS_TRANSFORMER_CACHE"
DEFAULT_CACHE = "~/.cache/keras-transformer"
SPLIT_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}


@dataclass(frozen=True)
class NamedFile:
    """One file of a set.

    Attributes:
        split: "train", "validation" or "test".
        url: where it is published.
        path: its path below a mirror or the cache. There it may also stand gzipped, as `path` + ".gz".
        sha256: digest of the file as published.
        language: language of its lines, for sets with one file a language.
        tokenized: whether its text was split into tokens where it was published.
        member: the file in a zip archive that is wanted of it.
        made_from: what it was made from, where it is not published as it stands here: it is not downloaded then.
    """

    split: str
    url: str
    path: str
    sha256: str
    language: str = ""
    tokenized: bool = False
    member: str = ""
    made_from: str = ""


@dataclass(frozen=True)
class NamedSet:
    """A public data set.

    Attributes:
        name: what the user calls it.
        task: the task it is for, such as "translation".
        about: one line on what it holds.
        licence: as its publisher states it.
        citation: what to cite.
        files: its files; none for a set that is only told where to find.
        columns: for sets with one file a split: the fields of its rows that are wanted, names or numbers from 0.
        format: how its rows are read: "table" (by the ending of the file), "conll", or "trec".
        encoding: of its text.
        upstream: where it is published, for sets without files.
        by_hand: how it is used as data of one's own, for sets without files.
    """

    name: str
    task: str
    about: str
    licence: str
    citation: str
    files: tuple[NamedFile, ...]
    columns: tuple[str | int, ...] = ()
    format: Literal["table", "conll", "trec"] = "table"
    encoding: str = "utf-8"
    upstream: str = ""
    by_hand: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it has, in order."""
        return tuple(dict.fromkeys(file.split for file in self.files))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages it has one file each for, in alphabetical order; empty if it has one file a split."""
        return self._languages(tokenized=False)

    def select(self, split: str, pair: str = "", tokenized: bool = False) -> tuple[NamedFile, ...]:
        """Returns the file of a split, or its two files in the languages of `pair` ("en-de": source en, target de).

        Raises:
            UserError: the set has no such split or pair.
        """
        if not self.files:
            raise UserError(
                f"{self.name} is not downloaded by itself, for no checksum of it is known: fetch it from "
                f"{self.upstream} and {self.by_hand}"
            )
        split = SPLIT_ALIASES.get(split, split)
        if split not in self.splits:
            raise UserError(_unknown(f"{self.name} has no split {split!r}.", split, self.splits, "Its splits are"))
        files = [file for file in self.files if file.split == split and file.tokenized == tokenized]
        if not self.languages:
            return tuple(files)
        by_language = {file.language: file for file in files}
        languages = self._languages(tokenized)
        known = [f"{source}-{target}" for source in languages for target in languages if source != target]
        if pair not in known:
            kind = "tokenized pair" if tokenized else "pair"
            raise UserError(_unknown(f"{self.name} has no {kind} {pair!r}.", pair, known, f"Its {kind}s are"))
        return tuple(by_language[language] for language in pair.split("-"))

    def _languages(self, tokenized: bool) -> tuple[str, ...]:
        return tuple(sorted({file.language for file in self.files if file.language and file.tokenized == tokenized}))


@functools.cache
def named_sets() -> dict[str, NamedSet]:
    """Returns the public sets by name.

    Example:
        ```python
        print(named_sets()["multi30k"].licence)
        ```
    """
    return load_sets(Path(__file__).with_name("sets.yaml"))


def load_sets(path: Path) -> dict[str, NamedSet]:
    """Reads a table of public sets; its form is told at the top of `sets.yaml`."""
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: _named_set(name, entry) for name, entry in table.items()}


def fetch(name: str, split: str, pair: str = "en-de", tokenized: bool = False) -> tuple[Path, ...]:
    """Returns the files of a split of a public set, verified, downloading those that are not on this machine.

    Args:
        name: name of the set, "multi30k".
        split: "train", "validation" (or "val", "valid", "dev") or "test".
        pair: source and target language, for sets with one file a language.
        tokenized: take the text that was split into tokens (and for multi30k lower-cased) where it was published.

    Returns:
        The source and the target file, or the one file of a set that holds both.

    Raises:
        UserError: there is no such set, split or pair; a file has another SHA-256 than the published one; or it cannot
            be downloaded.
    """
    sets = named_sets()
    if name not in sets:
        raise UserError(_unknown(f"No public data set {name!r}.", name, sets, "The sets are"))
    return tuple(_fetch_file(file) for file in sets[name].select(split, pair, tokenized))


def named_pairs(
    name: str, split: str, pair: str = "en-de", tokenized: bool = False, report: Report | None = None
) -> Iterator[Row]:
    """Yields the (source, target) pairs of a split of a public set; see `fetch` for the arguments.

    Pairs with an empty side are left out and counted in `report`, as by `read_pairs`.

    Example:
        ```python
        pairs = [row.fields for row in named_pairs("multi30k", "train", pair="en-de")]
        ```
    """
    paths = fetch(name, split, pair, tokenized)
    columns = named_sets()[name].columns
    rows = read_aligned(paths) if len(paths) > 1 else read_columns(paths[0], columns or None, count=2)
    return usable_pairs(rows, f"{name} ({split})", Report() if report is None else report)


def named_rows(
    name: str,
    split: str,
    columns: Sequence[str | int] | None = None,
    report: Report | None = None,
    stray_tags: Literal["accept", "refuse"] = "accept",
) -> Iterator[Row]:
    """Yields the rows of a split of a public set that has one file a split: a text and its label, words and tags.

    Args:
        name, split: see `fetch`.
        columns: the fields that are wanted; default those of the set. For trec: "question", "coarse", "fine".
        report: counters to add to; rows with an empty field are left out and counted.
        stray_tags: for words and tags, see `read_tagged`.

    Example:
        ```python
        rows = [row.fields for row in named_rows("sst2", "train")]  # [(sentence, label), ...]
        ```
    """
    (path,) = fetch(name, split)
    entry = named_sets()[name]
    columns = entry.columns if columns is None else columns
    if entry.format == "conll":
        return read_tagged(path, columns or None, stray_tags, report)
    if entry.format == "trec":
        rows = _trec_rows(path, columns, entry.encoding)
    else:
        rows = read_columns(path, columns, len(columns))
    return usable_pairs(rows, f"{name} ({split})", Report(what=EMPTY_ROWS) if report is None else report)


def _trec_rows(path: Path, columns: Sequence[str | int], encoding: str) -> Iterator[Row]:
    """Yields fields of lines such as `DESC:manner How did serfdom develop ?`."""
    for number, line in enumerate(read_lines(path, encoding), 1):
        label, _, question = line.partition(" ")
        fields = {"question": question, "coarse": label.partition(":")[0], "fine": label}
        if unknown := [column for column in columns if column not in fields]:
            raise UserError(_unknown(f"trec has no field {unknown[0]!r}.", str(unknown[0]), fields, "Its fields are"))
        yield Row(tuple(fields[str(column)] for column in columns), os.fspath(path), number)


def _named_set(name: str, entry: dict[str, Any]) -> NamedSet:
    base = entry.pop("base", "")
    files = tuple(
        NamedFile(url=f"{base}/{file.pop('at', file['path'])}", path=f"{name}/{file.pop('path')}", **file)
        for file in entry.pop("files", ())
    )
    return NamedSet(name=name, files=files, columns=tuple(entry.pop("columns", ())), **entry)


def cache_folder() -> Path:
    """Returns where downloads are kept: `$KERAS_TRANSFORMER_CACHE` or `~/.cache/keras-transformer`."""
    return Path(os.path.expanduser(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE))


def _fetch_file(file: NamedFile) -> Path:
    cache = cache_folder()
    mirror = os.path.expanduser(os.environ.get(MIRROR_VARIABLE, ""))
    if mirror and not os.path.isdir(mirror):
        raise UserError(f"{MIRROR_VARIABLE} is {mirror!r}, which is not a folder; correct it, or unset it to download.")
    folders = [Path(mirror), cache] if mirror else [cache]
    found = next((path for folder in folders if (path := _find(folder, file))), None)
    if found is None and file.made_from:
        raise UserError(
            f"{file.path} was made from {file.made_from} and is not published so: set {MIRROR_VARIABLE} to a folder in "
            "which it stands, or fetch that and use it as data of your own"
        )
    if found is None:
        mend = f"Or get it by hand and set {MIRROR_VARIABLE} to a folder in which it stands as {file.path}."
        found = download(file.url, cache / file.path, file.sha256, mend)
    return _unpacked(found, file.member, cache / Path(file.path).parent) if file.member else found


def _unpacked(archive: Path, member: str, folder: Path) -> Path:
    """Returns a file of a verified zip archive, written below a folder."""
    target = folder / member
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as packed, replacing(target, "wb") as file:
            file.write(packed.read(member))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive}: {member} cannot be unpacked to {target}: {error}") from None
    return target


def _find(folder: Path, file: NamedFile) -> Path | None:
    """Returns the file below a mirror or the cache, verified; a mirror may hold a plain file gzipped."""
    plain, packed = folder / file.path, folder / f"{file.path}.gz"
    if plain.exists():
        verify(plain, file.sha256)
        return plain
    if packed.exists():
        verify(packed, file.sha256, unpack=True)
        return packed
    return None


def _unknown(message: str, name: str, known: Iterable[str], label: str) -> str:
    known = list(known)
    return f"{message}{close_matches(name, known)} {label} {', '.join(known)}."
