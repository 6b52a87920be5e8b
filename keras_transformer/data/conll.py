"""Reads tagged words: CoNLL columns, a word and its tag on a line, a blank line behind every sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keras_transformer.data.files import check_file, read_lines
from keras_transformer.data.readers import CSV_SUFFIXES, JSON_SUFFIXES
from keras_transformer.data.rows import Report, Row
from keras_transformer.errors import UserError
from keras_transformer.label_names import check_label
from keras_transformer.tags import OUTSIDE, FileScheme, converted, is_tag, scheme_of_file, standard, strays
from keras_transformer.text.words import WHITE_SPACE

DOCUMENT_START = "-DOCSTART-"
FIRST_AND_LAST = (0, -1)
SCHEMES: dict[FileScheme, str] = {
    "bio": "BIO",
    "iob1": "IOB1 (I begins an entity, B one behind another of its label), read as BIO",
    "bioes": "BIOES",
    "bilou": "BILOU",
}
BETWEEN_WORDS, BETWEEN_TAGS = " ", "\t"  # a tag may hold spaces


@dataclass
class TagReport(Report):
    """Counts what `read_tagged` met.

    Attributes:
        stray: tags that break the scheme, such as I after O.
        first_stray: `"file:line"` of the first of these.
        words: words handed on.
    """

    what: str = "sentences without a word"
    stray: int = 0
    first_stray: str = ""
    words: int = 0

    def message(self) -> str:
        """Returns one line about tags that break the scheme, or an empty string if there were none."""
        if not self.stray:
            return ""
        return (
            f"{self.stray:,} of {self.words:,} tags do not follow from those before them, such as I after O, the first "
            f"at {self.first_stray}: read as the first word of an entity"
        )


def words_of(text: str) -> list[str]:
    """Returns the words of a row's first field."""
    return text.split(BETWEEN_WORDS) if text else []


def tags_in(text: str) -> list[str]:
    """Returns the tags of a row's second field."""
    return text.split(BETWEEN_TAGS) if text else []


def read_tagged(
    spec: str | os.PathLike[str],
    columns: Sequence[str | int] | None = None,
    stray_tags: Literal["accept", "refuse"] = "accept",
    report: Report | None = None,
) -> Iterator[Row]:
    """Yields sentences of tagged words, `(words, tags)`: words separated by a space, tags by a tab; see `words_of`.

    Tags may be BIO, IOB1, BIOES or BILOU; which they are is told by the whole file, and noted in `report`. They are
    handed on as BIO. A line that holds `-DOCSTART-` ends a sentence and is no word.

    Args:
        spec: the file, plain or gzipped; its columns are separated by tabs, or where its first line has none by spaces.
        columns: of the word and of the tag, numbers from 0; default the first and the last.
        stray_tags: what becomes of tags that break BIO or BIOES: "accept" reads them as the CoNLL evaluation does and
            counts them in `report`, "refuse" raises.
        report: counters to add to.

    Raises:
        UserError: the file cannot be read; while reading, for a line with another number of columns than the first, a
            tag that is none or cannot be one (`check_label`), or a stray one; at the end if there was no sentence. Each
            with the line.

    Example:
        ```python
        for row in read_tagged("train.conll"):
            print(list(zip(words_of(row.fields[0]), tags_in(row.fields[1]))))
        ```
    """
    name = os.fspath(spec)
    counts = report if isinstance(report, TagReport) else TagReport()
    sentences = 0
    # whether entities begin with B, and must be ended, is known when the whole file is
    scheme = _scheme(name, columns, counts)
    strict = stray_tags == "refuse" and scheme in ("bioes", "bilou")
    for row in read_conll(name, columns):
        tags = [standard(tag) for tag in tags_in(row.fields[1])]
        sentences += 1
        for word, tag in enumerate(tags):
            check_label(tag, f"{name}:{row.line + word}", "tag")
            if not is_tag(tag):
                raise UserError(
                    f"{name}:{row.line + word}: the tag {tag!r} is none of BIO or BIOES, expected O, or B-, I-, E- or "
                    "S- and a label; give the column of the tags with --columns"
                )
        broken = [] if scheme == "iob1" else strays(tags, "bioes" if strict else "bio")
        if broken and stray_tags == "refuse":
            raise UserError(
                f"{name}:{row.line + broken[0]}: the tag {tags[broken[0]]!r} does not follow from those before it; "
                "mend it, or have such tags read as the first word of an entity with --stray_tags accept"
            )
        counts.words += len(tags)
        counts.stray += len(broken)
        counts.first_stray = counts.first_stray or (f"{name}:{row.line + broken[0]}" if broken else "")
        counts.pairs += 1
        yield Row((row.fields[0], BETWEEN_TAGS.join(converted(tags, "bio"))), row.file, row.line)
    if not sentences:
        raise UserError(f"{name}: no sentence is left: every line is blank.")


def _scheme(name: str, columns: Sequence[str | int] | None, counts: TagReport) -> FileScheme:
    """Reads a file for the scheme of its tags alone, and takes notes."""
    outside, first = 0, ""

    def sentences() -> Iterator[list[str]]:
        nonlocal outside, first
        for row in read_conll(name, columns):
            tags = tags_in(row.fields[1])
            odd = [word for word, tag in enumerate(tags) if tag != OUTSIDE and standard(tag) == OUTSIDE]
            first = first or (f"{name}:{row.line + odd[0]}" if odd else "")
            outside += len(odd)
            yield [OUTSIDE if standard(tag) == OUTSIDE else tag for tag in tags]

    scheme = scheme_of_file(sentences())
    counts.notes.append(f"{name}: tags are {SCHEMES[scheme]}")
    if outside:
        counts.notes.append(f"{name}: read {outside:,} tags such as I-O as O, the first at {first}")
    return scheme


def read_conll(path: str | os.PathLike[str], columns: Sequence[str | int] | None = None) -> Iterator[Row]:
    """Yields the words and the tags of each sentence as they stand; see `read_tagged`."""
    name = os.fspath(path)
    check_file(name)
    return _sentences(name, _picks(name, columns))


def _picks(name: str, columns: Sequence[str | int] | None) -> tuple[int, int]:
    if columns is None:
        return FIRST_AND_LAST
    numbers = [column for column in columns if isinstance(column, int)]
    if len(numbers) != 2 or len(columns) != 2:
        received = ", ".join(repr(column) for column in columns)
        raise UserError(f"{name}: columns are {received}, expected two numbers from 0: of the word and of the tag")
    return numbers[0], numbers[1]


def _sentences(name: str, picks: tuple[int, int]) -> Iterator[Row]:
    words: list[str] = []
    tags: list[str] = []
    start = width = 0
    separator = "\t"
    for number, line in enumerate(read_lines(name), 1):
        if not line.strip() or DOCUMENT_START in line.split():
            if words:
                yield _row(words, tags, name, start)
            words, tags = [], []
            continue
        line = line.strip(" ")
        if not width:
            line = line.rstrip(" \t")
            separator = "\t" if "\t" in line else " +"
        cells = [cell.strip(" ") for cell in re.split(separator, line if separator == "\t" else line.rstrip(" \t"))]
        while len(cells) > width > 0 and not cells[-1].strip():  # tabs behind the last column
            cells.pop()
        width = width or _checked_width(len(cells), picks, f"{name}:{number}")
        if len(cells) != width:
            parted = "tabs" if separator == "\t" else "spaces"
            raise UserError(
                f"{name}:{number}: {len(cells)} column{'s' * (len(cells) != 1)} separated by {parted}, "
                f"expected {width} as in the lines before{_other_kind(name)}"
            )
        word, tag = cells[picks[0]], cells[picks[1]]
        if not word or any(space in word for space in WHITE_SPACE):
            raise UserError(
                f"{name}:{number}: the word is {word!r}, expected one or more characters and no white space"
            )
        start = start if words else number
        words.append(word)
        tags.append(tag)
    if words:
        yield _row(words, tags, name, start)


def _other_kind(name: str) -> str:
    """Returns a doubt whether this is the right file, where its name says that it is of another kind."""
    kind = Path(name.lower().removesuffix(".gz")).suffix
    if kind not in (*CSV_SUFFIXES, *JSON_SUFFIXES):
        return ""
    return f"; a line has a word and its tag, which is not what {kind} stands for"


def _checked_width(width: int, picks: tuple[int, int], place: str) -> int:
    if width < 2:
        raise UserError(f"{place}: 1 column, expected a word and its tag, separated by a tab or spaces")
    for pick in picks:
        if pick >= width:
            raise UserError(f"{place}: no column {pick}: the line has {width}, counted from 0 to {width - 1}")
    return width


def _row(words: list[str], tags: list[str], name: str, line: int) -> Row:
    return Row((BETWEEN_WORDS.join(words), BETWEEN_TAGS.join(tags)), name, line)
