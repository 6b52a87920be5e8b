"""An artifact folder that is not as export left it: what is said of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.cli import main
from keras_transformer.errors import UserError
from keras_transformer.export import check_folder, open_artifact
from keras_transformer.export.benchmarking import benchmark
from keras_transformer.export.manifest import whole_manifest
from keras_transformer.export.verify_folder import FORMAT, MANIFEST, VERSION, manifest_digest

FILES = {"model.tflite": b"TFL3" * 50, "golden.json": b"{}", "saved_model/variables/a": b"weights"}
DAMAGED = r" is damaged: it is not the file that manifest\.json describes "
PRECISIONS = {"float32": {"file": "model.tflite"}}


def seal(folder: Path, **changes: Any) -> None:
    """Writes the manifest of a folder, with a true digest whatever it says."""
    manifest = {"format": f"{FORMAT} {VERSION}", "precisions": PRECISIONS, "labels": ["größer", "\ud800"]}
    listed = {**whole_manifest(manifest, folder), **changes}
    (folder / MANIFEST).write_text(json.dumps({**listed, "sha256": manifest_digest(listed)}), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "dist"
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    seal(path)
    return path


def test_a_whole_folder(folder: Path) -> None:
    manifest = check_folder(folder)
    assert set(manifest["files"]) == set(FILES)
    (folder / "notes.txt").write_text("a file that the manifest does not name")
    assert check_folder(str(folder)) == manifest


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, DAMAGED + r"\(\d+ bytes, not \d+\); export the run again$"),
        (flip, DAMAGED + r"\(SHA-256 \w{12}\.\.\., not \w{12}\.\.\.\); export the run again$"),
        (Path.unlink, r" cannot be read: No such file or directory; export the run again$"),
    ],
)
def test_damage_names_the_file_and_the_mismatch(
    folder: Path, name: str, damage: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / name)
    said = f"^{re.escape(str(folder / name))}{message}"
    for use in (check_folder, benchmark):
        with pytest.raises(UserError, match=said):
            use(folder)
    assert main(["benchmark", str(folder)]) == 2
    assert re.search(said, capsys.readouterr().err.removeprefix("keras-transformer: error: ").strip())


@pytest.mark.parametrize("damage", [truncate, flip])
def test_predict_and_evaluate_name_their_file(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "model.tflite")
    (tmp_path / "data.tsv").write_text("a\tb\n")
    for tokens in (
        ["predict", str(folder), "a"],
        ["predict", str(folder / "model.tflite"), "a"],
        ["evaluate", str(folder), "--data", str(tmp_path / "data.tsv")],
    ):
        assert main(tokens) == 2
        assert "model.tflite is damaged: it is not the file that manifest.json describes (" in capsys.readouterr().err


def test_every_bit_of_the_manifest_counts(folder: Path) -> None:
    """Whatever is changed: it is no JSON any more, or not what its digest was made of."""
    path = folder / MANIFEST
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(changed))
        with pytest.raises(UserError, match=r"manifest\.json(: format is .*| is damaged: .*; export the run again)$"):
            check_folder(folder)
    path.write_bytes(whole)
    check_folder(folder)


@pytest.mark.parametrize("number", [VERSION + 1, 10])
def test_a_folder_of_a_later_version(folder: Path, number: int) -> None:
    seal(folder, format=f"{FORMAT} {number}")
    message = (
        rf"manifest\.json: format is '{FORMAT} {number}', and up to '{FORMAT} {VERSION}' is known here: take the "
        "folder's own verify.py, or a later keras-transformer$"
    )
    for use in (check_folder, benchmark, open_artifact):
        with pytest.raises(UserError, match=message):
            use(folder)


@pytest.mark.parametrize("given", ["keras-transformer artifact", f"{FORMAT} -1", "something 2", ""])
def test_a_folder_of_no_version(folder: Path, given: str) -> None:
    seal(folder, format=given)
    with pytest.raises(
        UserError, match=rf"manifest\.json: format is '{given}', expected '{FORMAT} {VERSION}': no folder"
    ):
        check_folder(folder)


def test_a_folder_of_the_first_version_has_no_digest_of_its_manifest(folder: Path) -> None:
    seal(folder, format=f"{FORMAT} 1")
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["sha256"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert check_folder(folder) == manifest


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "saved_model/../../outside", "..\\outside"])
def test_a_manifest_that_names_a_file_elsewhere(folder: Path, name: str) -> None:
    seal(folder, files={name: {"bytes": 1, "sha256": "0" * 64}}, precisions={})
    with pytest.raises(UserError, match=r"manifest\.json is damaged: ValueError: it names a file outside of"):
        check_folder(folder)


@pytest.mark.parametrize("changes", [{"precisions": {"int8": {"file": "x"}}}, {"files": {"x": 3}}, {"files": []}])
def test_a_manifest_of_another_make(folder: Path, changes: dict[str, Any]) -> None:
    seal(folder, **changes)
    with pytest.raises(UserError, match=r"manifest\.json is damaged: \w+Error: "):
        check_folder(folder)


def test_no_folder(folder: Path) -> None:
    for path in (folder / "model.tflite", folder / "nothing"):
        with pytest.raises(UserError, match=f"^{re.escape(str(path))} is no folder; give the one that export made$"):
            check_folder(path)
    os.unlink(folder / MANIFEST)
    with pytest.raises(UserError, match=r"dist is no artifact folder: it has no manifest\.json$"):
        check_folder(folder)
