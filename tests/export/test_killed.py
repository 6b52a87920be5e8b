"""An export that is killed leaves nothing under the name of its folder, or what stood there before."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_transformer.export import check_folder
from keras_transformer.export.target import clear_remains
from tests.export.conftest import ROOT, write_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX systems")

FILES = 40
# Fills a folder file by file as an export does, over and over, so that a signal comes at any moment of it.
FILL = f"""
import sys, json
from pathlib import Path
from keras_transformer.export.manifest import whole_manifest
from keras_transformer.export.target import new_folder
path = Path(sys.argv[1])
print("ready", flush=True)
for turn in range(10_000):
    with new_folder(path, force=True) as folder:
        for number in range({FILES}):
            (folder / f"file {{number}}").write_bytes(bytes([turn % 256]) * 5_000)
        manifest = {{"format": "keras-transformer artifact 2", "precisions": {{}}, "turn": turn}}
        (folder / "manifest.json").write_text(json.dumps(whole_manifest(manifest, folder)))
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs do not hear it
    )


def check_remains(path: Path) -> None:
    """What stands under the name is whole, once the next export has cleared away what the last one left."""
    if path.exists():
        check_folder(path)
    clear_remains(path)
    check_folder(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    kept = {(path / f"file {number}").read_bytes() for number in range(FILES)}
    assert len(kept) == 1, "files of two exports in one folder"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_folder_is_whole_whenever_the_signal_comes(tmp_path: Path, number: signal.Signals) -> None:
    path, draw = tmp_path / "a [dist]", random.Random(int(number))
    for _ in range(3):
        process = start("-c", FILL, str(path))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode != 0
        check_remains(path)


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    """The one moment at which nothing stands under the name: the old folder comes back."""
    path, dead = tmp_path / "dist", dead_process()
    aside, half = (tmp_path / f".dist.{dead}.{kind}" for kind in ("old", "tmp"))
    for folder in (aside, half):
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"of": folder.name}))
    clear_remains(path)
    assert json.loads((path / "manifest.json").read_text()) == {"of": aside.name}
    assert [entry.name for entry in tmp_path.iterdir()] == ["dist"]


def test_what_others_have_is_left_alone(tmp_path: Path) -> None:
    """An export under way, one to another folder, and what is no remains at all."""
    dead = dead_process()
    others = {f".dist.{os.getpid()}.tmp", f".dist2.{dead}.tmp", ".dist.notes.old", f".dist.{dead}.txt"}
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / f".dist.{dead}.tmp").mkdir()
    clear_remains(tmp_path / "dist")
    assert {entry.name for entry in tmp_path.iterdir()} == others


def dead_process() -> int:
    """Returns the number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# The real thing


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "small")


def export(run: Path, output: Path) -> subprocess.Popen[str]:
    room = ["--max-source-bytes", "16", "--max-target-bytes", "16", "--force-precision"]  # its weights are random
    return start("-m", "keras_transformer.cli", "export", str(run), "--output", str(output), *room)


def test_an_interrupted_export_says_so_and_leaves_nothing(small_run: Path, tmp_path: Path) -> None:
    """Within the conversion, which is another process and has to end too."""
    process = export(small_run, tmp_path / "dist")
    assert process.stderr is not None
    while not process.stderr.readline().startswith("SavedModel:"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "keras-transformer: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("part", [0.2, 0.4, 0.6, 0.8, 0.9])
def test_an_export_that_is_killed_anywhere(
    small_run: Path, tmp_path: Path, whole_seconds: float, number: signal.Signals, part: float
) -> None:
    process = export(small_run, tmp_path / "dist")
    time.sleep(whole_seconds * part * random.uniform(0.8, 1.2))
    os.killpg(process.pid, number)
    process.communicate(timeout=120)
    if (tmp_path / "dist").exists():
        check_folder(tmp_path / "dist")  # it was done before
    clear_remains(tmp_path / "dist")
    assert {entry.name for entry in tmp_path.iterdir()} <= {"dist"}


@pytest.fixture(scope="module")
def whole_seconds(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long the whole export takes here."""
    begun = time.monotonic()
    process = export(small_run, tmp_path_factory.mktemp("dist") / "whole")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.monotonic() - begun
