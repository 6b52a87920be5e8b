"""Where words are, by bytes, and sentences put together from words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.text.words import Rule, join_words, word_spans

RULES: tuple[Rule, ...] = ("space", "punctuation")


def words(text: str, rule: Rule) -> list[str]:
    data = text.encode()
    return [data[start:end].decode() for start, end in word_spans(data, rule)]


@pytest.mark.parametrize(
    ("text", "spaced", "punctuated"),
    [
        ("", [], []),
        (" \t\n", [], []),
        ("In Paris.", ["In", "Paris."], ["In", "Paris", "."]),
        ("(Zürich) !?", ["(Zürich)", "!?"], ["(", "Zürich", ")", "!", "?"]),
        ("don't 3.14 U.S.", ["don't", "3.14", "U.S."], ["don't", "3.14", "U.S", "."]),
        ("#a@b --", ["#a@b", "--"], ["#", "a@b", "-", "-"]),
        ("猫が\u00a0。", ["猫が\u00a0。"], ["猫が\u00a0。"]),
    ],
)
def test_words(text: str, spaced: list[str], punctuated: list[str]) -> None:
    assert words(text, "space") == spaced
    assert words(text, "punctuation") == punctuated


@settings(deadline=None)
@given(st.text(st.sampled_from("aZ0é.,'( \t\n"), max_size=12))
def test_words_as_a_pattern_finds_them(text: str) -> None:
    assert words(text, "space") == text.split()
    found = re.findall(r"[aZ0é]+(?:[.,'(](?=[aZ0é])[aZ0é]+)*|[.,'(]", text)
    assert words(text, "punctuation") == found


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("aé0.,!()"), min_size=1, max_size=3), max_size=6), st.sampled_from(RULES))
def test_joined_words_are_where_they_are_said_to_be(sentence: list[str], rule: Rule) -> None:
    text, starts = join_words(sentence, rule)
    assert len(starts) == len(sentence)
    assert [text[start:].startswith(word.encode()) for start, word in zip(starts, sentence, strict=True)] == [
        True for _ in sentence
    ]
    assert text.decode().replace(" ", "") == "".join(sentence)
    if rule == "space":
        assert text.decode() == " ".join(sentence)


def test_joined_as_people_write() -> None:
    sentence = ["Call", "Dr", "Berger", "(", "Keller", "AG", ")", "at", "4:30", ",", "please", "."]
    assert join_words(sentence, "punctuation")[0] == b"Call Dr Berger (Keller AG) at 4:30, please."
    assert words("Call Dr Berger (Keller AG) at 4:30, please.", "punctuation") == sentence
    awkward = ["a.", ",", "b"]  # whose first word the rule would part
    assert join_words(awkward, "punctuation") == (b"a. , b", [0, 3, 5])
