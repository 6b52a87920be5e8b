"""Tags and the entities they mark."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from keras_transformer.tags import (
    SCHEMES,
    Scheme,
    Span,
    converted,
    is_tag,
    scheme_of,
    spans,
    split_tag,
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
