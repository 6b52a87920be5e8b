"""Reads text data row by row: TSV, CSV, JSON Lines and aligned text files, plain or gzipped.

Everything here streams: one row is in memory at a time. A file is data and nothing else, and whatever is wrong with it
is told in one line that names the file and the line.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from keras_transformer.data.files import check_file, read_lines
from keras_transformer.data.json_lines import Fields, json_rows
from keras_transformer.data.rows import EMPTY_ROWS as EMPTY_ROWS
from keras_transformer.data.rows import PAIR, usable_pairs
from keras_transformer.data.rows import Report as Report
from keras_transformer.data.rows import Row as Row
from keras_transformer.data.tables import Wanted, table_rows, without_header
from keras_transformer.errors import UserError, close_matches

TAB_SUFFIXES = (".tsv", ".txt")
CSV_SUFFIXES = (".csv",)
JSON_SUFFIXES = (".jsonl", ".jsonlines", ".ndjson", ".json")
SUFFIXES = TAB_SUFFIXES + CSV_SUFFIXES + JSON_SUFFIXES


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
    report = Report() if report is None else report
    if len(paths) == 2:
        if columns is not None:
            raise UserError(f"Columns {list(columns)} were given for {spec!r}, but aligned text files have none.")
        rows = without_header(read_aligned(paths), Wanted((0, 1), 2), report)
    else:
        rows = read_columns(paths[0], columns, 2, PAIR, skips=True, report=report)
    return usable_pairs(rows, spec, report)


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
    spec: str,
    names: Sequence[str],
    columns: Sequence[str | int] | None = None,
    report: Report | None = None,
    labels: int = 0,
    separator: str | None = None,
) -> Iterator[Row]:
    """Yields rows of named fields of a TSV, CSV or JSON Lines file: a text and its label, a document and its summary.

    Rows with an empty or white-space-only field are left out and counted in `report`. The text is not changed.

    Args:
        spec: the file.
        names: of the fields, in the order in which they are wanted.
        columns: where they stand: names in a header or of JSON fields, or numbers from 0; default `names`, or without
            a header all columns of the table in their order.
        report: counters to add to.
        labels, separator: see `read_columns`.

    Raises:
        UserError: at once for a file that `check_table` refuses; while reading for the first row that cannot be used,
            and at the end if no row was left.

    Example:
        ```python
        rows = [row.fields for row in read_fields("mails.csv", ("text", "label"), columns=["body", "queue"])]
        ```
    """
    check_table(spec)
    report = Report(what=EMPTY_ROWS) if report is None else report
    rows = read_columns(spec, columns, len(names), names, skips=True, labels=labels, separator=separator, report=report)
    return usable_pairs(rows, spec, report)


def read_columns(
    path: str | os.PathLike[str],
    columns: Sequence[str | int] | None,
    count: int,
    default_names: Sequence[str] = (),
    optional: int = 0,
    skips: bool = False,
    labels: int = 0,
    separator: str | None = None,
    report: Report | None = None,
) -> Iterator[Row]:
    """Yields `count` fields of every row of a TSV, CSV or JSON Lines file; a ".gz" is unpacked on the way.

    - `.tsv`, `.txt`: separated by tabs, no quoting.
    - `.csv`: separated by commas, or by whatever else (`;`, tab, `|`) is the one that gives all rows equally many
      columns, or by what a first line such as `sep=;` says. Fields may be quoted with `"` and then hold separators and
      line ends.
    - `.jsonl`, `.jsonlines`, `.ndjson`, `.json`: one object a line; numbers are taken as they are written.

    TSV and CSV have a header if `columns` holds a name, or if the first row has `default_names` among its own, which
    are then the columns. Where that header comes again, as in files that were put together, it is left out. All rows
    must have the same number of columns. A blank line is a row of empty fields.

    Args:
        path: the file.
        columns: `count` names or numbers (from 0). None takes those of `default_names`, where the file names them, or
            else all columns of a table, which must then be `count`.
        count: number of fields of a row.
        default_names: names of the fields where the user gives none.
        optional: how many of the last fields an object of JSON Lines may lack, or have as null: they are empty then.
        skips: whether an object that lacks one of the others is a row of empty fields, and not refused.
        labels: how many of the last fields are labels: `true` and `false` of JSON are texts then, and the header of a
            table is known by them too.
        separator: what parts several labels of a text: a list of JSON is such labels then.
        report: takes notes of how the file was read.

    Raises:
        UserError: at once for columns that cannot be; while reading, for the first row that cannot be used, which the
            message names by file and line, and for a first row that is a header of other names.
    """
    name = os.fspath(path)
    if columns is not None and len(columns) != count:
        raise UserError(f"{name}: {len(columns)} columns were given ({_listed(columns)}), but {count} are needed.")
    if columns is not None and len(set(columns)) < count:
        raise UserError(f"{name}: columns are {_listed(columns)}, expected each once.")
    suffix = _suffix(name)
    if suffix in JSON_SUFFIXES:
        given = default_names if columns is None else columns
        names = tuple(field for field in given if isinstance(field, str))
        if len(names) != len(given) or not names:
            raise UserError(f"{name}: give the names of the fields to read, received {_listed(given) or 'none'}.")
        return json_rows(name, Fields(names, optional, skips, labels, separator))
    wanted = Wanted(columns, count, default_names, labels)
    return table_rows(name, suffix in CSV_SUFFIXES, wanted, Report() if report is None else report)


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


def _listed(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names)
