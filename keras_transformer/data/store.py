"""Token ids on disk: tokenised once, then read in place.

A store is a folder with, for every column (such as "source" and "target"), all ids one behind the other (int32) and
the offsets at which the rows begin (int64, one more than there are rows), both as `.npy` and memory-mapped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_transformer._files import replacing_folder
from keras_transformer.errors import UserError

ROWS_AT_ONCE = 20_000


class BatchTokenizer(Protocol):
    """What a store needs of a tokenizer."""

    def encode_batch(self, texts: Sequence[str | bytes]) -> list[np.ndarray]: ...


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

    def padded(self, rows: np.ndarray, width: int, pad_id: int) -> np.ndarray:
        """Returns the given rows as int32 `[len(rows), width]`, padded at the end; no row may be longer."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        places = starts[:, None] + np.arange(width)
        inside = places < ends[:, None]
        return np.where(inside, self.ids[np.where(inside, places, 0)], pad_id).astype(np.int32, copy=False)


@dataclass
class StoreReport:
    """What became of the rows: `rows` kept, `too_long` left out, the first of them row `first_too_long`, from 0."""

    rows: int = 0
    too_long: int = 0
    first_too_long: int = 0


class TokenStore:
    """The token ids of a data set.

    Args:
        folder: written by `TokenStore.write`.

    Attributes:
        columns: name -> `Ragged`; all columns have the same number of rows.

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
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(str(error)) from None
        if len({len(column) for column in self.columns.values()}) != 1:
            raise self._damaged("columns differ" if self.columns else "it has no columns")

    def column(self, name: str) -> Ragged:
        """Returns a column.

        Raises:
            UserError: the store has none of that name.
        """
        if name not in self.columns:
            raise self._damaged(f"it has no column {name!r}")
        return self.columns[name]

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self.folder}: the token store is damaged ({what}); delete the folder and train again")

    def _open(self, name: str) -> Ragged:
        ids = np.load(self.folder / f"{name}.ids.npy", mmap_mode="r", allow_pickle=False)
        offsets = np.load(self.folder / f"{name}.offsets.npy", allow_pickle=False)
        if ids.ndim != 1 or ids.dtype != np.int32 or offsets.ndim != 1 or offsets.dtype != np.int64:
            raise ValueError(f"{name}: not int32 ids and int64 offsets")
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(ids) or (np.diff(offsets) < 0).any():
            raise ValueError(f"{name}: offsets do not fit the ids")
        return Ragged(ids, offsets)

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
    ) -> StoreReport:
        """Tokenises `rows` into a new store.

        Args:
            folder: may not exist; appears only when complete.
            rows: for each row as many texts as there are columns.
            columns: their names.
            tokenizer: applied to every column.
            limits: for each column, the most ids a row may have; rows over a limit are left out and counted.

        Raises:
            UserError: no row is left.
        """
        report = StoreReport()
        seen = 0
        with replacing_folder(folder) as beside:
            lengths: dict[str, list[np.ndarray]] = {name: [] for name in columns}
            with ExitStack() as stack:
                files = {name: stack.enter_context(open(beside / f"{name}.raw", "wb")) for name in columns}
                for chunk in _chunks(rows):
                    encoded = [tokenizer.encode_batch([row[i] for row in chunk]) for i in range(len(columns))]
                    sizes = np.array([[len(ids) for ids in column] for column in encoded])  # [columns, rows]
                    keep = np.all(sizes <= np.array(limits)[:, None], axis=0)
                    if not keep.all() and not report.too_long:
                        report.first_too_long = seen + int(np.argmin(keep))
                    report.too_long += int((~keep).sum())
                    report.rows += int(keep.sum())
                    seen += len(chunk)
                    for name, column, size in zip(columns, encoded, sizes, strict=True):
                        kept = [ids for ids, good in zip(column, keep, strict=True) if good]
                        if kept:
                            files[name].write(np.concatenate(kept).astype(np.int32).tobytes())
                        lengths[name].append(size[keep])
            if not report.rows:
                limit = ", ".join(f"{name} {most}" for name, most in zip(columns, limits, strict=True))
                raise UserError(f"no row is within the limits of length ({limit}, in pieces); raise them")
            for name in columns:
                raw = beside / f"{name}.raw"
                np.save(beside / f"{name}.ids.npy", np.fromfile(raw, dtype=np.int32))
                np.save(beside / f"{name}.offsets.npy", np.concatenate([[0], *lengths[name]]).cumsum(dtype=np.int64))
                raw.unlink()
        return report


def _chunks(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_AT_ONCE)):
        yield chunk
