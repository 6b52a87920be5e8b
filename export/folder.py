"""Whether an artifact folder is as export left it: its manifest, and the files that this describes.

Needs nothing but Python. What is checked stands in `verify_folder`, which goes into each folder as verify.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_transformer.errors import UserError, close_matches
from keras_transformer.export import verify_folder


def check_folder(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Checks that an artifact folder is whole: its manifest, and every file that this names; returns the manifest.

    A file that the manifest does not name is nobody's business. Reads every byte, a gigabyte in a second or so.

    Raises:
        UserError: this is no artifact folder, or it is damaged; the line names the first file that is not as the
            manifest says, and in what.

    Example:
        ```python
        check_folder("dist/mine")["limits"]["max_source_bytes"]
        ```
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the one that export made")
    manifest = read_manifest(folder)
    for name in manifest["files"]:
        check_file(folder, name, manifest)
    return manifest


def check_file(folder: Path, name: str, manifest: Mapping[str, Any]) -> None:
    """Checks one file of an artifact folder; see `check_folder`.

    Raises:
        UserError: it is missing, or has another size or another SHA-256 than the manifest says.
    """
    damage = verify_folder.damage_of(folder, name, manifest)
    if damage:
        raise UserError(damage)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the content of an artifact folder's manifest.

    Raises:
        UserError: it is missing or damaged, or of a version that this one does not know.
    """
    try:
        return verify_folder.read_manifest(folder)
    except verify_folder.Damage as error:
        raise UserError(str(error)) from None


def file_of(manifest: dict[str, Any], folder: Path, precision: str) -> str:
    """Returns the name of a precision's file.

    Raises:
        UserError: the folder has none.
    """
    known = list(manifest["precisions"])
    if precision not in known:
        raise UserError(
            f"{folder} has no precision {precision!r}.{close_matches(precision, known)} There are: {', '.join(known)}."
        )
    return str(manifest["precisions"][precision]["file"])
