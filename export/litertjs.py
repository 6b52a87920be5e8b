"""LiteRT.js, which runs the files in a web page: fetched once by npm, kept in the cache, checked each time it is used.

The packages are pinned by version and by the SHA-512 that npm publishes with them. npm is asked for their archives and
no more (`npm pack`): nothing is installed, and no script of theirs is run. To have them on a machine without a network,
run `keras-transformer web` on one that has it, and copy the folder `npm` of its cache.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_transformer.data.named import cache_folder
from keras_transformer.errors import UserError

VERSION = "2.5.3"
NPM = ("npm", "pack", "--silent", "--ignore-scripts")
# Told within seconds when there is no network, instead of minutes.
PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000")
TIMEOUT = 300  # seconds for one package


class NoRuntime(UserError):
    """LiteRT.js is not to be had."""


@dataclass(frozen=True)
class NpmPackage:
    """An archive that npm publishes.

    Attributes:
        name: with its scope.
        integrity: SHA-512 of the archive, in base64.
        files: what is taken out of it, with the path below `vendor/` that it gets.
    """

    name: str
    integrity: str
    files: Mapping[str, str]

    @property
    def archive(self) -> str:
        """The name of the file that `npm pack` writes."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"


# Threads need headers that keep other pages out, and JSPI serves accelerators only: neither form is taken.
WASM = [f"wasm/litert_wasm_{form}internal.{kind}" for form in ("", "compat_") for kind in ("js", "wasm")]
PACKAGES = (
    NpmPackage(
        "@litertjs/core",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {"dist/index.js": "litertjs-core/index.js", **{name: f"litertjs-core/{name}" for name in WASM}},
    ),
    NpmPackage(
        "@litertjs/wasm-utils",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {"dist/index.js": "litertjs-wasm-utils/index.js"},
    ),
)
# A worker knows no import map, so that a package is named by its path there.
RENAMED = (b'from "@litertjs/wasm-utils"', b'from "../litertjs-wasm-utils/index.js"')
CHANGED = b"// Changed by keras-transformer: the package @litertjs/wasm-utils is imported by its path.\n"
NOTICE = f"""\
LiteRT.js, from the npm packages {" and ".join(f"{package.name} {VERSION}" for package in PACKAGES)}.
Copyright Google LLC. Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0

litertjs-core/index.js is changed in one line, which it says at its top.
"""


def write_runtime(folder: Path) -> None:
    """Writes the files of LiteRT.js into a new folder, having fetched the packages if the cache does not have them.

    Raises:
        NoRuntime: they are neither in the cache nor to be had from npm.

    Example:
        ```python
        write_runtime(Path("dist/mine/web/vendor"))
        ```
    """
    archives = [find_package(package) for package in PACKAGES]
    for package, archive in zip(PACKAGES, archives, strict=True):
        for name, content in _members(archive, package).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")


def find_package(package: NpmPackage) -> Path:
    """Returns a package's archive in the cache, verified; fetches it by npm if it is missing or damaged there.

    Raises:
        NoRuntime: npm is not there, cannot fetch it, or brings something else.
    """
    path = cache_folder() / "npm" / package.archive
    if not (path.is_file() and integrity(path) == package.integrity):
        _fetch(package, path)
    return path


def integrity(path: Path) -> str:
    """Returns the SHA-512 of a file in base64, as npm writes it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def _fetch(package: NpmPackage, path: Path) -> None:
    wanted = f"{package.name}@{VERSION}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _run_npm(wanted, folder)
            found = Path(folder, package.archive)
            if integrity(found) != package.integrity:
                raise NoRuntime(f"npm brought another {wanted} than this project pins: its SHA-512 differs")
            os.replace(found, path)
    except OSError as error:
        raise NoRuntime(f"{wanted} cannot be kept in {path.parent}: {error.strerror or error}") from None


def _run_npm(wanted: str, folder: str) -> None:
    try:
        done = subprocess.run(
            [*NPM, *PATIENCE, wanted], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise NoRuntime("npm, which fetches LiteRT.js, is not installed") from None
    except subprocess.TimeoutExpired:
        raise NoRuntime(f"npm has not brought {wanted} within {TIMEOUT} s") from None
    if done.returncode != 0:
        raise NoRuntime(f"npm cannot fetch {wanted}: {_told(done.stderr)}")


def _told(errors: str) -> str:
    """Returns the line in which npm says what is wrong."""
    lines = [line.removeprefix("npm error").strip() for line in errors.splitlines() if line.startswith("npm error")]
    said = [line for line in lines if line and not line.startswith(("code ", "errno ", "syscall "))]
    return next(iter(said or lines), "it does not say why")


def _members(archive: Path, package: NpmPackage) -> dict[str, bytes]:
    """Returns the contents of the files that are taken, by the path they get."""
    found = {}
    with tarfile.open(archive) as tar:
        for member, name in package.files.items():
            file = tar.extractfile(f"package/{member}")
            assert file is not None  # a file, as the integrity of the archive says
            content = file.read()
            found[name] = CHANGED + content.replace(*RENAMED) if RENAMED[0] in content else content
    return found
