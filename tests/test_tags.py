"""Tags and the entities they mark."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB1, Entities

from keras_transformer.tags import (
    SCHEMES,
    Scheme,
    Span,
    converted,
    is_tag,
    scheme_of,
    scheme_of_file,
    spans,
    split_tag,
    standard,
    strays,
    tags_of,
)

LABELS = ("PER", "LOC", "creative-work")


@st.composite
def marked(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Entities that do not overlap, and the number of words."""
    found, word = [], 0
    for gap, length, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(LABELS)), max_size=5)
    ):
        found.append(Span(label, word + gap, word + gap + length))
        word += gap + length
    return found, word + draw(st.integers(0, 2))


@settings(deadline=None)
@given(marked(), st.sampled_from(SCHEMES))
def test_entities_come_back(entities: tuple[list[Span], int], scheme: Scheme) -> None:
    found, words = entities
    tags = tags_of(found, words, scheme)
    assert spans(tags) == found
    assert strays(tags, scheme) == []
    assert all(map(is_tag, tags))
    for other in SCHEMES:
        assert converted(tags, other) == tags_of(found, words, other)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["O", *(f"{letter}-{label}" for letter in "BIES" for label in LABELS[:2])])))
def test_any_tags_are_read_as_seqeval_reads_them(tags: list[str]) -> None:
    assert [(label, start, end - 1) for label, start, end in spans(tags)] == get_entities(tags)
    mended = converted(tags, "bio")
    assert strays(mended, "bio") == []
    assert spans(mended) == spans(tags)


@settings(deadline=None)
@given(marked())
def test_iob1_is_read_as_seqeval_reads_it(entities: tuple[list[Span], int]) -> None:
    found, words = entities
    tags = ["O"] * words
    for number, (label, start, end) in enumerate(found):
        follows = number > 0 and found[number - 1].end == start and found[number - 1].label == label
        tags[start:end] = [f"I-{label}"] * (end - start)
        tags[start] = f"{'B' if follows else 'I'}-{label}"
    (theirs,) = Entities([tags], IOB1).entities
    assert [Span(one.tag, one.start, one.end) for one in theirs] == found == spans(tags)
    assert scheme_of_file([tags]) == ("iob1" if found else "bio")
    assert converted(tags, "bio") == tags_of(found, words, "bio")


@settings(deadline=None)
@given(marked())
def test_bilou_is_bioes_in_other_letters(entities: tuple[list[Span], int]) -> None:
    tags = tags_of(*entities, "bioes")
    letters = {"E-": "L-", "S-": "U-"}
    other = [letters.get(tag[:2], tag[:2]) + tag[2:] for tag in tags]
    assert [standard(tag) for tag in other] == tags == [standard(tag) for tag in tags]
    assert scheme_of_file([other]) == ("bilou" if entities[0] else "bio")


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("", "bio"),
        ("O O", "bio"),
        ("B-X I-X", "bio"),
        ("I-X I-X O", "iob1"),
        ("I-X I-Y B-Y", "iob1"),
        ("I-X O B-X", "bio"),  # B behind no entity: an I that follows from nothing
        ("I-X B-Y", "bio"),
        ("B-X E-X", "bioes"),
        ("S-X O", "bioes"),
        ("U-X B-X", "bilou"),
        ("B-X L-X", "bilou"),
    ],
)
def test_schemes_of_files(tags: str, scheme: str) -> None:
    assert scheme_of_file([tags.split()]) == scheme


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("I-O", "O"),
        ("B-O", "O"),
        ("O", "O"),
        ("L-X", "E-X"),
        ("U-a-b", "S-a-b"),
        ("L-", "L-"),
        ("X-O", "X-O"),
        ("", ""),
    ],
)
def test_standard_tags(tag: str, expected: str) -> None:
    assert standard(tag) == expected


@pytest.mark.parametrize(
    ("tags", "scheme", "found"),
    [
        ("O I-X I-X", "bio", [1]),
        ("B-X I-Y", "bio", [1]),
        ("I-X", "bio", [0]),
        ("B-X B-X I-X O", "bio", []),
        ("B-X O", "bioes", [1]),
        ("B-X", "bioes", [0]),
        ("S-X E-X", "bioes", [1]),
        ("B-X E-Y", "bioes", [1]),
        ("B-X I-X E-X S-X", "bioes", []),
        ("O I-X", "bioes", [1]),
    ],
)
def test_strays(tags: str, scheme: Scheme, found: list[int]) -> None:
    assert strays(tags.split(), scheme) == found


def test_schemes() -> None:
    assert scheme_of(["O", "B-E", "I-S"]) == "bio"
    assert scheme_of(["O", "S-X"]) == "bioes"
    assert split_tag("B-creative-work") == ("B", "creative-work")
    assert not any(map(is_tag, ["", "B", "B-", "PER", "X-PER", "o"]))
