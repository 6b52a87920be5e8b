"""What commands write: files that are looked at before the work begins, JSON in the characters of the terminal."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from keras_transformer.cli.outputs import check_output
from keras_transformer.cli.terminal import print_result
from keras_transformer.errors import UserError

MARK = "<!-- mine -->"


def test_files_that_may_be_written(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    check_output("--html", str(page), MARK)
    page.touch()  # as mktemp makes one
    check_output("--html", str(page), MARK)
    page.write_text(f"<!DOCTYPE html>\n{MARK}\n")
    check_output("--html", str(page), MARK)
    page.write_text("somebody's")
    check_output("--html", str(page))
    with pytest.raises(
        UserError, match=r"^--html: '.*page\.html' exists already and was not written by this command; g"
    ):
        check_output("--html", str(page), MARK)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "--html: '' is no name, expected a file to write"),
        (".", "--html: '.' is a folder, expected a file to write"),
        ("none/page.html", "--html: no folder 'none' to write 'none/page.html' in"),
    ],
)
def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^{message}$"):
        check_output("--html", path)


@pytest.mark.parametrize(("encoding", "is_escaped"), [("ascii", True), ("utf-8", False), ("UTF8", False)])
def test_a_result_is_json_on_any_terminal(monkeypatch: pytest.MonkeyPatch, encoding: str, is_escaped: bool) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace"))
    print_result({"run": "café 😀"})
    sys.stdout.flush()
    assert json.loads(written.getvalue()) == {"run": "café 😀"}
    assert (b"\\u00e9" in written.getvalue()) is is_escaped
