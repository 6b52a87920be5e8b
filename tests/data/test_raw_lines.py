"""Line ends, encodings and the size of lines."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from keras_transformer.data import raw_lines
from keras_transformer.data.conll import read_tagged
from keras_transformer.data.files import read_lines
from keras_transformer.data.readers import read_pairs
from keras_transformer.errors import UserError

LINES = ["A man.\tEin Mann.", "猫が好き 🐈\tأحب", "", "last\u2028one\tx"]


def lines_of(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return list(read_lines(path))


def failure(path: Path, content: bytes) -> str:
    with pytest.raises(UserError) as raised:
        lines_of(path, content)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("block", [2, 3, 7, raw_lines.BLOCK])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-sig", "utf-32"])
def test_all_encodings_with_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, end: str, block: int
) -> None:
    monkeypatch.setattr(raw_lines, "BLOCK", max(block, 4))  # a mark has four bytes
    text = end.join([*LINES, ""])
    content = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-sig" else text.encode(encoding)
    assert lines_of(tmp_path / "a.tsv", content) == LINES
    assert lines_of(tmp_path / "a.gz", gzip.compress(content)) == LINES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_of_an_old_macintosh(tmp_path: Path, encoding: str) -> None:
    text = "\r".join([*LINES, ""])
    assert lines_of(tmp_path / "a.tsv", text.encode(encoding)) == LINES
    assert lines_of(tmp_path / "a.tsv", b"one line\r") == ["one line"]
    assert lines_of(tmp_path / "a.tsv", b"one\rline\nand more") == ["one\rline", "and more"]


def test_line_ends_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_lines, "BLOCK", 4)
    path = tmp_path / "a.tsv"
    assert failure(path, b"a\rb\rc\nd\n") == (
        rf"{path}: the lines of its first 4 bytes end in \r (old Macintosh), later ones in \n; save the file with one "
        r"kind of line end, \n"
    )


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE"])
def test_utf16_without_a_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.tsv"
    assert failure(path, "A man.\tEin Mann fährt.\n".encode(encoding)) == (
        f"{path}:1: looks like {encoding} without a byte order mark; save the file as UTF-8 "
        f"(iconv -f {encoding} -t UTF-8 {path} > FILE)"
    )


def test_utf16_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    assert failure(path, "a\nb\n".encode("utf-16") + b"x") == (
        f"{path}: not UTF-16, as its byte order mark says, behind line 2 (truncated data); save the file as UTF-8"
    )


def test_the_longest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_lines, "LINE_LIMIT", 8)
    monkeypatch.setattr("keras_transformer.data.tables.LINE_LIMIT", 8)
    path = tmp_path / "a.tsv"
    assert lines_of(path, b"12345678\n12345678") == ["12345678"] * 2
    for content in (b"a\n123456789\nb\n", b"a\n123456789"):
        assert failure(path, content) == (
            f"{path}:2: the line has more than 8 bytes (0 MiB), the most that is read as one; split it, or check that "
            "this is the right file"
        )
    csv = tmp_path / "a.csv"
    csv.write_text('a,b\nc,"d\n\n\n\n\n\n\n\n\n\n\n"\n')
    with pytest.raises(UserError, match=r"a\.csv:2: the row \(is a \" not closed\?\) has more than 8 bytes"):
        list(read_pairs(str(csv)))


@pytest.mark.parametrize("name", ["a.tsv.gz", "a.csv.gz", "a.jsonl.gz", "a.conll.gz"])
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(128):  # of gigabytes, as far as anybody reads
            file.write(b"x" * (1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r":1: the line has more than 16,777,216 bytes \(16 MiB\)"):
            list(read_tagged(path) if "conll" in name else read_pairs(str(path)))
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
