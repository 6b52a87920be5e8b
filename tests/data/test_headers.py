"""Headers that nobody announced are found, and honest first rows are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data.headers import header_evidence, swapped

FILMS = [("A fine film", "pos"), ("Dull, and far too long", "neg"), ("I would see it again", "pos")]
LONG = [(f"number {i} is a fine film", ("pos", "neg", "so-so")[i % 3]) for i in range(40)]
PAIRS = [("A man rides a bike.", "Ein Mann fährt Rad."), ("Two dogs.", "Zwei Hunde."), ("Go.", "Geh.")]
WORDS = [("dog", "Hund"), ("cat", "Katze"), ("tree", "Baum"), ("it", "es")]
IN_CELLS = "its cells are names of columns"


@pytest.mark.parametrize(
    "header",
    ["review,sentiment", "Text,Label", "label,text", "review_text,Star Rating", "comment_text,is_toxic", "Satz,Klasse",
     "tweet_text,airline_sentiment", '"sentence","category"'],
)  # fmt: skip
def test_a_label_under_names_that_are_known(header: str) -> None:
    assert header_evidence(header.split(","), FILMS, 1) == IN_CELLS
    assert header_evidence(header.split(","), [], 1) == IN_CELLS


def test_a_label_that_never_comes_again() -> None:
    assert header_evidence(["Zuschrift", "Urteil"], LONG, 1) == (
        "its label 'Urteil' never comes again, and its text is one word"
    )
    assert header_evidence(["Zuschrift", "Urteil"], LONG[:9], 1) == ""  # too few to say
    assert header_evidence(["Zuschrift", "pos"], LONG, 1) == ""
    assert header_evidence(["Eine Zuschrift", "Urteil"], LONG, 1) == ""  # a text
    assert header_evidence(["review", "label"], [("review", "x"), ("y", "label")], 1) == ""
    some = [*LONG[:20], *((f"a text of {i} words", f"label {i}") for i in range(3))]
    assert header_evidence(["Zuschrift", "Urteil"], some, 1) == ""  # other labels never come again either
    some = [*LONG[:20], ("Dull", "neg"), ("Fine", "pos")]
    assert header_evidence(["Zuschrift", "Urteil"], some, 1) == ""  # other texts are one word too


def test_words_above_numbers() -> None:
    rated = [(text, str(i % 5) + ".5") for i, (text, _) in enumerate(LONG)]
    assert header_evidence(["Zuschrift", "Punkte"], rated, 1) == "its cell 'Punkte' stands above numbers"
    two = [(text, "7", number) for text, number in rated]
    assert header_evidence(["Zuschrift", "Seiten", "Punkte"], two, 2) == "its cell 'Seiten' stands above numbers"
    assert header_evidence(["Zuschrift", "3"], rated, 1) == ""


@pytest.mark.parametrize(
    ("header", "evidence"),
    [
        ("english,german", "its cells are names of languages"),
        ("en,de-AT", "its cells are names of languages"),
        ("source,target", IN_CELLS),
        ("article,highlights", IN_CELLS),
        ("text_en,text_de", IN_CELLS),
        ("original,German", IN_CELLS),
    ],
)
def test_pairs_under_names_that_are_known(header: str, evidence: str) -> None:
    assert header_evidence(header.split(","), PAIRS) == evidence


def test_pairs_under_words() -> None:
    long = [(f"this is sentence {i}", f"das ist Satz {i}") for i in range(20)]
    assert header_evidence(["Vorlage", "Fassung"], long) == (
        "its cells are single words, and all others have three words or more"
    )
    assert header_evidence(["Vorlage", "Fassung"], long[:19]) == ""
    assert header_evidence(["Vorlage", "Fassung"], [*long, ("Go.", "Geh.")]) == ""
    assert header_evidence(["Hello!", "Hallo!"], long) == ""


@pytest.mark.parametrize(
    "row",
    ["it,es", "German,Deutsch", "text,Text", "English,Englisch", "question,answer", "name,Name", "source,source"],
)
def test_words_of_a_dictionary_are_data(row: str) -> None:
    assert header_evidence(row.split(","), WORDS) == ""


def test_languages_above_a_dictionary() -> None:
    assert header_evidence(["English", "German"], WORDS) == "its cells are names of languages"


def test_which_of_two_names_is_the_label() -> None:
    assert swapped(["sentiment", "review"], 1)
    assert not swapped(["review", "sentiment"], 1)
    assert not swapped(["german", "english"], 0)


WORD = "a film the of Fine pos neg it Tom is, good? 3 Go. Hund Katze news x-ray Paris 2019"
words = st.sampled_from(WORD.split())
texts = st.lists(words, min_size=1, max_size=9).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(texts, min_size=2, max_size=80),
    kinds=st.lists(st.one_of(words, st.integers(0, 9).map(str)), min_size=2, max_size=9, unique=True),
    seed=st.integers(0, 9999),
)
def test_honest_tables_pass(rows: list[str], kinds: list[str], seed: int) -> None:
    draw = random.Random(seed)
    labels = [draw.choices(kinds, weights=range(len(kinds), 0, -1))[0] for _ in rows]
    others = draw.sample(rows, len(rows))
    assert header_evidence((rows[0], labels[0]), list(zip(rows[1:], labels[1:], strict=True)), 1) == ""
    assert header_evidence((rows[0], others[0]), list(zip(rows[1:], others[1:], strict=True))) == ""
