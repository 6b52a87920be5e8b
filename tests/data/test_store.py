"""The token store: what goes in comes out, rows over a limit are counted, and damage is told."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_transformer.data import TokenStore, store
from keras_transformer.errors import UserError


class Letters:
    """A tokenizer of letters: `a` is 3."""

    def encode_batch(self, texts: Any) -> list[np.ndarray]:
        return [np.array([ord(letter) - 94 for letter in text], dtype=np.int32) for text in texts]


ROWS = [("abc", "b"), ("a", "cc"), ("dddd", "aaaaa"), ("bb", "dcba"), ("abcde", "a")]
COLUMNS = ("source", "target")


def write(folder: Path, rows: Any = ROWS, limits: tuple[int, int] = (9, 9)) -> store.StoreReport:
    return TokenStore.write(folder, rows, COLUMNS, Letters(), limits)


def texts(found: TokenStore) -> list[tuple[str, ...]]:
    """Reads the rows back as letters."""
    columns = []
    for name in COLUMNS:
        column = found.columns[name]
        bounds = zip(column.offsets[:-1], column.offsets[1:], strict=True)
        columns.append(["".join(chr(i + 94) for i in column.ids[start:stop]) for start, stop in bounds])
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("at_once", [1, 2, 20_000])
def test_what_goes_in_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(store, "ROWS_AT_ONCE", at_once)
    report = write(tmp_path / "data" / "train", iter(ROWS))
    assert (report.rows, report.too_long, report.first_too_long) == (5, 0, 0)
    found = TokenStore(tmp_path / "data" / "train")
    assert len(found) == 5
    assert texts(found) == ROWS
    assert found.columns["source"].lengths.tolist() == [3, 1, 4, 2, 5]
    assert found.columns["source"].ids.dtype == np.int32
    assert isinstance(found.columns["source"].ids, np.memmap)
    assert sorted(path.name for path in (tmp_path / "data" / "train").iterdir()) == [
        "source.ids.npy",
        "source.offsets.npy",
        "target.ids.npy",
        "target.offsets.npy",
    ]


@pytest.mark.parametrize("at_once", [1, 2, 20_000])
def test_rows_over_a_limit_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(store, "ROWS_AT_ONCE", at_once)
    report = write(tmp_path / "train", limits=(4, 4))
    assert (report.rows, report.too_long, report.first_too_long) == (3, 2, 2)  # one by its target, one by its source
    assert texts(TokenStore(tmp_path / "train")) == [ROWS[0], ROWS[1], ROWS[3]]


def test_padded_rows(tmp_path: Path) -> None:
    write(tmp_path / "train")
    column = TokenStore(tmp_path / "train").columns["source"]
    found = column.padded(np.array([3, 0, 4]), width=5, pad_id=0)
    assert found.tolist() == [[4, 4, 0, 0, 0], [3, 4, 5, 0, 0], [3, 4, 5, 6, 7]]
    assert found.dtype == np.int32
    assert column.padded(np.array([], dtype=int), width=3, pad_id=0).shape == (0, 3)


def test_no_row_is_left(tmp_path: Path) -> None:
    message = r"no row is within the limits of length \(source 0, target 9, in pieces\); raise them"
    with pytest.raises(UserError, match=message):
        write(tmp_path / "train", limits=(0, 9))
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[tuple[str, str]]:
        yield from ROWS
        raise RuntimeError("the reader stumbles")

    with pytest.raises(RuntimeError, match="the reader stumbles"):
        write(tmp_path / "train", rows())
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_store(tmp_path: Path) -> None:
    """Killed after rows were written; writing anew then works."""
    code = f"""
        import os, signal, sys
        import numpy as np
        from keras_transformer.data import TokenStore, store

        class Letters:
            def encode_batch(self, texts):
                return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]

        def rows():
            yield from [("abc", "de")] * 3
            print(*os.listdir({str(tmp_path)!r}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        store.ROWS_AT_ONCE = 1
        TokenStore.write({str(tmp_path / "train")!r}, rows(), ("source", "target"), Letters(), (9, 9))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert done.stdout.startswith(".train.")
    assert not (tmp_path / "train").exists()
    write(tmp_path / "train")
    assert len(TokenStore(tmp_path / "train")) == 5


def npy(folder: Path, name: str, array: np.ndarray) -> None:
    np.save(folder / f"{name}.npy", array)


DAMAGES: dict[str, Any] = {
    "no folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "no offsets": lambda folder: (folder / "source.offsets.npy").unlink(),
    "empty ids": lambda folder: (folder / "source.ids.npy").write_bytes(b""),
    "empty offsets": lambda folder: (folder / "target.offsets.npy").write_bytes(b""),
    "cut off ids": lambda folder: (folder / "source.ids.npy").write_bytes(
        (folder / "source.ids.npy").read_bytes()[:-3]
    ),
    "text": lambda folder: (folder / "source.offsets.npy").write_text("hello"),
    "a pickle": lambda folder: npy(folder, "source.ids", np.array([{}], dtype=object)),
    "rows differ": lambda folder: npy(folder, "source.offsets", np.array([0, 1, 15])),
    "too few ids": lambda folder: npy(folder, "source.ids", np.zeros(3, np.int32)),
    "backward offsets": lambda folder: npy(folder, "source.offsets", np.array([0, 3, 1, 8, 10, 15])),
    "late start": lambda folder: npy(folder, "source.offsets", np.array([1, 3, 4, 8, 10, 15])),
    "other numbers": lambda folder: npy(folder, "source.ids", np.zeros(15, np.float32)),
    "no offset": lambda folder: npy(folder, "source.offsets", np.array(15)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_store(tmp_path: Path, damage: Any) -> None:
    write(tmp_path / "train")
    damage(tmp_path / "train")
    message = r"train: the token store is damaged \(.+\) and cannot be mended; train anew, in another --run"
    with pytest.raises(UserError, match=message) as raised:
        TokenStore(tmp_path / "train")
    assert "\n" not in str(raised.value)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "train")
    for name in ("target.ids.npy", "target.offsets.npy"):
        (tmp_path / "train" / name).unlink()
    with pytest.raises(UserError, match=r"the token store is damaged \(it has no column 'target'\)"):
        TokenStore(tmp_path / "train").column("target")


class Doubled(Letters):
    """A matcher: twice the letter, for every letter."""

    def match_batch(self, texts: Any) -> list[np.ndarray]:
        return [2 * ids for ids in self.encode_batch(texts)]


@pytest.mark.parametrize("at_once", [2, 20_000])
def test_matches_are_stored_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(store, "ROWS_AT_ONCE", at_once)
    TokenStore.write(tmp_path / "train", ROWS, COLUMNS, Letters(), (4, 4), matcher=Doubled())
    found = TokenStore(tmp_path / "train")
    assert sorted(found.columns) == ["source", "source_matches", "target", "target_matches"]
    for name in COLUMNS:
        plain, matches = found.column(name), found.column(store.matches_of(name))
        assert (matches.ids == 2 * plain.ids).all()
        assert (matches.offsets == plain.offsets).all()


def test_parts_count_the_rows_that_were_kept(tmp_path: Path) -> None:
    report = TokenStore.write(tmp_path / "train", ROWS, COLUMNS, Letters(), (4, 4), parts=(1, 3, 1))
    assert report.parts == (1, 2, 0)
    assert TokenStore(tmp_path / "train").parts == (1, 2, 0)
    assert write(tmp_path / "plain").parts == TokenStore(tmp_path / "plain").parts == (5,)


@pytest.mark.parametrize("content", [np.array([1, 1]), np.array([]), b"nothing"])
def test_parts_that_do_not_fit(tmp_path: Path, content: Any) -> None:
    TokenStore.write(tmp_path / "train", ROWS, COLUMNS, Letters(), (4, 4), parts=(4, 1))
    path = tmp_path / "train" / "parts.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(UserError, match="the token store is damaged"):
        TokenStore(tmp_path / "train")


def test_lengths_of_rows(tmp_path: Path) -> None:
    write(tmp_path / "train")
    assert TokenStore(tmp_path / "train").columns["source"].lengths_of(np.array([4, 0, 0])).tolist() == [5, 3, 3]
