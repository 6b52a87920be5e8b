"""The rule for what a label may be called."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from keras_transformer.errors import UserError
from keras_transformer.label_names import LONGEST, check_label, checked_labels, label_fault


@pytest.mark.parametrize("name", ["spam", "B-PER", "größer als", "中文", "👩‍🚀", "-", "a  b", "x" * LONGEST, "क्षि"])
def test_these_are_labels(name: str) -> None:
    assert label_fault(name) == ""
    check_label(name, "mails.csv:1")
    assert checked_labels([name, "other"]) == [name, "other"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "it is empty"),
        (" \t", "it is empty"),
        (" spam", "it has white space around it"),
        ("spam\xa0", "it has white space around it"),
        ("a\nb", "it holds U+000A, a control character, at character 2"),
        ("\x0bab", "it holds U+000B, a control character, at character 1"),
        ("a\0", "it holds U+0000, a control character, at character 2"),
        ("a\x85b", "it holds U+0085, a control character, at character 2"),
        ("a\u2028b", "it holds U+2028, a line separator, at character 2"),
        ("a\u2029b", "it holds U+2029, a paragraph separator, at character 2"),
        ("a\x1b[2J", "it holds U+001B, a control character, at character 2"),
        ("a\ud800", "it holds U+D800, half of a surrogate pair, at character 2"),
        ("x" * (LONGEST + 1), "it has 257 characters, more than 256"),
    ],
)
def test_these_are_none(name: str, fault: str) -> None:
    assert label_fault(name) == fault
    with pytest.raises(UserError, match=re.escape(f"mails.csv:7: the tag {name[:60]!r}")) as raised:
        check_label(name, "mails.csv:7", "tag")
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=re.escape(f"label 1 is {name[:LONGEST]!r}: {fault}")):
        checked_labels(["good", name])


def test_no_reader_of_lines_splits_a_label() -> None:
    """Of all characters that a label may hold inside, none ends a line for Python, which knows the most line ends."""
    inside = [f"a{chr(code)}b" for code in range(sys.maxunicode + 1)]
    assert not [name for name in inside if len(name.splitlines()) > 1 and not label_fault(name)]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (None, "the labels are None, expected a list of texts"),
        ([], r"the labels are \[\], expected"),
        ("spam", "the labels are str, expected"),
        ({"a": 1}, "the labels are dict, expected"),
        (["a", 3], "label 1 is of the type int, expected a text"),
        (["a", ["b"]], "label 1 is of the type list, expected a text"),
        (["a", "b", "a"], "label 2 is 'a': it is there twice"),
    ],
)
def test_a_file_without_labels_is_refused(names: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        checked_labels(names)
