"""Reads text data row by row: TSV, CSV, JSON Lines and aligned text files, plain or gzipped.

Everything here streams: one row is in memory at a time. A file is data and nothing else, and whatever is wrong with it
is told in one line that names the file and the line.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from keras_transformer.data.files import check_file, read_lines
from keras_transformer.errors import UserError, close_matches

TAB_SUFFIXES = (".tsv", ".txt")
CSV_SUFFIXES = (".csv",)
JSON_SUFFIXES = (".jsonl", ".jsonlines", ".ndjson", ".json")
SUFFIXES = TAB_SUFFIXES + CSV_SUFFIXES + JSON_SUFFIXES
PAIR = ("source", "target")
EMPTY_ROWS = "rows with an empty field"  # `Report.what` of rows that are no pairs

_CSV_FIELD_LIMIT = 1 << 24  # Characters. Python's own limit, 131,072, is less than a long document.


class Row(NamedTuple):
    """One row of a data set and where it came from.

    Attributes:
        fields: the texts, as many as were asked for: `(source, target)` for pairs.
        file: the file, as the user named it; the first one of aligned files.
        line: line on which the row starts, counted from 1.
    """

    fields: tuple[str, ...]
    file: str
    line: int

    @property
    def place(self) -> str:
        """`"file:line"`, for messages."""
        return f"{self.file}:{self.line}"


@dataclass
class Report:
    """Counts what a reader met.

    Attributes:
        pairs: pairs, or rows of another kind, handed on.
        empty: those left out because a side held nothing but white space.
        first_empty: `"file:line"` of the first of these.
        what: what is left out, in messages.
    """

    pairs: int = 0
    empty: int = 0
    first_empty: str = ""
    what: str = "pairs with an empty side"

    def message(self) -> str:
        """Returns one line about the pairs left out, or an empty string if there were none."""
        if not self.empty:
            return ""
        total = self.pairs + self.empty
        return f"skipped {self.empty:,} of {total:,} {self.what}, the first at {self.first_empty}"


# Pairs


def check_data(spec: str, known_names: Iterable[str] = ()) -> tuple[Path, ...]:
    """Checks early, without reading them, that the files of `spec` can be read, and returns them.

    Args:
        spec: one file ("corpus.tsv") or two aligned ones ("source.en,target.de").
        known_names: names that would do in place of a file (public sets); shown when a missing file resembles one.

    Raises:
        UserError: a file is missing, empty, unreadable, a folder, or of an unknown kind.
    """
    if not spec.strip():
        raise UserError(
            f"Data is {spec!r}; give a file, two aligned text files such as 'source.en,target.de', or a name"
        )
    names = [spec] if "," not in spec or os.path.isfile(spec) else [name.strip() for name in spec.split(",")]
    if len(names) > 2 or not all(names):
        raise UserError(
            f"Data {spec!r} names {len(names)} files separated by commas; give one file, "
            "or two aligned text files such as 'source.en,target.de'."
        )
    for name in names:
        check_file(name, known_names)
    if len(names) == 1:
        _suffix(spec)
    return tuple(Path(name) for name in names)


def read_pairs(spec: str, columns: Sequence[str | int] | None = None, report: Report | None = None) -> Iterator[Row]:
    """Yields the (source, target) pairs of one file or of two aligned text files.

    Pairs with an empty or white-space-only side are left out and counted in `report`. The text itself is not changed.

    Args:
        spec: "corpus.tsv", or "source.en,target.de" for two text files whose lines belong together.
        columns: the two columns of a file that has more: names (the file then has a header) or numbers from 0; for
            JSON Lines the names of the fields. Default "source" and "target", where the file names them.
        report: counters to add to.

    Raises:
        UserError: at once for a file that `check_data` refuses; while reading for the first row that cannot be used,
            and at the end if no pair was left.

    Example:
        ```python
        report = Report()
        pairs = [row.fields for row in read_pairs("corpus.tsv.gz", report=report)]
        print(report.message())  # skipped 3 of 120 pairs with an empty side, the first at corpus.tsv.gz:17
        ```
    """
    paths = check_data(spec)
    if len(paths) == 2:
        if columns is not None:
            raise UserError(f"Columns {list(columns)} were given for {spec!r}, but aligned text files have none.")
        rows = read_aligned(paths)
    else:
        rows = read_columns(paths[0], columns, count=2, default_names=PAIR)
    return usable_pairs(rows, spec, Report() if report is None else report)


def usable_pairs(rows: Iterable[Row], origin: str, report: Report) -> Iterator[Row]:
    """Yields the rows without an empty field and counts the others in `report`.

    Raises:
        UserError: no row was left at the end; `origin` says where they came from.
    """
    usable = False
    for row in rows:
        if all(field.strip() for field in row.fields):
            usable = True
            report.pairs += 1
            yield row
        else:
            report.first_empty = report.first_empty or row.place
            report.empty += 1
    if not usable:
        unit, field = ("row", "field") if report.what == EMPTY_ROWS else ("pair", "side")
        raise UserError(f"{origin}: no {unit} is left: every line is empty or has an empty {field}.")


# Rows


def check_table(spec: str, known_names: Iterable[str] = ()) -> None:
    """Checks early, without reading it, that a table or JSON Lines file can be read.

    Raises:
        UserError: it is missing, empty, unreadable, a folder, or of an unknown kind.
    """
    if not spec.strip():
        raise UserError(f"Data is {spec!r}; give a file or a name")
    check_file(spec, known_names)
    _suffix(spec)


def read_fields(
    spec: str, names: Sequence[str], columns: Sequence[str | int] | None = None, report: Report | None = None
) -> Iterator[Row]:
    """Yields rows of named fields of a TSV, CSV or JSON Lines file: a text and its label, a document and its summary.

    Rows with an empty or white-space-only field are left out and counted in `report`. The text is not changed.

    Args:
        spec: the file.
        names: of the fields, in the order in which they are wanted.
        columns: where they stand: names in a header or of JSON fields, or numbers from 0; default `names`, or without
            a header all columns of the table in their order.
        report: counters to add to.

    Raises:
        UserError: at once for a file that `check_table` refuses; while reading for the first row that cannot be used,
            and at the end if no row was left.

    Example:
        ```python
        rows = [row.fields for row in read_fields("mails.csv", ("text", "label"), columns=["body", "queue"])]
        ```
    """
    check_table(spec)
    rows = read_columns(spec, columns, len(names), default_names=names)
    return usable_pairs(rows, spec, Report(what=EMPTY_ROWS) if report is None else report)


def read_columns(
    path: str | os.PathLike[str],
    columns: Sequence[str | int] | None,
    count: int,
    default_names: Sequence[str] = (),
    optional: int = 0,
) -> Iterator[Row]:
    """Yields `count` fields of every row of a TSV, CSV or JSON Lines file; a ".gz" is unpacked on the way.

    - `.tsv`, `.txt`: separated by tabs, no quoting.
    - `.csv`: separated by commas, fields may be quoted with `"` and then hold commas and line ends.
    - `.jsonl`, `.jsonlines`, `.ndjson`, `.json`: one object a line; numbers are taken as they are written.

    TSV and CSV have a header if `columns` holds a name, or if the first row has `default_names` among its own, which
    are then the columns. All rows must have the same number of columns. A blank line is a row of empty fields.

    Args:
        path: the file.
        columns: `count` names or numbers (from 0). None takes those of `default_names`, where the file names them, or
            else all columns of a table, which must then be `count`.
        count: number of fields of a row.
        default_names: names of the fields where the user gives none.
        optional: how many of the last fields an object of JSON Lines may lack, or have as null: they are empty then.

    Raises:
        UserError: while reading, for the first row that cannot be used; the message names file and line.
    """
    name = os.fspath(path)
    if columns is not None and len(columns) != count:
        raise UserError(f"{name}: {len(columns)} columns were given ({_listed(columns)}), but {count} are needed.")
    suffix = _suffix(name)
    if suffix in JSON_SUFFIXES:
        return _json_rows(name, default_names if columns is None else columns, optional)
    table = _csv_cells(name) if suffix in CSV_SUFFIXES else _tab_cells(name)
    separator = "comma" if suffix in CSV_SUFFIXES else "tab"
    return _table_rows(name, table, separator, columns, count, default_names)


def read_aligned(paths: Sequence[str | os.PathLike[str]]) -> Iterator[Row]:
    """Yields one row for the n-th lines of all files together; the files may be gzipped.

    Raises:
        UserError: a file cannot be read, or the files differ in their number of lines (told at the end of the
            shortest).
    """
    names = [os.fspath(path) for path in paths]
    files = [read_lines(name) for name in names]
    line = 0
    for line, fields in enumerate(itertools.zip_longest(*files), 1):
        if None in fields:
            shown = [
                f"{name} has {line - 1 if field is None else line + sum(1 for _ in file):,}"
                for name, field, file in zip(names, fields, files, strict=True)
            ]
            raise UserError(f"The lines of aligned files belong together, but {' and '.join(shown)} lines.")
        yield Row(cast("tuple[str, ...]", fields), names[0], line)


def _suffix(name: str) -> str:
    """Returns the ending that says how the file is read, `.gz` aside."""
    bare = Path(name.lower().removesuffix(".gz"))
    if bare.suffix not in SUFFIXES:
        raise UserError(
            f"{name!r} has an unknown ending {bare.suffix!r}.{close_matches(bare.suffix, SUFFIXES)} Give a file in "
            f"{', '.join(SUFFIXES)} (each also with .gz), or two aligned text files such as 'source.en,target.de'."
        )
    return bare.suffix


# Tables: TSV and CSV


def _tab_cells(name: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(read_lines(name), 1):
        yield number, line.split("\t")


def _csv_cells(name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    reader = csv.reader((line + "\n" for line in read_lines(name)), strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f'{name}:{start}: not CSV ({error}); a field that holds " is quoted, with each " in it doubled.'
            ) from None
        yield start, cells


def _table_rows(
    name: str,
    table: Iterator[tuple[int, list[str]]],
    separator: str,
    columns: Sequence[str | int] | None,
    count: int,
    default_names: Sequence[str],
) -> Iterator[Row]:
    """Picks the columns asked for and holds every row to the width of the first."""
    picks: Sequence[int] | None = None
    width, is_header = 0, False
    for number, cells in table:
        if not "".join(cells).strip():
            yield Row(("",) * count, name, number)
            continue
        if picks is None:
            header = [cell.strip() for cell in cells]
            is_header = columns is None and _has_names(header, default_names, count)
            width = count if columns is None and not is_header else len(cells)
            if is_header:
                lowered = [cell.lower() for cell in header]
                picks = [lowered.index(column) for column in default_names]
            elif columns is None:
                picks = range(count)
            else:
                picks = [_column_number(column, header, name, number) for column in columns]
                is_header = any(isinstance(column, str) for column in columns)
            if is_header:
                continue
        if len(cells) != width:
            raise UserError(
                f"{name}:{number}: {_wrong_width(cells, width, separator, columns is None and not is_header)}"
            )
        yield Row(tuple([cells[pick] for pick in picks]), name, number)


def _has_names(header: Sequence[str], names: Sequence[str], count: int) -> bool:
    """Returns whether a row is the header of a table: it holds each of the default names once, in whatever case."""
    lowered = [cell.lower() for cell in header]
    return len(names) == count and all(lowered.count(name) == 1 for name in names)


def _wrong_width(cells: Sequence[str], expected: int, separator: str, all_columns: bool) -> str:
    found = len(cells)
    message = f"the row has {found} column{'s' * (found != 1)} separated by a {separator}, expected {expected}."
    if found == 1:
        return message + (_other_separator(cells) or " Is the file separated by something else?")
    return (
        f"{message} To read some of its columns, name them, with --columns."
        if all_columns and found > expected
        else message
    )


def _other_separator(cells: Sequence[str]) -> str:
    """Returns what a row of one column seems to be separated by, in words, or an empty string."""
    for character, name in {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}.items():
        if len(cells) == 1 and character in cells[0]:
            return f" The file seems to be separated by {name}: .csv is separated by commas, .tsv by tabs."
    return ""


def _column_number(column: str | int, header: Sequence[str], name: str, number: int) -> int:
    if isinstance(column, int):
        if not 0 <= column < len(header):
            raise UserError(
                f"{name}:{number}: no column {column}: the row has {len(header)}, counted from 0 to {len(header) - 1}."
            )
        return column
    if column not in header:
        raise UserError(
            f"{name}:{number}: no column {column!r} in the header.{close_matches(column, header)} "
            f"It names {_listed(header)}.{_other_separator(header)}"
        )
    return header.index(column)


# JSON Lines


def _json_rows(name: str, fields: Sequence[str | int], optional: int) -> Iterator[Row]:
    names = [field for field in fields if isinstance(field, str)]
    if len(names) != len(fields) or not names:
        raise UserError(f"{name}: give the names of the fields to read, received {_listed(fields) or 'none'}.")
    for number, line in enumerate(read_lines(name), 1):
        if not line.strip():
            yield Row(("",) * len(names), name, number)
            continue
        item = _json_object(line, f"{name}:{number}")
        item.update({field: "" for field in names[len(names) - optional :] if item.get(field) is None})
        yield Row(tuple(_json_text(item, field, f"{name}:{number}") for field in names), name, number)


def _json_object(line: str, place: str) -> dict[str, object]:
    try:
        # Numbers stay as they are written: 1.50 is not 1.5 to a model that reads bytes.
        item = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place}: not JSON ({error.msg} at column {error.colno}); every line must hold one whole object."
        ) from None
    except RecursionError:
        raise UserError(f"{place}: JSON nested too deeply; every line must hold one flat object.") from None
    if not isinstance(item, dict):
        raise UserError(f'{place}: a JSON {_json_kind(item)}, expected an object such as {{"source": "..."}}.')
    return item


def _json_text(item: dict[str, object], field: str, place: str) -> str:
    if field not in item:
        raise UserError(f"{place}: no field {field!r}.{close_matches(field, item)} The object has {_listed(item)}.")
    value = item[field]
    if not isinstance(value, str):
        raise UserError(f"{place}: field {field!r} is a JSON {_json_kind(value)}, expected text.")
    # Escapes can say what UTF-8 bytes cannot: NUL, and half of a surrogate pair.
    if "\0" in value:
        raise UserError(f"{place}: field {field!r} holds a NUL character (\\u0000).")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{place}: field {field!r} holds half of a surrogate pair (\\ud800 to \\udfff).") from None
    return value


def _json_kind(value: object) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", list: "list", dict: "object", str: "text or number"}[type(value)]


def _listed(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names)
