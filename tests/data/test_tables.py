"""Tables as programs and people leave them: separators, headers in the wrong places, columns named twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_transformer.data.readers import read_columns, read_fields, read_pairs
from keras_transformer.data.rows import EMPTY_ROWS, Report
from keras_transformer.errors import UserError

MAILS = [("Hello, pay; now", "bills"), ("It broke", "tech"), ('Say "hi"', "tech")]
NAMES = ("text", "label")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(
    content: str, columns: list[str | int] | None = None, name: str = "a.csv"
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Returns the labelled texts of a file, and what is printed about it."""
    Path(name).write_bytes(content.encode())
    report = Report(what=EMPTY_ROWS)
    rows = [row.fields for row in read_fields(name, NAMES, columns, report, labels=1)]
    return rows, report.messages()


def failure(content: str, columns: list[str | int] | None = None, name: str = "a.csv") -> str:
    with pytest.raises(UserError) as raised:
        read(content, columns, name)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def table(separator: str, first: str = "", end: str = "\r\n") -> str:
    """Returns the mails as Excel writes them, with a header."""
    rows = [separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [NAMES, *MAILS]]
    return end.join([*([first] if first else []), *rows, ""])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
@pytest.mark.parametrize(("separator", "called"), [(",", ""), (";", "semicolon"), ("\t", "tab"), ("|", "vertical bar")])
def test_quoted_tables_of_every_separator(separator: str, called: str, end: str) -> None:
    notes = [f"a.csv: read as separated by {called}s"] if called else []
    assert read(table(separator, end=end)) == (MAILS, notes)
    assert read("\ufeff" + table(separator, end=end)) == (MAILS, notes)
    assert read(table(separator, end=end), ["text", "label"]) == (MAILS, notes)


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=;;"])
def test_a_line_that_names_the_separator(line: str) -> None:
    assert read(table(";", line)) == (MAILS, [])
    assert read("\ufeff" + table(";", line)) == (MAILS, [])
    assert read("sep=,\na;b,c;d\ne;f,g;h\n" + "i;j,k;l\n" * 5)[0][:2] == [("a;b", "c;d"), ("e;f", "g;h")]
    Path("b.csv").write_text("sep=;\n\na;b\nc\n")
    rows = read_columns("b.csv", None, 2)
    assert [next(rows).line, next(rows).line] == [2, 3]
    with pytest.raises(UserError, match=r"^b\.csv:4: the row has 1 column separated by a semicolon, expected 2"):
        next(rows)


def test_a_separator_that_tabs_have_not() -> None:
    assert read("sep=\t\ntext\tlabel\nx\ty\n", name="a.tsv")[0] == [("x", "y")]
    assert failure("sep=;\ntext;label\nx;y\n", name="a.tsv") == (
        "a.tsv:1: 'sep=;' says that the file is separated by ';', but .tsv and .txt are by tabs; rename the file to "
        ".csv"
    )


def test_decimal_commas_between_semicolons() -> None:
    assert read("text;label\nfine;1,5\nbad;0,5\n")[0] == [("fine", "1,5"), ("bad", "0,5")]
    assert failure("fine;1,5\nbad;0,5\n" * 3) == (
        "a.csv: every row may be separated by a comma or by a semicolon, such as 'fine;1,5'; say which by a first line "
        "sep=, or sep=;"
    )
    assert read("fine; really,pos\nbad,neg\nfine,pos\nbad,neg\nok,pos\n")[1] == []


def test_a_long_table_is_told_by_its_beginning() -> None:
    quoted = 'x;"' + "y\n" * 300 + '"\n'  # goes on behind what is looked at
    assert read("text;label\n" + "a, b;c\n" * 150 + quoted)[0][-1] == ("x", "y\n" * 300)
    assert "not CSV" in failure('text,label\n"a;b\n' + "c,d\n" * 300)


def test_a_header_of_other_names() -> None:
    rows = "A fine film,pos\nDull,neg\nDull too,neg\n"
    assert failure("review,sentiment\n" + rows) == (
        "a.csv:1: the first row, 'review', 'sentiment', looks like a header (its cells are names of columns): give "
        "--columns review sentiment, or, if it is data, --columns 0 1"
    )
    assert failure("Star Rating,the review\n3,fine\n2,dull\n").endswith(
        "give --columns 'the review' 'Star Rating', or, if it is data, --columns 0 1"
    )
    assert failure("\n,\n" + "review,sentiment\n" + rows).startswith("a.csv:3: the first row,")
    kept, notes = read("review,sentiment\n" + rows, [0, 1])
    assert kept[0] == ("review", "sentiment")
    assert notes == [
        "warning: a.csv:1: the first row, 'review', 'sentiment', is read as data, but looks like a header (its cells "
        "are names of columns)"
    ]
    assert read("review,sentiment\n" + rows, ["review", "sentiment"]) == (read(rows)[0], [])


def test_a_header_of_pairs() -> None:
    rows = [("english", "german"), ("A man.", "Ein Mann.")]
    Path("a.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in rows))
    with pytest.raises(UserError, match=r"give --columns english german, or, if it is data, --columns 0 1$"):
        list(read_pairs("a.tsv"))
    for side, name in enumerate(["a.en", "a.de"]):
        Path(name).write_text("".join(f"{row[side]}\n" for row in rows))
    report = Report()
    assert len(list(read_pairs("a.en,a.de", report=report))) == 2
    assert report.messages() == [
        "warning: a.en:1: the first row, 'english', 'german', is read as data, but looks like a header (its cells are "
        "names of languages)"
    ]


def test_a_fault_below_a_first_row_is_told_where_it_stands() -> None:
    Path("a.tsv").write_text("a\tb\nc\td\nbroken\n")
    rows = read_pairs("a.tsv")
    assert [next(rows).fields, next(rows).fields] == [("a", "b"), ("c", "d")]
    with pytest.raises(UserError, match=r"^a\.tsv:3: "):
        next(rows)


def test_files_that_were_put_together() -> None:
    part = "text,label\nx,y\n"
    assert read(part + part.upper() + "\ufeff" + part) == (
        [("x", "y"), ("X", "Y"), ("x", "y")],
        ["a.csv: skipped 2 headers that a file has in its midst, the first at a.csv:3"],
    )
    assert read("x,y\n" + part) == (
        [("x", "y"), ("x", "y")],
        ["a.csv: skipped 1 header in a table read as one without, the first at a.csv:2"],
    )
    assert read(part, [0, 1])[0] == [("x", "y")]
    assert read("id,queue,body\n1,a,b\nid,queue,body\n2,c,d\n", ["body", "queue"])[0] == [("b", "a"), ("d", "c")]
    assert failure("text,label\nx,y\nlabel,text\ny,x\n") == (
        "a.csv:3: a header with its columns in another order; split the file there"
    )
    assert failure("label,text\nx,y\n", [0, 1]) == (
        "a.csv:1: a header with its columns in another order; give --columns text label"
    )
    assert read("text,label\ntext,y\nlabel,y\n")[0] == [("text", "y"), ("label", "y")]


def test_columns_given_twice() -> None:
    content = "text,label,note\nx,y,z\n"
    assert failure(content, ["text", "text"]) == "a.csv: columns are 'text', 'text', expected each once."
    assert failure(content, [1, 1]) == "a.csv: columns are 1, 1, expected each once."
    assert failure(content, ["label", 1]) == "a.csv:1: columns are 'label', 1, of which two are one and the same"
    assert failure('{"text": "x"}', ["text", "text"], "a.jsonl") == (
        "a.jsonl: columns are 'text', 'text', expected each once."
    )


def test_a_header_that_names_a_column_twice() -> None:
    content = "text,label,label\nx,y,z\n"
    assert failure(content, ["text", "label"]) == (
        "a.csv:1: the header names 'label' 2 times, as columns 1 and 2; give the number of the one that is meant "
        "beside the other columns' names, or rename one"
    )
    assert read(content, ["text", 2])[0] == [("x", "z")]


def test_quoted_names_between_tabs() -> None:
    content = '"text"\t"label"\n"x"\t"y"\n'
    message = (
        "a.tsv:1: the names of the columns are quoted, but .tsv and .txt have no quoting; rename the file to .csv, "
        "which may be separated by tabs too"
    )
    assert failure(content, name="a.tsv") == message
    assert failure(content, ["text", "label"], "a.tsv") == message
    assert read(content)[0] == [("x", "y")]
