"""The folder that an export makes: it appears whole, and what stood there before goes only then."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_transformer._files import in_the_way, is_alive, replacing_folder
from keras_transformer.errors import UserError
from keras_transformer.export.verify_folder import MANIFEST


def check_target(path: Path, force: bool) -> None:
    """Raises UserError if something stands at `path` that may not be replaced: only an artifact folder is, by force."""
    if not os.path.lexists(path):
        if (file := in_the_way(path)) is not None:
            raise UserError(f"{path} cannot be made: {file} is a file; give another --output")
        return
    if not force:
        raise UserError(f"{path} exists already; give another --output, or --force to replace it")
    if path.is_symlink() or not (path / MANIFEST).is_file():
        raise UserError(f"{path} is no artifact folder (it has no {MANIFEST}): --force does not replace it")


@contextmanager
def new_folder(path: Path, force: bool) -> Iterator[Path]:
    """Gives an empty folder beside `path` to fill, and renames it to `path` when the block ends well.

    A kill leaves what stood at `path`, and a hidden folder beside it, which the next export to `path` clears away.

    Raises:
        UserError: see `check_target`.
    """
    clear_remains(path)
    check_target(path, force)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        with replacing_folder(path) as folder:
            yield folder
            if path.exists():
                check_target(path, force)
                os.rename(path, aside)
    except BaseException:
        if aside.exists() and not path.exists():
            os.rename(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def clear_remains(path: Path) -> None:
    """Clears away what exports to `path` left that were killed; a folder put aside comes back if nothing replaced it.

    Only what a process left that is no more, on this machine: another export may be under way.
    """
    if os.name != "posix" or not path.parent.is_dir():  # elsewhere no signal asks a process whether it is there
        return
    for entry in sorted(path.parent.glob(f".{_escaped(path.name)}.*")):
        found = re.fullmatch(r"\.(\d+)\.(old|tmp)", entry.name[1 + len(path.name) :])
        if found is None or is_alive(int(found[1])):
            continue
        if found[2] == "old" and not os.path.lexists(path):
            os.rename(entry, path)
        else:
            shutil.rmtree(entry, ignore_errors=True)


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
