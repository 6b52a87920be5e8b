"""Tags of words, BIO and BIOES, and the entities that they mark; IOB1 and BILOU, which files have too.

`B-PER` begins an entity of the label PER, `I-PER` goes on with it, `O` is outside of all. BIOES marks the last word of
an entity as `E-PER`, and one that is alone as `S-PER` (Ratinov and Roth, "Design Challenges and Misconceptions in Named
Entity Recognition" (2009), https://aclanthology.org/W09-1119). A label may hold any characters, hyphens and spaces too.

Two more are met in files, and become these where they are read. IOB1, in which CoNLL-2003 was published, begins
entities with I, and with B those alone that follow another of their label at once (Tjong Kim Sang and Veenstra,
"Representing Text Chunks" (1999), https://aclanthology.org/E99-1023). BILOU has the letters L and U for E and S.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["bio", "bioes"]

FileScheme = Literal["bio", "iob1", "bioes", "bilou"]

SCHEMES: tuple[Scheme, ...] = ("bio", "bioes")
OUTSIDE = "O"
_OF_BILOU = {"L": "E", "U": "S"}


class Span(NamedTuple):
    """An entity.

    Attributes:
        label: of what kind.
        start, end: its first word and the one behind its last, from 0.
    """

    label: str
    start: int
    end: int


def split_tag(tag: str) -> tuple[str, str]:
    """Returns the letter and the label of a tag: `("B", "PER")`, `("O", "")`."""
    letter, _, label = tag.partition("-")
    return letter, label


def is_tag(tag: str) -> bool:
    """Returns whether this is `O`, or B, I, E or S with a label behind a hyphen."""
    letter, label = split_tag(tag)
    return tag == OUTSIDE or (letter in ("B", "I", "E", "S") and bool(label))


def standard(tag: str) -> str:
    """Returns a tag as this module reads it: L and U are E and S, and `I-O`, as some tools write, is `O`."""
    letter, label = split_tag(tag)
    if label == OUTSIDE and letter in tuple("BIESLU"):
        return OUTSIDE
    return f"{_OF_BILOU[letter]}-{label}" if letter in _OF_BILOU and label else tag


def scheme_of_file(sentences: Iterable[Sequence[str]]) -> FileScheme:
    """Returns which scheme sentences of tags are of.

    IOB1 is known by entities that begin with I, where no B stands but behind an entity of its label: one B elsewhere,
    and the file is BIO, with I that follow from nothing.

    Example:
        ```python
        scheme_of_file([["I-PER", "I-PER", "B-PER", "O"]])  # "iob1"
        ```
    """
    letters: set[str] = set()
    begins_with_i = begins_with_b = False
    for tags in sentences:
        inside = None
        for letter, label in map(split_tag, tags):
            letters.add(letter)
            begins_with_i |= letter == "I" and label != inside
            begins_with_b |= letter == "B" and label != inside
            inside = label if letter in ("B", "I") else None
    if letters & set(_OF_BILOU):
        return "bilou"
    if letters & {"E", "S"}:
        return "bioes"
    return "iob1" if begins_with_i and not begins_with_b else "bio"


def scheme_of(tags: Iterable[str]) -> Scheme:
    """Returns which scheme tags are of: BIOES if there is an E or an S among them."""
    return "bioes" if any(split_tag(tag)[0] in ("E", "S") for tag in tags) else "bio"


def strays(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """Returns the words whose tags break the scheme, from 0.

    An I or E that no B or I of its label stands before; with BIOES also what stands behind an entity that was not
    ended, or the last word if it is that.

    Example:
        ```python
        strays(["O", "I-PER", "I-PER"], "bio")  # [1]
        ```
    """
    found: list[int] = []
    inside = None
    for word, tag in enumerate(tags):
        letter, label = split_tag(tag)
        goes_on = letter in ("I", "E") and label == inside
        unended = scheme == "bioes" and inside is not None
        if not goes_on and (letter in ("I", "E") or unended):
            found.append(word)
        inside = label if letter in ("B", "I") else None
    if scheme == "bioes" and inside is not None and len(tags) - 1 not in found:
        found.append(len(tags) - 1)
    return found


def spans(tags: Sequence[str]) -> list[Span]:
    """Returns the entities that tags of either scheme mark, in order.

    Tags that break the scheme are read as the CoNLL evaluation does: an I that follows no word of its entity begins
    one.

    Example:
        ```python
        spans(["B-PER", "I-PER", "O", "I-LOC"])  # [Span("PER", 0, 2), Span("LOC", 3, 4)]
        ```
    """
    found: list[Span] = []
    begin, inside = 0, None
    for word, tag in enumerate(tags):
        letter, label = split_tag(tag)
        goes_on = letter in ("I", "E") and label == inside
        if inside is not None and not goes_on:
            found.append(Span(inside, begin, word))
            inside = None
        if letter != OUTSIDE and not goes_on:
            begin, inside = word, label
        if letter in ("E", "S") and inside is not None:
            found.append(Span(inside, begin, word + 1))
            inside = None
    if inside is not None:
        found.append(Span(inside, begin, len(tags)))
    return found


def tags_of(entities: Iterable[Span], words: int, scheme: Scheme = "bio") -> list[str]:
    """Returns the tags of `words` words in which these entities are marked; they do not overlap."""
    tags = [OUTSIDE] * words
    for label, start, end in entities:
        tags[start:end] = [f"I-{label}"] * (end - start)
        tags[start] = f"B-{label}"
        if scheme == "bioes":
            tags[end - 1] = f"E-{label}" if end - start > 1 else f"S-{label}"
    return tags


def converted(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Returns tags of either scheme in this one; what breaks a scheme is mended, see `spans`."""
    return tags_of(spans(tags), len(tags), scheme)
