"""JSON Lines: fields that are missing, labels that are no text, and numbers that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.data.readers import read_columns, read_fields, read_pairs
from keras_transformer.data.rows import EMPTY_ROWS, Report
from keras_transformer.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*lines: Any) -> str:
    Path("a.jsonl").write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return "a.jsonl"


def labels_of(*lines: Any, separator: str | None = None) -> list[str]:
    rows = read_fields(write(*lines), ("text", "label"), labels=1, separator=separator)
    return [row.fields[1] for row in rows]


def failure(*lines: Any, separator: str | None = None) -> str:
    with pytest.raises(UserError) as raised:
        labels_of(*lines, separator=separator)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_missing_and_null_fields_are_skipped_and_counted() -> None:
    good = {"text": "x", "label": "y"}
    spec = write(good, {"text": "x"}, {"text": None, "label": "y"}, good, {"label": "y", "txet": "x"}, {})
    report = Report(what=EMPTY_ROWS)
    rows = list(read_fields(spec, ("text", "label"), None, report, labels=1))
    assert [row.line for row in rows] == [1, 4]
    assert report.messages() == ["skipped 4 of 6 rows with an empty field, the first at a.jsonl:2"]
    pairs = Report()
    assert len(list(read_pairs(spec, ["text", "label"], pairs))) == 2
    assert pairs.message() == "skipped 4 of 6 pairs with an empty side, the first at a.jsonl:2"
    with pytest.raises(UserError, match=r"^a\.jsonl:2: no field 'label'\. The object has 'text'\.$"):
        list(read_columns(spec, ["text", "label"], 2))  # files of the program's own


def test_a_field_that_no_object_has_is_a_mistake() -> None:
    lines = [{"text": "x", "lable": "y"}, {"text": "x"}]
    assert failure(*lines) == ("a.jsonl:1: no field 'label'. Did you mean 'lable'? The object has 'text', 'lable'.")
    assert failure({"text": "x", "label": None}) == (
        "a.jsonl: no row is left: every line is empty or has an empty field."
    )


def test_labels_that_are_no_text() -> None:
    lines = [f'{{"text": "x", "label": {label}}}' for label in ("true", "false", "1", "-2.50", '"1"')]
    assert labels_of(*lines) == ["true", "false", "1", "-2.50", "1"]
    assert failure('{"text": true, "label": true}') == "a.jsonl:1: field 'text' is a JSON boolean, expected text."


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_no_json(constant: str) -> None:
    message = f" is {constant}, which is no JSON; give null where there is no value."
    good = {"text": "x", "label": "y"}
    assert failure(good, f'{{"text": "x", "label": {constant}}}') == f"a.jsonl:2: field 'label'{message}"
    assert failure(good, f'{{"text": {constant}, "label": "y"}}') == f"a.jsonl:2: field 'text'{message}"
    assert failure(f'{{"text": {constant}}}') == f"a.jsonl:1: field 'text'{message}"
    assert failure(f'{{"text": "x", "label": [{constant}]}}', separator="|") == f"a.jsonl:1: field 'label'{message}"
    assert labels_of(f'{{"text": "x", "label": "y", "score": {constant}}}') == ["y"]


def test_lists_of_labels() -> None:
    lines = [{"text": "x", "label": label} for label in (["a", "b c"], [True, 3, "a"], [], "a|b", ["a"])]
    assert labels_of(*lines, separator="|") == ["a|b c", "true|3|a", "|", "a|b", "a"]
    assert failure({"text": "x", "label": "y"}, lines[4]) == (
        "a.jsonl:2: field 'label' is a JSON list, expected one label; texts of several labels are for --kind multi"
    )
    for label in ("a|b", " "):
        assert failure({"text": "x", "label": ["c", label]}, separator="|") == (
            f"a.jsonl:1: field 'label' lists the label '{label}', expected one that is not blank and does not hold the "
            "separator of labels, '|'; set another with --label_separator"
        )
    for label, kind in (([["a"]], "list"), ([None], "null"), ([{"a": 1}], "object")):
        assert failure({"text": "x", "label": label}, separator="|") == (
            f"a.jsonl:1: field 'label' is a JSON {kind}, expected text."
        )
    assert failure({"text": ["x"], "label": ["y"]}, separator="|") == (
        "a.jsonl:1: field 'text' is a JSON list, expected text."
    )
