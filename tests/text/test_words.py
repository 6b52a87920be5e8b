"""Where words are, by bytes, and sentences put together from words."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.text.word_kinds import CODE_POINTS
from keras_transformer.text.words import RULES, Rule, join_words, word_spans

UNICODE: Rule = "punctuation_unicode14"
SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200C))) + "\u2028\u2029\u202f\u205f\u3000"
INSIDE = "’‘‐‑–·‧׳״՚٫٬"  # marks that are part of a word between letters, those of ASCII aside


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
    assert words(text, "punctuation") == found == words(text, UNICODE)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Hello,” she said… “don’t”—and «\u00a0mot\u00a0»!", "“ Hello , ” she said … “ don’t ” — and « mot » !"),
        ("‘I don’t’ ‚so‘", "‘ I don’t ’ ‚ so ‘"),
        ("¿Qué? ¡No!", "¿ Qué ? ¡ No !"),
        ("東京、大阪。「猫」です", "東京 、 大阪 。 「 猫 」 です"),
        ("5€ 1990–95 x-y U+1F600", "5 € 1990–95 x-y U+1F600"),
        ("great😀 👍🏽 👩\u200d💻x ❤\ufe0f™", "great 😀 👍🏽 👩\u200d💻 x ❤\ufe0f ™"),
        ("שלום.\u200f צה״ל", "שלום .\u200f צה״ל"),
        ("हिन्दी में।", "हिन्दी में ।"),
        ("a\u0301. e\u0301x \u0301", "a\u0301 . e\u0301x \u0301"),
        ("a\u202fb\u3000c\u2028d\x85e\u200bf", "a b c d e f"),
    ],
)
def test_punctuation_of_all_scripts(text: str, expected: str) -> None:
    assert words(text, UNICODE) == expected.split(" ")


def test_punctuation_of_ascii_is_that_of_old_models() -> None:
    text = "“In Paris.”…"
    assert words(text, "punctuation") == [text.split(" ")[0], text.split(" ")[1]]
    assert words("東京、大阪", "punctuation") == ["東京、大阪"]


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="Python has the tables of another Unicode")
def test_every_code_point() -> None:
    """In `a?b ? ` each is a letter, a space, a mark, a mark that may be inside a word, or joins what is before it."""
    text, expected = [], []
    for point in range(CODE_POINTS):
        character, category = chr(point), unicodedata.category(chr(point))
        if category == "Cs":
            continue
        text.append(f"a{character}b {character} ")
        if character in SPACES:
            expected += ["a", "b"]
        elif category[0] in "PS" and point > 127 and character not in INSIDE and not 0x1F3FB <= point <= 0x1F3FF:
            expected += ["a", character, "b", character]
        else:
            expected += [f"a{character}b", character]
    data = "".join(text).encode()
    assert [data[start:end].decode() for start, end in word_spans(data, UNICODE)] == expected


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))))
def test_words_are_all_but_white_space(data: bytes) -> None:
    spans = word_spans(data, UNICODE)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
    ends = [0, *(end for _, end in spans)]
    gaps = [data[end:start] for end, start in zip(ends, [*(start for start, _ in spans), len(data)], strict=True)]
    assert not b"".join(gaps).decode().strip(SPACES)


def test_joined_as_people_write() -> None:
    sentence = ["Call", "Dr", "Berger", "(", "Keller", "AG", ")", "at", "4:30", ",", "please", "."]
    assert join_words(sentence, "punctuation")[0] == b"Call Dr Berger (Keller AG) at 4:30, please."
    assert words("Call Dr Berger (Keller AG) at 4:30, please.", "punctuation") == sentence
    for text in ("“Hello,” she said…", "„So nicht“, sagte er.", "¿Qué? ¡No!", "Er zahlte 5 €."):
        assert join_words(words(text, UNICODE), UNICODE)[0].decode() == text
    awkward = ["a.", ",", "b"]  # whose first word the rule would part
    assert join_words(awkward, "punctuation") == (b"a. , b", [0, 3, 5])
