"""Splits the bytes of a text file into lines: line ends, Unicode encodings, and the one limit on the size of a line."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator
from typing import BinaryIO

from keras_transformer.errors import UserError

LINE_LIMIT = 1 << 24  # bytes of a line, and of a row of CSV that has several: more is no example but another file
BLOCK = 1 << 20  # bytes read at once; line ends and encodings are told from the first block

_WIDE_MARKS = (  # of UTF-32 before UTF-16, whose mark it begins with
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class LineTooLongError(Exception):
    """A line has more than `LINE_LIMIT` bytes."""


def too_long(what: str, place: str) -> UserError:
    """Returns the refusal of a line, or of what else is read at once, that has more than `LINE_LIMIT` bytes."""
    return UserError(
        f"{place}: the {what} has more than {LINE_LIMIT:,} bytes ({LINE_LIMIT >> 20} MiB), the most that is read as "
        "one; split it, or check that this is the right file"
    )


def raw_lines(file: BinaryIO, name: str, has_marks: bool = True) -> Iterator[bytes]:
    r"""Yields the lines of a file, in UTF-8, without the `\n` at their ends; memory is bounded by `LINE_LIMIT`.

    A file that begins with the byte order mark of UTF-16 or UTF-32 is converted. A file whose first block has `\r` and
    no `\n` is one of an old Macintosh, and its lines end at `\r`.

    Args:
        file: the bytes.
        name: of the file, for messages.
        has_marks: whether the file may begin with a byte order mark.

    Raises:
        UserError: the file is UTF-16 without a byte order mark, or mixes line ends.
        LineTooLongError: for a line that is too long, after all those before it.
        UnicodeDecodeError: what follows a byte order mark is not in its encoding.
    """
    blocks: Iterator[bytes] = iter(lambda: file.read(BLOCK), b"")
    first = next(blocks, b"")
    if has_marks:
        encoding = next((encoding for mark, encoding in _WIDE_MARKS if first.startswith(mark)), None)
        if encoding:
            blocks = _converted(itertools.chain([first], blocks), encoding)
            first = next(blocks, b"")
        else:
            _refuse_unmarked(first, name)
    end = b"\r" if b"\r" in first.removesuffix(b"\r") and b"\n" not in first else b"\n"
    rest = b""
    for block in itertools.chain([first], blocks):
        if end == b"\r" and b"\n" in block:
            raise UserError(
                rf"{name}: the lines of its first {BLOCK:,} bytes end in \r (old Macintosh), later ones in \n; "
                r"save the file with one kind of line end, \n"
            )
        lines = (rest + block).split(end)
        rest = lines.pop()
        for line in lines:
            if len(line) > LINE_LIMIT:
                raise LineTooLongError
            yield line
        if len(rest) > LINE_LIMIT:
            raise LineTooLongError
    if rest:
        yield rest


def _converted(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Returns blocks of UTF-8 of those in another encoding, whose byte order mark is dropped."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for block in blocks:
        yield decoder.decode(block).encode()
    decoder.decode(b"", final=True)


def _refuse_unmarked(block: bytes, name: str) -> None:
    """Raises if text in Latin letters is UTF-16 without its mark: every other byte is then 0, and never the rest."""
    sample = block[:4096]
    zeros = [sample[side::2].count(0) for side in (0, 1)]
    for side, encoding in enumerate(("UTF-16BE", "UTF-16LE")):
        if len(sample) >= 4 and zeros[side] > len(sample) // 4 and not zeros[1 - side]:
            raise UserError(
                f"{name}:1: looks like {encoding} without a byte order mark; save the file as UTF-8 "
                f"(iconv -f {encoding} -t UTF-8 {name} > FILE)"
            )
