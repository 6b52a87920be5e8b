"""Public data sets by name: where they are published, what they must hold, and how they come onto this machine.

The sets stand in `sets.yaml`. A file is looked for below `$KERAS_TRANSFORMER_DATA` (a mirror, for machines without a
network), then in the cache (`$KERAS_TRANSFORMER_CACHE` or `~/.cache/keras-transformer`), and else downloaded into the
cache. Its SHA-256 is checked every time.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from keras_transformer.data.download import download, verify
from keras_transformer.data.readers import Report, Row, read_aligned, read_columns, usable_pairs
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
    """

    split: str
    url: str
    path: str
    sha256: str
    language: str = ""
    tokenized: bool = False


@dataclass(frozen=True)
class NamedSet:
    """A public data set.

    Attributes:
        name: what the user calls it.
        task: the task it is for, such as "translation".
        about: one line on what it holds.
        licence: as its publisher states it.
        citation: what to cite.
        files: its files.
        columns: for sets with one file a split: the fields of its rows that make a pair.
    """

    name: str
    task: str
    about: str
    licence: str
    citation: str
    files: tuple[NamedFile, ...]
    columns: tuple[str, ...] = ()

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


def _named_set(name: str, entry: dict[str, Any]) -> NamedSet:
    base = entry.pop("base")
    files = tuple(
        NamedFile(url=f"{base}/{file['path']}", path=f"{name}/{file.pop('path')}", **file)
        for file in entry.pop("files")
    )
    return NamedSet(name=name, files=files, columns=tuple(entry.pop("columns", ())), **entry)


def _fetch_file(file: NamedFile) -> Path:
    cache = Path(os.path.expanduser(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE))
    mirror = os.path.expanduser(os.environ.get(MIRROR_VARIABLE, ""))
    if mirror and not os.path.isdir(mirror):
        raise UserError(f"{MIRROR_VARIABLE} is {mirror!r}, which is not a folder; correct it, or unset it to download.")
    for folder in [Path(mirror), cache] if mirror else [cache]:
        found = _find(folder, file)
        if found:
            return found
    mend = f"Or get it by hand and set {MIRROR_VARIABLE} to a folder in which it stands as {file.path}."
    return download(file.url, cache / file.path, file.sha256, mend)


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
