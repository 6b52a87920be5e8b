"""Options of a search on the command line: what is wrong is one line that names them as they were given."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from keras_transformer import cli
from keras_transformer.cli.search_flags import as_flags
from keras_transformer.config import save_config
from keras_transformer.recipes import translation
from tests.export.conftest import write_run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("runs") / "tiny")
    config = translation.Config(run=str(path), max_source_length=32, max_target_length=20)
    save_config(config, path / "config.yaml")  # whole, as evaluate reads it
    return path


class Untouched(io.BytesIO):
    """Input that must not be waited for."""

    def read1(self, size: int | None = -1) -> bytes:
        raise AssertionError("read before the options were checked")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--beam 0", "--beam is 0, expected 1 or more"),
        ("--beam 999", "--beam is 999, more than the 270 pieces of the vocabulary"),
        ("--n-best 2", "--n-best is 2, more than the beam of 1; give a beam as large"),
        ("--min-length 5 --max-length 4", "--min-length is 5, more than --max-length, 4"),
        ("--min-ratio 2 --max-ratio 1.5", "--min-ratio is 2.0, more than --max-ratio, 1.5"),
        ("--min-length 20", "--min-length is 20, but an answer has at most 19 pieces"),
        ("--samples 2 --top-p 0", "--top-p is 0.0, expected more than 0 and at most 1"),
        ("--samples 2 --top-p 1.5", "--top-p is 1.5, expected more than 0 and at most 1"),
        ("--samples 2 --top-p nan", "--top-p is nan, expected more than 0 and at most 1"),
        ("--samples 2 --top-k 271", "--top-k is 271, more than the 270 pieces of the vocabulary"),
        ("--forbidden \udcff", "--forbidden is '\\udcff', expected text that UTF-8 can hold"),  # a byte of Latin-1
        (f"--prefix {'x' * 20}", "--prefix has 20 pieces, more than the 19 that an answer may have"),
    ],
)
def test_what_predict_refuses(
    run: Path, flags: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Untouched()))
    assert cli.main(["predict", str(run), *flags.split()]) == 2
    assert capsys.readouterr() == ("", f"keras-transformer: error: {message}\n")


def test_a_prefix_that_a_file_has_no_room_for(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", str(run), "--output", str(tmp_path / "dist"), "--max-target-bytes", "8"]
    assert cli.main([*command, "--prefix", "ä big man"]) == 2
    message = "--prefix has 10 bytes, more than the 8 of --max-target-bytes"
    assert capsys.readouterr().err == f"keras-transformer: error: {message}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["evaluate", "export"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--beam 999", "--beam is 999, more than the 270 pieces of the vocabulary"),
        ("--min-length 20", "--min-length is 20, but an answer has at most 19 pieces"),
        ("--forbidden \udcff", "--forbidden is '\\udcff', expected text that UTF-8 can hold"),
        (f"--prefix {'x' * 20}", "--prefix has 20 pieces, more than the 19 that an answer may have"),
    ],
)
def test_what_the_others_refuse(
    run: Path, tmp_path: Path, command: str, flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "dist")] if command == "export" else []
    assert cli.main([command, str(run), *output, *flags.split()]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"keras-transformer: error: {message}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("min_p is 2, expected 0 to 1", "--min-p is 2, expected 0 to 1"),
        ("top_k is 9, but nothing is drawn: set samples to 1", "--top-k is 9, but nothing is drawn: set samples to 1"),
        ("min_ratio is 2, more than max_ratio, 1", "--min-ratio is 2, more than --max-ratio, 1"),
        ("prefix has some_thing", "--prefix has some_thing"),
        ("max_target_bytes is 4, expected 8 to 1048576", "--max-target-bytes is 4, expected 8 to 1048576"),
        ("config.yaml is missing", "config.yaml is missing"),
    ],
)
def test_names_of_options(message: str, expected: str) -> None:
    assert as_flags(message) == expected
