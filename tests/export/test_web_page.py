"""The web page's files: LiteRT.js by way of npm, and the page in an artifact folder."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from keras_transformer import cli
from keras_transformer.errors import UserError
from keras_transformer.export import litertjs, web_page
from keras_transformer.export.folder import read_manifest
from keras_transformer.export.litertjs import PACKAGES, VERSION, NoRuntime, NpmPackage, integrity
from keras_transformer.export.progress import Steps
from keras_transformer.export.verify_folder import digest, manifest_digest
from keras_transformer.export.web_page import SOURCES, add_page, write_page, write_page_if_possible

FOLDER = {
    "format": "keras-transformer artifact 2",
    "precisions": {"float32": {"file": "model.tflite"}},
    "files": {"model.tflite": {"bytes": 4, "sha256": "0" * 64}, "web/gone.js": {"bytes": 1, "sha256": "1" * 64}},
}


def archive_of(package: NpmPackage) -> bytes:
    """An archive as npm publishes it, small."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in [*package.files, "package.json", "wasm/not_taken.wasm"]:
            content = f'import {{ createWasmLib }} from "@litertjs/wasm-utils";\n// {package.name} {name}\n'.encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, find_package: Callable[[NpmPackage], Path]) -> Path:
    """A folder in which an npm of ours finds small archives, which are pinned; `calls` there has what it was told."""
    folder = tmp_path / "registry"
    folder.mkdir()
    pinned = []
    for package in PACKAGES:
        (folder / package.archive).write_bytes(archive_of(package))
        pinned.append(replace(package, integrity=integrity(folder / package.archive)))
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n. {folder}/bring\n', encoding="utf-8")
    npm.chmod(0o755)
    (folder / "bring").write_text(
        'for name; do :; done\nname=$(echo "$name" | sed "s/^@//; s/@.*//; s,/,-,")\n'
        f'cp "{folder}/$name-{VERSION}.tgz" .\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(litertjs, "find_package", find_package)
    monkeypatch.setattr(litertjs, "PACKAGES", tuple(pinned))
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KERAS_TRANSFORMER_CACHE", str(tmp_path / "cache"))
    return folder


def calls(registry: Path) -> list[str]:
    path = registry / "calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "dist"
    path.mkdir()
    manifest = {**FOLDER, "sha256": manifest_digest(FOLDER)}
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return path


def test_packages_are_fetched_once_and_kept(registry: Path, tmp_path: Path) -> None:
    write_page(tmp_path / "one")
    write_page(tmp_path / "two")
    assert [call.split()[-1] for call in calls(registry)] == [f"{package.name}@{VERSION}" for package in PACKAGES]
    assert all("--ignore-scripts" in call for call in calls(registry))
    kept = sorted(path.name for path in (tmp_path / "cache" / "npm").iterdir())
    assert kept == sorted(package.archive for package in PACKAGES)


def test_the_page_has_its_sources_and_the_runtime(registry: Path, tmp_path: Path) -> None:
    write_page(tmp_path)
    page = tmp_path / "web"
    sources = {path.relative_to(SOURCES): path for path in SOURCES.rglob("*") if path.is_file()}
    assert {Path("index.html"), Path("main.js"), Path("tasks/text.js")} <= set(sources)
    assert all((page / name).read_bytes() == path.read_bytes() for name, path in sources.items())
    written = {path.relative_to(page) for path in page.rglob("*") if path.is_file()}
    taken = {Path("vendor", name) for package in PACKAGES for name in package.files.values()}
    assert written == set(sources) | taken | {Path("vendor/NOTICE")}
    assert "Apache License" in (page / "vendor" / "NOTICE").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_worker_finds_the_other_package_by_its_path(registry: Path, tmp_path: Path) -> None:
    write_page(tmp_path)
    core = tmp_path / "web" / "vendor" / "litertjs-core" / "index.js"
    lines = core.read_text().splitlines()
    assert lines[0].startswith("// Changed by keras-transformer: ")
    imported = re.search(r'from "(.*)"', lines[1])
    assert imported
    assert (core.parent / imported[1]).resolve() == core.parents[1] / "litertjs-wasm-utils" / "index.js"


def test_a_damaged_archive_is_fetched_again(registry: Path, tmp_path: Path) -> None:
    write_page(tmp_path / "one")
    (tmp_path / "cache" / "npm" / PACKAGES[0].archive).write_bytes(b"damaged")
    write_page(tmp_path / "two")
    assert len(calls(registry)) == len(PACKAGES) + 1


def test_another_archive_is_refused(registry: Path, tmp_path: Path) -> None:
    (registry / PACKAGES[0].archive).write_bytes(b"another")
    with pytest.raises(NoRuntime) as error:
        write_page(tmp_path)
    wanted = f"@litertjs/core@{VERSION}"
    assert str(error.value) == f"npm brought another {wanted} than this project pins: its SHA-512 differs"
    assert not (tmp_path / "web").exists()
    assert list((tmp_path / "cache" / "npm").iterdir()) == []


def test_what_npm_says_is_told(registry: Path, tmp_path: Path) -> None:
    said = "npm warn old\\nnpm error code ENOTFOUND\\nnpm error network request failed\\n"
    (registry / "bring").write_text(f"printf '{said}' >&2\nexit 1\n")
    with pytest.raises(NoRuntime, match=r"^npm cannot fetch @litertjs/core@[0-9.]+: network request failed$"):
        write_page(tmp_path)


def test_without_npm_an_export_goes_on(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    write_page_if_possible(tmp_path, Path("dist/mine"), Steps())
    assert not (tmp_path / "web").exists()
    assert capsys.readouterr().err.splitlines()[-1] == (
        "there is no web/: npm, which fetches LiteRT.js, is not installed; "
        "`keras-transformer web dist/mine` adds it later"
    )


def test_the_command_adds_a_page_to_a_folder(registry: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # adds it, then renews it
        assert cli.main(["web", str(folder)]) == 0
        printed = capsys.readouterr().out
        assert printed == f"{folder}/web is ready; `keras-transformer serve {folder}` shows it\n"
    files = dict(read_manifest(folder)["files"])
    assert files.pop("model.tflite") == FOLDER["files"]["model.tflite"]  # type: ignore[index]
    written = {path.relative_to(folder).as_posix() for path in (folder / "web").rglob("*") if path.is_file()}
    assert set(files) == written
    assert files["web/main.js"]["sha256"] == digest(SOURCES / "main.js")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "web"]


def test_the_command_fetches_without_a_folder(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["web"]) == 0
    kept = [tmp_path / "cache" / "npm" / package.archive for package in PACKAGES]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in kept]
    assert all(path.is_file() for path in kept)


def test_a_failure_leaves_the_page_as_it_was(registry: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_page(folder)
    before = (folder / "manifest.json").read_bytes()
    monkeypatch.setattr(web_page, "SOURCES", Path("/dev/null/nowhere"))
    monkeypatch.setattr(litertjs, "find_package", lambda package: (_ for _ in ()).throw(NoRuntime("no")))
    with pytest.raises(UserError, match="no"):
        add_page(folder)
    assert (folder / "web" / "main.js").is_file()
    assert (folder / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "web"]


def test_a_page_is_added_to_artifact_folders_alone(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no artifact folder: it has no manifest\.json$"):
        add_page(tmp_path)
    assert calls(registry) == []


def test_pages_hold_nothing_from_elsewhere() -> None:
    """No address of another machine, nothing inline, and no text as HTML."""
    for path in SOURCES.rglob("*"):
        if path.suffix in (".html", ".js", ".css"):
            content = path.read_text(encoding="utf-8")
            assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", content)
            assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", content), path
