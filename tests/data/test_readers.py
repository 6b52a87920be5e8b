from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data.files import read_lines
from keras_transformer.data.readers import (
    EMPTY_ROWS,
    Report,
    Row,
    check_data,
    read_aligned,
    read_columns,
    read_fields,
    read_pairs,
)
from keras_transformer.errors import UserError

PAIRS = [
    ("A man rides a bike.", "Ein Mann fährt Rad."),
    ("Two dogs.", "Zwei Hunde."),
    ("猫が好きです。", "أحب القطط 🐈"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, content: str | bytes) -> str:
    data = content.encode("utf-8") if isinstance(content, str) else content
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


def pairs_of(spec: str, columns: list[str | int] | None = None) -> list[tuple[str, ...]]:
    return [row.fields for row in read_pairs(spec, columns)]


def failure(spec: str, columns: list[str | int] | None = None) -> str:
    """Returns the message of a reading that must fail, and checks that it is one line."""
    with pytest.raises(UserError) as raised:
        pairs_of(spec, columns)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def as_tsv() -> str:
    return "".join(f"{source}\t{target}\n" for source, target in PAIRS)


def as_csv() -> str:
    file = io.StringIO()
    csv.writer(file).writerows(PAIRS)
    return file.getvalue()


def as_json() -> str:
    return "".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in PAIRS)


# What is read


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", as_tsv()),
        ("a.TXT", as_tsv()),
        ("a.csv", as_csv()),
        ("a.jsonl", as_json()),
        ("a.jsonlines", as_json()),
        ("a.ndjson", as_json()),
        ("a.json", as_json()),
    ],
)
def test_every_format(name: str, content: str, packed: str) -> None:
    spec = write(name + packed, content)
    assert list(read_pairs(spec)) == [Row(pair, spec, line) for line, pair in enumerate(PAIRS, 1)]


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_aligned_files(packed: str) -> None:
    source = write("train.en" + packed, "".join(f"{pair[0]}\n" for pair in PAIRS))
    target = write("train.de", "\n".join(pair[1] for pair in PAIRS))  # No line end at the end of the file.
    assert list(read_pairs(f"{source}, {target}")) == [Row(pair, source, line) for line, pair in enumerate(PAIRS, 1)]


def test_gzip_is_known_by_its_content() -> None:
    write("a.gz", as_tsv())
    os.rename("a.gz", "a.tsv")
    assert pairs_of("a.tsv") == PAIRS


def test_a_file_whose_name_holds_a_comma() -> None:
    assert pairs_of(write("en,de.tsv", as_tsv())) == PAIRS


def test_lines_end_at_newline_only() -> None:
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f\rg"
    write("a.txt", f"{text}\r\nsecond\r\r\nthird")
    assert list(read_lines("a.txt")) == [text, "second", "third"]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_byte_order_mark_is_dropped(name: str) -> None:
    assert pairs_of(write(name, "\ufeffa\tb\n\ufeffc\td\n")) == [("a", "b"), ("\ufeffc", "d")]


def test_tsv_has_no_quoting() -> None:
    assert pairs_of(write("a.tsv", '"a\t"b""\n')) == [('"a', '"b""')]


def test_csv_rows_over_several_lines_are_named_by_their_first() -> None:
    spec = write("a.csv", '"one\r\ntwo","x, ""y"""\r\n\r\nthree,"z\n\n"\nfour,w')
    assert list(read_columns(spec, None, 2)) == [
        Row(("one\ntwo", 'x, "y"'), spec, 1),
        Row(("", ""), spec, 3),
        Row(("three", "z\n\n"), spec, 4),
        Row(("four", "w"), spec, 7),
    ]


def test_long_csv_field() -> None:
    text = "word " * 100_000
    assert pairs_of(write("a.csv", f"{text},summary\n")) == [(text, "summary")]


def test_columns_by_number() -> None:
    spec = write("a.tsv", "1\tone\teins\n2\ttwo\tzwei\n")
    assert pairs_of(spec, [2, 1]) == [("eins", "one"), ("zwei", "two")]


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_columns_by_name(name: str, separator: str) -> None:
    spec = write(name, "id,en , de\n1,one,eins\n".replace(",", separator))
    assert list(read_pairs(spec, ["de", "en"])) == [Row(("eins", "one"), spec, 2)]


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_header_with_the_default_names(name: str, separator: str) -> None:
    assert pairs_of(write(name, "source,target\none,eins\n".replace(",", separator))) == [("one", "eins")]


def test_a_header_with_the_default_names_among_others() -> None:
    spec = write("a.csv", "id,Target,note,Source\n1,eins,x,one\n")
    assert list(read_pairs(spec)) == [Row(("one", "eins"), spec, 2)]
    wrong = failure(write("a.csv", "id,source,target\n1,2,3\n1,2,3,4\n"))
    assert wrong.endswith("a.csv:3: the row has 4 columns separated by a comma, expected 3.")
    for twice in ("source,source,target\n1,2,3\n", "id,source,aim\n1,2,3\n"):
        assert "a.csv:1: the row has 3 columns separated by a comma, expected 2. To read some" in failure(
            write("a.csv", twice)
        )


def test_json_fields_by_name_and_numbers_as_written() -> None:
    spec = write(
        "a.jsonl", '{"text": "x", "label": 1.50, "other": null}\n{"label": 12345678901234567890, "text": "y"}\n'
    )
    assert pairs_of(spec, ["text", "label"]) == [("x", "1.50"), ("y", "12345678901234567890")]


def test_three_columns() -> None:
    spec = write("a.tsv", "a\tb\tc\n")
    assert list(read_columns(spec, None, 3)) == [Row(("a", "b", "c"), spec, 1)]


def test_reading_is_lazy() -> None:
    rows = read_pairs(write("a.tsv", "a\tb\nbroken\n"))
    assert next(rows).fields == ("a", "b")
    with pytest.raises(UserError, match=r"^a\.tsv:2: "):
        next(rows)


texts = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_any_text_comes_back(pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    if pairs[0] == ("source", "target") or pairs[0][0].startswith("\ufeff"):
        pairs = [("first", "row"), *pairs]
    with open(folder / "a.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(pairs)
    with gzip.open(folder / "a.jsonl.gz", "wt", encoding="utf-8", newline="") as packed:
        packed.writelines(json.dumps({"source": a, "target": b}, ensure_ascii=False) + "\n" for a, b in pairs)
    flat = [tuple(text.replace("\n", " ").replace("\t", " ") for text in pair) for pair in pairs]
    for side, name in enumerate(["a.en", "a.de"]):
        (folder / name).write_bytes("".join(f"{pair[side]}\n" for pair in flat).encode())
    (folder / "a.tsv").write_bytes("".join(f"{a}\t{b}\r\n" for a, b in flat).encode())

    assert pairs_of(str(folder / "a.csv")) == pairs
    assert pairs_of(str(folder / "a.jsonl.gz")) == pairs
    assert pairs_of(f"{folder / 'a.en'},{folder / 'a.de'}") == flat
    assert pairs_of(str(folder / "a.tsv")) == flat


# Empty sides


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "a\tb\n\t\n \tc\n\nd\t\u3000\ne\tf\n"),
        ("a.csv", 'a,b\n,\n" ",c\n\nd,\u3000\ne,f\n'),
        ("a.jsonl", '{"source":"a","target":"b"}\n{"source":"","target":""}\n{"source":" ","target":"c"}\n\n'
                    '{"source":"d","target":"\\u3000"}\n{"source":"e","target":"f"}\n'),
    ],
)  # fmt: skip
def test_empty_sides_are_counted(name: str, content: str) -> None:
    report = Report()
    rows = list(read_pairs(write(name, content), report=report))
    assert [row.fields for row in rows] == [("a", "b"), ("e", "f")]
    assert [row.line for row in rows] == [1, 6]
    assert report == Report(pairs=2, empty=4, first_empty=f"{name}:2")
    assert report.message() == f"skipped 4 of 6 pairs with an empty side, the first at {name}:2"


def test_empty_sides_of_aligned_files() -> None:
    write("a.en", "one\n\nthree\n")
    write("a.de", "eins\nzwei\ndrei\n")
    report = Report()
    assert len(list(read_pairs("a.en,a.de", report=report))) == 2
    assert report.message() == "skipped 1 of 3 pairs with an empty side, the first at a.en:2"


def test_nothing_to_report() -> None:
    report = Report()
    assert len(list(read_pairs(write("a.tsv", as_tsv()), report=report))) == 3
    assert report == Report(pairs=3)
    assert report.message() == ""


@pytest.mark.parametrize("content", ["\n", "\t\n\n", "a\t\n\tb\n", "\ufeff", "source\ttarget\n"])
def test_no_pair_left(content: str) -> None:
    message = failure(write("a.tsv", content))
    assert message == "a.tsv: no pair is left: every line is empty or has an empty side."


def test_empty_gzip() -> None:
    assert failure(write("a.tsv.gz", "")).startswith("a.tsv.gz: no pair is left")


# Files that cannot be read


def test_missing_file() -> None:
    write("corpus.tsv", as_tsv())
    assert failure("corpsu.tsv") == "No file 'corpsu.tsv'. Did you mean 'corpus.tsv'?"
    assert failure("zzz.csv") == "No file 'zzz.csv'."
    assert failure("corpus.tsv/a.tsv") == "No file 'corpus.tsv/a.tsv': there is no folder 'corpus.tsv'."
    assert failure("dtaa/corpus.tsv") == "No file 'dtaa/corpus.tsv': there is no folder 'dtaa'."
    assert failure("corpus.tsv,corpus.de") == "No file 'corpus.de'. Did you mean 'corpus.tsv'?"


def test_missing_file_that_resembles_a_known_name() -> None:
    with pytest.raises(UserError, match=r"^No file 'multi3k'\. Did you mean 'multi30k'\?$"):
        check_data("multi3k", known_names=["multi30k"])


def test_folder() -> None:
    os.mkdir("data")
    assert failure("data") == "'data' is a folder; give a file in it. It holds nothing."
    write("data/corpus.tsv", as_tsv())
    assert failure("data") == "'data' is a folder; give a file in it. It holds 'corpus.tsv'."
    for number in range(9):
        write(f"data/{number}", "")
    assert failure("data").endswith(" It holds '0', '1', '2', '3', '4' and more.")


def test_empty_file() -> None:
    assert failure(write("a.tsv", "")) == "'a.tsv' is empty."


def test_file_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write("a.tsv", as_tsv())
    os.chmod(spec, 0)
    if os.geteuid() == 0:  # Root may read everything; let the system answer as it answers others.

        def refuse(path: str, *_: object) -> None:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr("keras_transformer.data.files.open", refuse, raising=False)
    assert failure(spec) == "'a.tsv' cannot be read: Permission denied."


def test_pipe() -> None:
    os.mkfifo("a.tsv")
    assert failure("a.tsv").startswith("'a.tsv' is not a regular file; write the data to a file first")


def test_unknown_ending() -> None:
    message = failure(write("corpus.tvs", as_tsv()))
    assert message == (
        "'corpus.tvs' has an unknown ending '.tvs'. Did you mean '.tsv'? Give a file in .tsv, .txt, .csv, .jsonl, "
        ".jsonlines, .ndjson, .json (each also with .gz), or two aligned text files such as 'source.en,target.de'."
    )
    assert failure(write("corpus.gz", as_tsv())).startswith("'corpus.gz' has an unknown ending ''.")


@pytest.mark.parametrize(("spec", "count"), [("a,b,c", 3), ("a.en,", 2), (",", 2)])
def test_wrong_number_of_files(spec: str, count: int) -> None:
    assert failure(spec) == (
        f"Data '{spec}' names {count} files separated by commas; give one file, or two aligned text files such as "
        "'source.en,target.de'."
    )


def test_check_data_returns_the_files() -> None:
    write("a.en", "a")
    write("a.tsv", as_tsv())
    assert check_data("a.tsv") == (Path("a.tsv"),)
    assert check_data("a.en, a.tsv") == (Path("a.en"), Path("a.tsv"))


def test_damaged_gzip() -> None:
    whole = gzip.compress(("a\tb\n" * 50_000).encode())
    write("cut.tsv", whole[:-20])
    assert failure("cut.tsv").startswith("cut.tsv: damaged gzip file, readable up to line ")
    write("bent.tsv", whole[:40] + b"\xff\xff\xff\xff" + whole[44:])
    assert failure("bent.tsv").startswith("bent.tsv: damaged gzip file, readable up to line ")
    Path("plain.tsv.gz").write_text(as_tsv())
    assert failure("plain.tsv.gz") == (
        "plain.tsv.gz: damaged gzip file, readable up to line 0 (Not a gzipped file (b'A ')); "
        "pack it or fetch it again."
    )


def test_file_that_fails_while_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(4)

    spec = write("a.tsv", as_tsv())
    monkeypatch.setattr("keras_transformer.data.files.open_bytes", lambda name: Broken(b"a\tb\nc\td\n"))
    assert failure(spec) == "a.tsv: cannot be read after line 1 (Input/output error)."


# Rows that cannot be used


def test_wrong_number_of_columns() -> None:
    assert failure(write("a.tsv", "a\tb\nc\td\te\n")) == (
        "a.tsv:2: the row has 3 columns separated by a tab, expected 2. To read some of its columns, name them, "
        "with --columns."
    )
    assert failure(write("a.tsv", "a b\n")) == (
        "a.tsv:1: the row has 1 column separated by a tab, expected 2. Is the file separated by something else?"
    )
    assert failure(write("a.csv", 'a,"b\n"\n\nc;d\n')) == (
        "a.csv:4: the row has 1 column separated by a comma, expected 2. The file seems to be separated by semicolons: "
        ".csv is separated by commas, .tsv by tabs."
    )
    assert failure(write("b.tsv", "a\tb\tc\nd\te\tf\tg\n"), [0, 2]) == (
        "b.tsv:2: the row has 4 columns separated by a tab, expected 3."
    )


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_unknown_column(name: str, separator: str) -> None:
    spec = write(name, "id,source,target\n1,a,b\n".replace(",", separator))
    assert failure(spec, ["sorce", "target"]) == (
        f"{name}:1: no column 'sorce' in the header. Did you mean 'source'? It names 'id', 'source', 'target'."
    )
    assert failure(spec, [1, 3]) == f"{name}:1: no column 3: the row has 3, counted from 0 to 2."
    assert failure(spec, [-1, 0]) == f"{name}:1: no column -1: the row has 3, counted from 0 to 2."


def test_wrong_number_of_columns_asked_for() -> None:
    spec = write("a.tsv", as_tsv())
    assert failure(spec, ["a", "b", "c"]) == "a.tsv: 3 columns were given ('a', 'b', 'c'), but 2 are needed."


def test_columns_of_aligned_files() -> None:
    spec = f"{write('a.en', 'a')},{write('a.de', 'b')}"
    assert failure(spec, [0, 1]) == "Columns [0, 1] were given for 'a.en,a.de', but aligned text files have none."


def test_another_separator_is_named() -> None:
    assert failure(write("a.tsv", "id;text\n1;x\n"), ["text", "id"]).endswith(
        "It names 'id;text'. The file seems to be separated by semicolons: .csv is separated by commas, .tsv by tabs."
    )


def test_fields_that_an_object_may_lack() -> None:
    lines = ['{"a": "1", "b": "2", "c": "3"}', '{"a": "4", "b": "5"}', '{"a": "6", "b": null, "c": null}']
    path = write("a.jsonl", "\n".join(lines))
    rows = read_columns(path, ["a", "b", "c"], 3, optional=2)
    assert [row.fields for row in rows] == [("1", "2", "3"), ("4", "5", ""), ("6", "", "")]
    with pytest.raises(UserError, match=r"^a.jsonl:3: field 'b' is a JSON null, expected text\.$"):
        list(read_columns(path, ["a", "b", "c"], 3, optional=1))


def test_invalid_utf8() -> None:
    assert failure(write("a.tsv", b"a\tb\nc\t\xc3\xa4\xff\n")) == (
        "a.tsv:2: not UTF-8: byte 0xff at offset 4 of the line; save the file as UTF-8."
    )
    assert failure(write("a.tsv", b"\xef\xbb\xbfa\xe4\tb\n")).startswith("a.tsv:1: not UTF-8: byte 0xe4 at offset 4 ")
    assert failure(write("a.csv", b'"a\nb\xe4",c\n')).startswith("a.csv:2: not UTF-8: byte 0xe4 at offset 1 ")
    assert failure(write("a.jsonl.gz", b'\n{"source": "\xe4"}')).startswith("a.jsonl.gz:2: not UTF-8: byte 0xe4")
    write("a.en", "one\ntwo\n")
    assert failure(f"a.en,{write('a.de', b'eins' + bytes([10, 0xFC]))}").startswith("a.de:2: not UTF-8: byte 0xfc")


def test_nul() -> None:
    message = "a.tsv:2: a NUL byte at offset 4 of the line; is the file UTF-16 or not text? Save it as UTF-8."
    assert failure(write("a.tsv", "a\tb\nä\tc\0\n")) == message
    assert failure(write("a.csv", 'a,"b\n\0",c\n')).startswith("a.csv:2: a NUL byte at offset 0 ")
    assert failure(write("a.jsonl", '{"source": "a", "target": "b\\u0000"}\n')) == (
        "a.jsonl:1: field 'target' holds a NUL character (\\u0000)."
    )


def test_csv_that_is_none() -> None:
    hint = '; a field that holds " is quoted, with each " in it doubled.'
    assert failure(write("a.csv", 'a,b\nc,"d\ne,f\n')) == f"a.csv:2: not CSV (unexpected end of data){hint}"
    assert failure(write("a.csv", 'a,"b" c\n')) == f"a.csv:1: not CSV (',' expected after '\"'){hint}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "{",
            "not JSON (Expecting property name enclosed in double quotes at column 2); every line must hold one whole",
        ),
        ('["a", "b"]', 'a JSON list, expected an object such as {"source": "..."}.'),
        ("null", "a JSON null, expected an object"),
        ("[" * 100_000, "JSON nested too deeply; every line must hold one flat object."),
        ('{"source": NaN}', "field 'source' is NaN, which is no JSON; give null where there is no value."),
        ('{"target": -Infinity}', "field 'target' is -Infinity, which is no JSON"),
        ('{"source": true}', "field 'source' is a JSON boolean, expected text."),
        ('{"source": ["a"]}', "field 'source' is a JSON list, expected text."),
        ('{"source": {"en": "a"}}', "field 'source' is a JSON object, expected text."),
        ('{"source": "\\ud83d"}', "field 'source' holds half of a surrogate pair (\\ud800 to \\udfff)."),
    ],
)
def test_json_that_is_none(line: str, message: str) -> None:
    spec = write("a.jsonl", f'{{"source": "a", "target": "b"}}\n{line}\n')
    assert failure(spec).startswith(f"a.jsonl:2: {message}")


def test_json_needs_names() -> None:
    spec = write("a.jsonl", as_json())
    assert failure(spec, [0, 1]) == "a.jsonl: give the names of the fields to read, received 0, 1."
    with pytest.raises(UserError, match="give the names of the fields to read, received none"):
        list(read_columns(spec, None, 2))


def test_different_line_counts() -> None:
    write("a.en", "one\ntwo\nthree\n")
    write("a.de.gz", "eins\nzwei")
    message = "The lines of aligned files belong together, but a.en has 3 and a.de.gz has 2 lines."
    assert failure("a.en,a.de.gz") == message
    write("a.de", "x\n" * 1234)
    assert failure("a.en,a.de") == (
        "The lines of aligned files belong together, but a.en has 3 and a.de has 1,234 lines."
    )
    with pytest.raises(UserError, match=r"a\.en has 3 and a\.de\.gz has 2 and a\.de has 1,234 lines"):
        list(read_aligned(["a.en", "a.de.gz", "a.de"]))


def test_named_fields() -> None:
    table = write("mails.csv", 'id,queue,body\n7,bills,"Hello, pay"\n8,,Nothing\n9,tech,Broken\n')
    report = Report(what=EMPTY_ROWS)
    rows = list(read_fields(table, ("text", "label"), ["body", "queue"], report))
    assert [row.fields for row in rows] == [("Hello, pay", "bills"), ("Broken", "tech")]
    assert report.message() == "skipped 1 of 3 rows with an empty field, the first at mails.csv:3"
    lines = write("mails.jsonl", '{"text": "Pay", "label": 3}\n')
    assert [row.fields for row in read_fields(lines, ("text", "label"))] == [("Pay", "3")]
    plain = write("mails.tsv", "Pay\tbills\n")
    assert [row.fields for row in read_fields(plain, ("text", "label"))] == [("Pay", "bills")]
    assert [row.fields for row in read_fields(plain, ("label",), [1])] == [("bills",)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "Data is ''; give a file or a name"),
        ("a.tsv,b.tsv", "No file 'a.tsv,b.tsv'"),
        ("empty.tsv", "empty.tsv: no row is left: every line is empty or has an empty field."),
        ("notes.docx", "'notes.docx' has an unknown ending '.docx'"),
    ],
)
def test_named_fields_that_cannot_be_read(spec: str, message: str) -> None:
    write("empty.tsv", "\t\n")
    write("notes.docx", "x")
    with pytest.raises(UserError) as caught:
        list(read_fields(spec, ("text", "label")))
    assert message in str(caught.value)
