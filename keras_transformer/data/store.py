"""Token ids on disk: tokenised once, then read in place.

A store is a folder with, for every column (such as "source" and "target"), all ids one behind the other (int32) and
the offsets at which the rows begin (int64, one more than there are rows), both as `.npy` and memory-mapped. For
training with MaxMatch-dropout a column "source" is joined by "source_matches": the longest piece at every byte. Rows
of several sources stand source by source; `parts.npy` holds how many there are of each. What a row is labelled with
is a column too, "labels": numbers in place of ids.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from keras_transformer._files import replacing_folder
from keras_transformer.errors import UserError

ROWS_AT_ONCE = 20_000
PARTS = "parts.npy"
LABELS = "labels"


class BatchTokenizer(Protocol):
    """What a store needs of a tokenizer."""

    def encode_batch(self, texts: Sequence[str | bytes]) -> list[np.ndarray]: ...


class BatchMatcher(Protocol):
    """What a store needs to hold the longest matches; see `keras_transformer.text.longest_matches`."""

    def match_batch(self, texts: Sequence[str | bytes]) -> list[np.ndarray]: ...


def matches_of(column: str) -> str:
    """Returns the name of the column that holds the longest matches of a column."""
    return f"{column}_matches"


@dataclass
class Ragged:
    """Rows of different lengths: row i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 `[rows]`."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """Returns the lengths of the given rows, int64 `[len(rows)]`."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def first(self, rows: int) -> Ragged:
        """Returns the first rows."""
        return Ragged(self.ids, self.offsets[: rows + 1])

    def padded(self, rows: np.ndarray, width: int, pad_id: int) -> np.ndarray:
        """Returns the given rows as int32 `[len(rows), width]`, padded at the end; no row may be longer."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        places = starts[:, None] + np.arange(width)
        inside = places < ends[:, None]
        return np.where(inside, self.ids[np.where(inside, places, 0)], pad_id).astype(np.int32, copy=False)


@dataclass
class StoreReport:
    """What became of the rows: `rows` kept, `too_long` left out or cut, the first of them row `first_too_long`, from 0.

    `parts` holds the rows kept of each source.
    """

    rows: int = 0
    too_long: int = 0
    first_too_long: int = 0
    parts: tuple[int, ...] = ()


class TokenStore:
    """The token ids of a data set.

    Args:
        folder: written by `TokenStore.write`.

    Attributes:
        columns: name -> `Ragged`; all columns have the same number of rows.
        parts: how many rows there are of each source; the sources stand one behind the other.

    Raises:
        UserError: the folder is damaged.

    Example:
        ```python
        TokenStore.write("runs/mine/data/train", pairs, ("source", "target"), tokenizer, limits=(128, 128))
        store = TokenStore("runs/mine/data/train")
        store.columns["source"].lengths.mean()
        ```
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        try:
            names = sorted(path.name.removesuffix(".ids.npy") for path in self.folder.glob("*.ids.npy"))
            self.columns = {name: self._open(name) for name in names}
            self.parts = self._open_parts()
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(str(error)) from None
        if len({len(column) for column in self.columns.values()}) != 1:
            raise self._damaged("columns differ" if self.columns else "it has no columns")
        if sum(self.parts) != len(self):
            raise self._damaged("parts.npy does not fit the rows")

    def column(self, name: str) -> Ragged:
        """Returns a column.

        Raises:
            UserError: the store has none of that name.
        """
        if name not in self.columns:
            raise self._damaged(f"it has no column {name!r}")
        return self.columns[name]

    def first_parts(self, count: int) -> TokenStore:
        """Returns a store that has the rows of the first sources alone."""
        found = copy(self)
        found.parts = self.parts[:count]
        found.columns = {name: column.first(sum(found.parts)) for name, column in self.columns.items()}
        return found

    def _damaged(self, what: str) -> UserError:
        return UserError(
            f"{self.folder}: the token store is damaged ({what}) and cannot be mended; train anew, in another --run"
        )

    def _open(self, name: str) -> Ragged:
        ids = np.load(self.folder / f"{name}.ids.npy", mmap_mode="r", allow_pickle=False)
        offsets = np.load(self.folder / f"{name}.offsets.npy", allow_pickle=False)
        if ids.ndim != 1 or ids.dtype != np.int32 or offsets.ndim != 1 or offsets.dtype != np.int64:
            raise ValueError(f"{name}: not int32 ids and int64 offsets")
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(ids) or (np.diff(offsets) < 0).any():
            raise ValueError(f"{name}: offsets do not fit the ids")
        return Ragged(ids, offsets)

    def _open_parts(self) -> tuple[int, ...]:
        path = self.folder / PARTS
        if not path.exists():
            return (len(next(iter(self.columns.values()))),) if self.columns else ()
        return tuple(int(rows) for rows in np.load(path, allow_pickle=False).ravel())

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @classmethod
    def write(
        cls,
        folder: str | os.PathLike[str],
        rows: Iterable[Sequence[str]],
        columns: Sequence[str],
        tokenizer: BatchTokenizer,
        limits: Sequence[int],
        matcher: BatchMatcher | None = None,
        parts: Sequence[int] | None = None,
        labels: Iterable[np.ndarray] | None = None,
        cuts_long_rows: bool = False,
    ) -> StoreReport:
        """Tokenises `rows` into a new store.

        Args:
            folder: may not exist; appears only when complete.
            rows: for each row as many texts as there are columns.
            columns: their names.
            tokenizer: applied to every column.
            limits: for each column, the most ids a row may have; rows over a limit are left out and counted.
            matcher: finds the longest matches of each column too, where they are to be stored.
            parts: how many of the rows are of each source, which stand one behind the other.
            labels: of each row, int32 or float32, the column "labels"; see `EncoderBatches` for what they may be.
            cuts_long_rows: whether a row over a limit is cut there and kept.

        Raises:
            UserError: no row is left.
        """
        report = StoreReport()
        withins: list[np.ndarray] = []
        with replacing_folder(folder) as beside:
            with ExitStack() as stack:
                names = [
                    *columns,
                    *(matches_of(name) for name in columns if matcher),
                    *([LABELS] if labels is not None else []),
                ]
                files = {name: stack.enter_context(open(beside / f"{name}.raw", "wb")) for name in names}
                writers = {name: _ColumnWriter(beside, name, file) for name, file in files.items()}
                rest_of_labels = iter(labels or ())
                for chunk in _chunks(rows):
                    texts = {name: [row[i] for row in chunk] for i, name in enumerate(columns)}
                    encoded = {name: tokenizer.encode_batch(texts[name]) for name in columns}
                    withins.append(_within(encoded.values(), limits))
                    keep = withins[-1] | cuts_long_rows
                    for name, most in zip(columns, limits, strict=True):
                        encoded[name] = [ids[:most] for ids in encoded[name]] if cuts_long_rows else encoded[name]
                    if matcher is not None:
                        encoded.update({matches_of(name): matcher.match_batch(texts[name]) for name in columns})
                    if labels is not None:
                        encoded[LABELS] = [_as_ids(label) for label in islice(rest_of_labels, len(chunk))]
                    for name, column in encoded.items():
                        writers[name].add(column, keep)
                within = np.concatenate([*withins, np.zeros(0, bool)])
                keep = within | cuts_long_rows
                report.rows, report.too_long = int(keep.sum()), int((~within).sum())
                report.first_too_long = int(np.argmin(within)) if report.too_long else 0
                if not report.rows:
                    limit = ", ".join(f"{name} {most}" for name, most in zip(columns, limits, strict=True))
                    raise UserError(f"no row is within the limits of length ({limit}, in pieces); raise them")
                for writer in writers.values():
                    writer.finish()
            report.parts = (report.rows,)
            if parts is not None:
                report.parts = tuple(int(part.sum()) for part in np.split(keep, np.cumsum(parts)[:-1]))
                np.save(beside / PARTS, np.array(report.parts, np.int64))
        return report


class _ColumnWriter:
    """Writes the rows of one column as they come: ids to a raw file first, for their number is not known yet."""

    def __init__(self, folder: Path, name: str, file: BinaryIO):
        self.folder, self.name, self.file = folder, name, file
        self.lengths = [np.zeros(1, np.int64)]

    def add(self, rows: list[np.ndarray], keep: np.ndarray) -> None:
        """Writes those of the rows that `keep` says."""
        kept = [ids for ids, good in zip(rows, keep, strict=True) if good]
        if kept:
            self.file.write(np.concatenate(kept).astype(np.int32).tobytes())
        self.lengths.append(np.array([len(ids) for ids in kept], np.int64))

    def finish(self) -> None:
        """Turns what was written into the two files of a column."""
        self.file.close()
        raw = self.folder / f"{self.name}.raw"
        np.save(self.folder / f"{self.name}.ids.npy", np.fromfile(raw, dtype=np.int32))
        np.save(self.folder / f"{self.name}.offsets.npy", np.concatenate(self.lengths).cumsum())
        raw.unlink()


def _as_ids(label: np.ndarray) -> np.ndarray:
    """Returns a label as int32: the bits of a float32."""
    return label if label.dtype == np.int32 else label.astype(np.float32).view(np.int32)


def _within(columns: Iterable[list[np.ndarray]], limits: Sequence[int]) -> np.ndarray:
    """Returns which rows are within the limit of every column, bool `[rows]`."""
    sizes = np.array([[len(ids) for ids in column] for column in columns])  # [columns, rows]
    return np.all(sizes <= np.array(limits)[:, None], axis=0)


def _chunks(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_AT_ONCE)):
        yield chunk
