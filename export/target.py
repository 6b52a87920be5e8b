"""The folder that an export makes: it appears whole, and what stood there before goes only then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_transformer._files import replacing_folder
from keras_transformer.errors import UserError
from keras_transformer.export.folder import MANIFEST


def check_target(path: Path, force: bool) -> None:
    """Raises UserError if something stands at `path` that may not be replaced: only an artifact folder is, by force."""
    if not os.path.lexists(path):
        return
    if not force:
        raise UserError(f"{path} exists already; give another --output, or --force to replace it")
    if path.is_symlink() or not (path / MANIFEST).is_file():
        raise UserError(f"{path} is no artifact folder (it has no {MANIFEST}): --force does not replace it")


@contextmanager
def new_folder(path: Path, force: bool) -> Iterator[Path]:
    """Gives an empty folder beside `path` to fill, and renames it to `path` when the block ends well.

    Raises:
        UserError: see `check_target`.
    """
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
