"""Text files as they come: checked before use, unpacked if gzipped, read line by line, every fault told in one line."""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from keras_transformer.data.raw_lines import LineTooLongError, raw_lines, too_long
from keras_transformer.errors import UserError, close_matches

_GZIP_MAGIC = b"\x1f\x8b"  # Never the start of UTF-8 text, so a gzip file is known whatever its name.
_UTF8_BOM = b"\xef\xbb\xbf"


def check_file(path: str | os.PathLike[str], known_names: Iterable[str] = ()) -> None:
    """Checks that `path` is a file that can be opened and is not empty.

    Raises:
        UserError: it is not; a missing file is told with close matches from its folder and from `known_names`.
    """
    name = os.fspath(path)
    try:
        status = os.stat(name)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{name!r} is a folder; give a file in it.{_files_in(name)}")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{name!r} is not a regular file; write the data to a file first, it is read repeatedly.")
        with open(name, "rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(_missing(Path(name), known_names)) from None
    except OSError as error:
        raise UserError(f"{name!r} cannot be read: {error.strerror}.") from None
    if not status.st_size:
        raise UserError(f"{name!r} is empty.")


def open_bytes(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file for reading bytes; a gzip file, known by its name or its first bytes, is unpacked on the way.

    Raises:
        UserError: the file is missing, empty, unreadable or a folder.
    """
    name = os.fspath(path)
    check_file(name)
    with open(name, "rb") as file:
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    if packed or name.lower().endswith(".gz"):
        return cast(BinaryIO, gzip.open(name, "rb"))
    return open(name, "rb")


def read_lines(path: str | os.PathLike[str], encoding: str = "utf-8") -> Iterator[str]:
    r"""Yields the lines of a text file, gzipped or not, without their ends.

    Lines end at `\n` only (not at the other characters that `str.splitlines` knows); each `\r` before it and a byte
    order mark at the start of the file are dropped. UTF-16 and UTF-32 are read where a byte order mark says so, and a
    file that has no `\n` but `\r` has its lines end there; see `raw_lines`.

    Args:
        path: the file.
        encoding: "utf-8", or "latin-1" for old public sets.

    Raises:
        UserError: the file cannot be read, is a damaged gzip file, or a line is not UTF-8, holds a NUL byte or is
            longer than `raw_lines.LINE_LIMIT`.
    """
    name = os.fspath(path)
    with open_bytes(name) as file:
        number = 0
        try:
            for number, raw in enumerate(raw_lines(file, name, has_marks=encoding == "utf-8"), 1):
                yield _decode(raw, name, number, encoding)
        except LineTooLongError:
            raise too_long("line", f"{name}:{number + 1}") from None
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}: not {error.encoding.upper()[:6]}, as its byte order mark says, behind line {number} "
                f"({error.reason}); save the file as UTF-8"
            ) from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{name}: damaged gzip file, readable up to line {number} ({error}); pack it or fetch it again."
            ) from None
        except OSError as error:
            raise UserError(f"{name}: cannot be read after line {number} ({error.strerror}).") from None


def picked(columns: Sequence[str] | None) -> list[str | int] | None:
    """Returns columns as they were typed, those that are digits as numbers from 0.

    Raises:
        UserError: one is given twice.
    """
    if columns is None:
        return None
    found = [int(name) if re.fullmatch("[0-9]{1,9}", name) else name for name in columns]
    for column in found:
        if found.count(column) > 1:
            raise UserError(f"columns is {list(columns)}, expected each once: {column!r} is given twice")
    return found


def _missing(path: Path, known_names: Iterable[str]) -> str:
    folder = path.parent
    if not os.path.isdir(folder):
        return f"No file {str(path)!r}: there is no folder {str(folder)!r}."
    try:
        beside = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError:  # A folder may be entered but not listed.
        beside = []
    return f"No file {str(path)!r}.{close_matches(path.name, [*beside, *known_names])}"


def _files_in(folder: str) -> str:
    """Returns a sentence with the first few names in a folder."""
    found = sorted(os.listdir(folder))
    more = " and more" if len(found) > 5 else ""
    return f" It holds {', '.join(map(repr, found[:5]))}{more}." if found else " It holds nothing."


def _decode(raw: bytes, name: str, number: int, encoding: str) -> str:
    skipped = 0
    if number == 1 and raw.startswith(_UTF8_BOM):
        raw, skipped = raw[len(_UTF8_BOM) :], len(_UTF8_BOM)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}:{number}: not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start + skipped} of the line; "
            "save the file as UTF-8."
        ) from None
    if "\0" in text:
        raise UserError(
            f"{name}:{number}: a NUL byte at offset {raw.index(0) + skipped} of the line; "
            "is the file UTF-16 or not text? Save it as UTF-8."
        )
    return text.rstrip("\r")
