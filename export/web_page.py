"""The web page of an artifact folder: `web/`, plain HTML, CSS and JavaScript modules with LiteRT.js beside them.

The page reads `manifest.json` of the folder it stands in and runs the files of that folder; it is the same for every
task, and whatever it needs is in it. Its sources are in `export/web`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from keras_transformer._files import replacing_folder, write_json
from keras_transformer.errors import UserError
from keras_transformer.export.folder import read_manifest
from keras_transformer.export.litertjs import NoRuntime, write_runtime
from keras_transformer.export.manifest import list_files
from keras_transformer.export.progress import Steps
from keras_transformer.export.verify_folder import MANIFEST, manifest_digest

WEB = "web"
SOURCES = Path(__file__).parent / WEB


def write_page(folder: Path) -> None:
    """Writes `web/` into an artifact folder, in the place of the one that is there.

    Raises:
        NoRuntime: LiteRT.js is neither in the cache nor to be had from npm.
    """
    target, aside = folder / WEB, folder / f".{WEB}.{os.getpid()}.old"
    try:
        with replacing_folder(target) as page:
            write_runtime(page / "vendor")
            for source in sorted(path for path in SOURCES.rglob("*") if path.is_file()):
                path = page / source.relative_to(SOURCES)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, path)
            if target.exists():
                os.rename(target, aside)
    except BaseException:
        if aside.exists() and not target.exists():
            os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_page_if_possible(folder: Path, output: Path, steps: Steps) -> None:
    """Writes `web/` into a folder that will be called `output`, or says how to have it later."""
    try:
        with steps.step("web page"):
            write_page(folder)
    except NoRuntime as error:
        steps.say(f"there is no web/: {error}; `keras-transformer web {output}` adds it later")


def add_page(folder: str | os.PathLike[str]) -> None:
    """Adds `web/` to an artifact folder that was made without, or renews it, and enters it in the manifest.

    Raises:
        UserError: it is no artifact folder, it cannot be written, or LiteRT.js is not to be had.

    Example:
        ```python
        add_page("dist/mine")
        ```
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        write_page(folder)
        kept = {name: entry for name, entry in manifest["files"].items() if not name.startswith(f"{WEB}/")}
        added = {f"{WEB}/{name}": entry for name, entry in list_files(folder / WEB).items()}
        manifest["files"] = dict(sorted({**kept, **added}.items()))
        write_json(folder / MANIFEST, {**manifest, "sha256": manifest_digest(manifest)})
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from None
