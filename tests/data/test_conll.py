"""CoNLL columns: sentences of words and tags, and every way in which a line can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.data.conll import TagReport, read_tagged, tags_in, words_of
from keras_transformer.errors import UserError

TABS = "Anna\tB-PER\nMay\tI-PER\nslept\tO\n\t\nin\tO\nNew\tB-creative work\n\n\nÅland\tB-LØC"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(content: str | bytes, name: str = "words.conll") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


def sentences(path: str, **options: Any) -> list[tuple[list[str], list[str]]]:
    return [(words_of(row.fields[0]), tags_in(row.fields[1])) for row in read_tagged(path, **options)]


def failure(path: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        list(read_tagged(path, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_sentences_parted_by_blank_lines(write: Any, packed: bool) -> None:
    path = write(gzip.compress(TABS.encode()) if packed else TABS)
    assert sentences(path) == [
        (["Anna", "May", "slept"], ["B-PER", "I-PER", "O"]),
        (["in", "New"], ["O", "B-creative work"]),
        (["Åland"], ["B-LØC"]),
    ]
    assert [row.line for row in read_tagged(path)] == [1, 5, 9]


def test_spaces_and_other_columns(write: Any) -> None:
    path = write("-DOCSTART- -X- O\n\nAnna  NN B-PER\nslept V\u00a0B O\n")
    assert sentences(path) == [(["Anna", "slept"], ["B-PER", "O"])]
    path = write("B-PER x Anna\nO y slept\n")
    assert sentences(path, columns=[2, 0]) == [(["Anna", "slept"], ["B-PER", "O"])]


def test_bioes_is_read_as_bio(write: Any) -> None:
    path = write("New B-LOC\nYork I-LOC\nCity E-LOC\nis O\nbig S-X\n")
    assert sentences(path, stray_tags="refuse")[0][1] == ["B-LOC", "I-LOC", "I-LOC", "O", "B-X"]


DOCUMENT = [(["EU", "rejects"], ["B-ORG", "O"]), (["Peter"], ["B-PER"])]


@pytest.mark.parametrize(
    "content",
    [
        "-DOCSTART- -X- O O\n\nEU\tB-ORG\nrejects\tO\n\n-DOCSTART- -X- O O\n\nPeter\tB-PER\n",
        "-DOCSTART-\tO\n\nEU\tB-ORG\nrejects\tO\n\n-DOCSTART-\tO\nPeter\tB-PER\n",
        "-DOCSTART-\nEU B-ORG\nrejects O\n-DOCSTART-\nPeter B-PER\n-DOCSTART-\n",
        "EU\tNNP\tB-ORG\nrejects\tVBZ\tO\n -DOCSTART-  -X- -X- -X- O \nPeter\tNNP\tB-PER\n",
        "-DOCSTART- (1 Clinton)\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n-DOCSTART- (2)\n\n",
        "EU\tB-ORG\t\t\nrejects\tO\t\n\t\t\nPeter\tB-PER\n",  # tabs behind the last column
        "EU\tB-ORG\nrejects\tO\t\n\t\nPeter\tB-PER \t\n",
        "EU B-ORG\t\nrejects O\n\nPeter B-PER\t\t\n",
        "EU\tI-ORG\nrejects\tI-O\n\nPeter\tI-PER\n",
        "EU\tB-ORG\nrejects\tB-O\n\nPeter\tB-PER\n",
        "EU\tU-ORG\nrejects\tO\n\nPeter\tU-PER\n",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_forms_that_files_come_in(write: Any, content: str, end: str) -> None:
    assert sentences(write(content.replace("\n", end)), stray_tags="refuse") == DOCUMENT


def test_an_empty_column_between_others_stays(write: Any) -> None:
    path = write("EU\tB-ORG\tnote\nrejects\tO\t\n\nPeter\tB-PER\t\n")
    assert sentences(path, columns=[0, 1]) == DOCUMENT
    assert failure(write("EU\tB-ORG\nrejects\t\n")).startswith(f"{path}:2: the tag '' cannot be used: it is empty")


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("I-PER I-PER B-PER O I-LOC", "IOB1 (I begins an entity, B one behind another of its label), read as BIO"),
        ("B-PER I-PER B-PER O B-LOC", "BIO"),
        ("B-PER E-PER S-PER O S-LOC", "BIOES"),
        ("B-PER L-PER U-PER O U-LOC", "BILOU"),
    ],
)
def test_one_text_in_every_scheme(write: Any, tags: str, scheme: str) -> None:
    path = write("".join(f"w{number} {tag}\n" for number, tag in enumerate(tags.split())))
    report = TagReport()
    (row,) = read_tagged(path, stray_tags="refuse", report=report)
    assert tags_in(row.fields[1]) == ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]
    assert report.messages() == [f"{path}: tags are {scheme}"]


def test_outside_with_a_letter_is_noted(write: Any) -> None:
    path = write("a O\nb I-O\n\nc I-X\nd B-O\n")
    report = TagReport()
    assert [tags_in(row.fields[1]) for row in read_tagged(path, report=report)] == [["O", "O"], ["B-X", "O"]]
    assert report.notes[1:] == [f"{path}: read 2 tags such as I-O as O, the first at {path}:2"]


def test_strays_are_counted(write: Any) -> None:
    path = write("a O\nb I-PER\nc I-PER\nd I-LOC\n\ne B-X\n")
    report = TagReport()
    (first, _) = read_tagged(path, report=report)
    assert tags_in(first.fields[1]) == ["O", "B-PER", "I-PER", "B-LOC"]
    assert (report.pairs, report.words, report.stray) == (2, 5, 2)
    assert report.notes == [f"{path}: tags are BIO"]
    assert report.message() == (
        f"2 of 5 tags do not follow from those before them, such as I after O, the first at {path}:2: read as the "
        "first word of an entity"
    )
    quiet = TagReport()
    list(read_tagged(write("a O\n"), report=quiet))
    assert quiet.message() == ""


@pytest.mark.parametrize(
    ("content", "line", "tag"),
    [("a O\nz B-X\n\nb O\nc I-PER\n", 5, "I-PER"), ("a B-X\nb O\nc S-X\n", 2, "O"), ("a S-X\nb B-X\n", 2, "B-X")],
)
def test_strays_are_refused(write: Any, content: str, line: int, tag: str) -> None:
    path = write(content)
    assert failure(path, stray_tags="refuse") == (
        f"{path}:{line}: the tag {tag!r} does not follow from those before it; mend it, or have such tags read as the "
        "first word of an entity with --stray_tags accept"
    )
    assert len(sentences(path)) == content.count("\n\n") + 1


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a\tO\nb\tx\tO\n", {}, ":2: 3 columns separated by tabs, expected 2 as in the lines before"),
        ("a N O\nb O\n", {}, ":2: 2 columns separated by spaces, expected 3 as in the lines before"),
        ("a\tO\n\nb\n", {}, ":3: 1 column separated by tabs, expected 2 as in the lines before"),
        ("alone\n", {}, ":1: 1 column, expected a word and its tag, separated by a tab or spaces"),
        ("a O\n", {"columns": [0, 2]}, ":1: no column 2: the line has 2, counted from 0 to 1"),
        ("a O\n", {"columns": ["word", "tag"]}, ": columns are 'word', 'tag', expected two numbers from 0: of the "),
        ("a O\n", {"columns": [0]}, ": columns are 0, expected two numbers from 0: of the word and of the tag"),
        ("New York\tB-LOC\n", {}, ":1: the word is 'New York', expected one or more characters and no white space"),
        ("a\x0bb O\n", {}, ":1: the word is 'a\\x0bb', expected one or more characters and no white space"),
        ("a\x0cb\tO\n", {}, ":1: the word is 'a\\x0cb', expected one or more characters and no white space"),
        ("a\tO\n\tO\n", {}, ":2: the word is '', expected one or more characters and no white space"),
        (
            "a\tO\nb\tPER\n",
            {},
            ":2: the tag 'PER' is none of BIO or BIOES, expected O, or B-, I-, E- or S- and a label",
        ),
        ("a\tB-\n", {}, ":1: the tag 'B-' is none of BIO or BIOES"),
        ("\n \n", {}, ": no sentence is left: every line is blank."),
    ],
)
def test_lines_that_cannot_be_used(write: Any, content: str, options: dict[str, Any], message: str) -> None:
    path = write(content)
    assert failure(path, **options).startswith(f"{path}{message}")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"document": "a b"}\n{"document": "a b c"}\n')
    assert failure(str(tmp_path / "docs.jsonl")).endswith(
        ":2: 4 columns separated by spaces, expected 3 as in the lines before; a line has a word and its tag, which is "
        "not what .jsonl stands for"
    )


def test_files_that_cannot_be_used(write: Any) -> None:
    assert failure(write("")).endswith("is empty.")
    assert "Did you mean 'words.conll'?" in failure(write("") + "l")
    path = write(b"a\tO\n\xff\tO\n")
    assert failure(path).startswith(f"{path}:2: not UTF-8")
