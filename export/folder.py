"""Whether an artifact folder is as export left it: its manifest, and the files that this describes.

Needs nothing but Python.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from keras_transformer.errors import UserError, close_matches

MANIFEST = "manifest.json"
FORMAT, VERSION = "keras-transformer artifact", 2  # folders of earlier versions are read too


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
    path, entry = folder / name, manifest["files"][name]
    try:
        size, found = path.stat().st_size, digest(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; export the run again") from None
    if size != entry["bytes"]:
        mismatch = f"{size:,} bytes, not {entry['bytes']:,}"
    elif found != entry["sha256"]:
        mismatch = f"SHA-256 {found[:12]}…, not {entry['sha256'][:12]}…"
    else:
        return
    raise UserError(
        f"{path} is damaged: it is not the file that {MANIFEST} describes ({mismatch}); export the run again"
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the content of an artifact folder's manifest.

    Raises:
        UserError: it is missing or damaged, or of a version that this one does not know.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if "ctranslate2" in manifest["format"]:
            raise UserError(f"{folder} is for CTranslate2, it has no .tflite file: its README.md says how to run it")
        version = _version(manifest["format"], path)
        if version > 1 and manifest["sha256"] != manifest_digest(manifest):
            raise ValueError("its content is not what its own sha256 was made of")
        for name, entry in manifest["files"].items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
                raise ValueError(f"it names a file outside of the folder, {name!r}")
            int(entry["bytes"]), str(entry["sha256"])
        for entry in manifest["precisions"].values():
            manifest["files"][entry["file"]]
    except FileNotFoundError:
        raise UserError(f"{folder} is no artifact folder: it has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}; export the run again") from None
    return dict(manifest)


def _version(given: str, path: Path) -> int:
    """Returns the number of a format such as "keras-transformer artifact 2"."""
    name, _, number = given.rpartition(" ")
    if name != FORMAT or not number.isdecimal():
        raise UserError(f"{path}: format is {given!r}, expected {f'{FORMAT} {VERSION}'!r}: no folder that export made")
    if int(number) > VERSION:
        raise UserError(
            f"{path}: format is {given!r}, this keras-transformer reads up to {f'{FORMAT} {VERSION}'!r}: update it, or "
            "export the run again with it"
        )
    return int(number)


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a manifest without its own: of its JSON with sorted keys and without spaces."""
    others = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


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


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()
