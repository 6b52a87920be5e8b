"""The labels and numbers of texts, as they are read and as scores want them."""

from __future__ import annotations

import re

import pytest

from keras_transformer.data.readers import Row
from keras_transformer.errors import UserError
from keras_transformer.label_references import checked_rows, read_number, reference_array, unknown_labels

LABELS = ("in store", "größer", "other")


@pytest.mark.parametrize(
    ("kind", "examples", "expected"),
    [
        ("single", [("a", "größer "), ("b", "new"), ("c", "in store"), ("d", "next"), ("e", "new")], [1, 3, 0, 4, 3]),
        (
            "multi",
            [("a", "other|in store|other"), ("b", " "), ("c", "new| größer"), ("d", "next|new")],
            [[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 1]],
        ),
        ("regression", [("a", "1", "2.5", "-3")], [[1, 2.5, -3]]),
    ],
)
def test_references(kind: str, examples: list[tuple[str, ...]], expected: list[list[float]]) -> None:
    found = reference_array(examples, LABELS, kind)
    assert found.tolist() == ([[number] for number in expected] if kind == "single" else expected)
    unknown = {"single": {"new": 2, "next": 1}, "multi": {"new": 2, "next": 1}, "regression": {}}
    assert unknown_labels(examples, LABELS, kind) == unknown[kind]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), (" -3 ", -3), ("+2.5", 2.5), (".5", 0.5), ("7.", 7), ("1e-3", 0.001), ("2E+4", 20_000), ("007", 7)],
)
def test_numbers(text: str, number: float) -> None:
    assert read_number(text, "stars.csv:2") == number


@pytest.mark.parametrize(
    "text",
    [
        "1_0",
        "1e5_0",
        "١",
        "１",
        "inf",
        "-Infinity",
        "nan",
        "0x10",
        "1e999",
        "1,5",
        "1 000",
        "",
        " ",
        "e3",
        ".",
        "1e",
        "½",
    ],
)
def test_what_only_python_takes_for_a_number(text: str) -> None:
    fault = re.escape(f"stars.csv:3: {text!r} is not a number such as -1, 2.5 or 1e-3")
    with pytest.raises(UserError, match=f"^{fault}"):
        list(checked_rows([Row(("a", "1"), "stars.csv", 2), Row(("b", text), "stars.csv", 3)], "regression"))
    with pytest.raises(UserError, match=r"^example 2: .* is not a number"):
        reference_array([("a", "1"), ("b", text)], ("stars",), "regression")


def test_labels_are_checked_where_they_are_read() -> None:
    rows = [Row(("a", "x | y"), "mails.csv", 2), Row(("b", "x|y\x0bz"), "mails.csv", 3)]
    with pytest.raises(
        UserError, match=r"^mails.csv:3: the label 'y\\x0bz' cannot be used: it holds U\+000B, a control"
    ):
        list(checked_rows(rows, "multi"))
    assert list(checked_rows(rows[:1], "single")) == rows[:1]
