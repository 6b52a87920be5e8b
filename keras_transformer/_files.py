"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a file beside `path` for writing, and renames it to `path` when the block ends without an error.

    A kill, a full disk or an error inside the block leaves what stood at `path` before.

    Example:
        ```python
        with replacing("metrics.json", "w") as file:
            json.dump(metrics, file)
        ```
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def put_in_place(beside: Path, path: Path) -> None:
    """Renames a whole file to `path`, so that not even a power cut leaves the name without the content."""
    with open(beside, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Has the disk know the names in a folder, where the system can be asked for that."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(folder)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file as hexadecimal digits; it is read piece by piece."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives an empty folder beside `path`, and renames it to `path` (which may not exist) when the block ends well.

    What processes that were killed inside such a block have left beside `path` is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if is_building(left) and not is_alive(int(left.name.split(".")[-2])):
            shutil.rmtree(left, ignore_errors=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        os.rename(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def is_building(path: Path) -> bool:
    """Returns whether a folder's name is one that `replacing_folder` gives to what is not whole yet."""
    return re.fullmatch(r"\..+\.[0-9]{1,18}\.tmp", path.name) is not None


def is_alive(process: int) -> bool:
    """Returns whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's; or no number of a process
        return True
    return True


def in_the_way(path: Path) -> Path | None:
    """Returns the file, if there is one, that keeps folders from being made on the way to `path`."""
    nearest = next((parent for parent in path.absolute().parents if os.path.lexists(parent)), None)
    return nearest if nearest is not None and not nearest.is_dir() else None


def reserve(path: str | os.PathLike[str], size: int) -> None:
    """Makes a file of a size, to be written over: a library that runs out of room half-way may not say so in one line.

    Raises:
        OSError: there is no room for it.
    """
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(file.fileno(), 0, size)


def reason(error: OSError) -> str:
    """Returns what went wrong in the system's words; HDF5 adds buffer addresses, on several lines."""
    return os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with replacing(path, "w") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")
