"""Reads tables, TSV and CSV: how cells are separated, which columns are wanted, and whether there is a header."""

from __future__ import annotations

import csv
import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keras_transformer.data.files import read_lines
from keras_transformer.data.headers import LOOK_AHEAD, header_evidence, swapped
from keras_transformer.data.raw_lines import LINE_LIMIT, too_long
from keras_transformer.data.rows import Report, Row
from keras_transformer.errors import UserError, close_matches

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
SNIFFED, SNIFFED_BYTES = 200, 1 << 20  # lines by which the separator of a CSV file is told, and of how many bytes

_SEPARATOR_LINE = re.compile(r"\"?sep=([^\w\s\"]|\t)\1*\"?", re.IGNORECASE)  # as Excel reads and writes it

Cells = Iterator[tuple[int, list[str]]]


@dataclass(frozen=True)
class Wanted:
    """The columns that are read of a table.

    Attributes:
        columns: their names, or numbers from 0; None takes those of `names` where the file has them, or else all.
        count: how many there are.
        names: of the fields, where the user gives none.
        labels: how many of the last are labels, or numbers.
    """

    columns: Sequence[str | int] | None
    count: int
    names: Sequence[str] = ()
    labels: int = 0

    @property
    def has_names(self) -> bool:
        """Whether a column is wanted by name: the table then has a header."""
        return any(isinstance(column, str) for column in self.columns or ())


def table_rows(name: str, is_csv: bool, wanted: Wanted, report: Report) -> Iterator[Row]:
    """Yields the wanted cells of every row of a table; see `readers.read_columns`.

    Raises:
        UserError: for the first row that cannot be used, or if the first row is a header whose names nobody gave.
    """
    first = next(read_lines(name), "")
    found = _SEPARATOR_LINE.fullmatch(first)
    separator = found[1] if found else ""
    if not is_csv and separator not in ("", "\t"):
        raise UserError(
            f"{name}:1: {first!r} says that the file is separated by {separator!r}, but .tsv and .txt are by tabs; "
            "rename the file to .csv"
        )
    if is_csv:
        if not separator:
            separator = _separator(name, wanted)
            if separator != ",":
                report.notes.append(f"{name}: read as separated by {SEPARATORS[separator]}s")
        cells = _csv_cells(name, separator)
    else:
        separator, cells = "\t", _tab_cells(name)
    table = _Table(name, separator, wanted, report)
    rows = table.rows(itertools.islice(cells, 1, None) if found else cells)
    return rows if wanted.has_names else without_header(rows, wanted, report, lambda: table.is_headed)


def _tab_cells(name: str) -> Cells:
    for number, line in enumerate(read_lines(name), 1):
        yield number, line.split("\t")


def _csv_cells(name: str, separator: str) -> Cells:
    csv.field_size_limit(2 * LINE_LIMIT)
    start, size = 1, 0

    def lines() -> Iterator[str]:
        nonlocal size
        for line in read_lines(name):
            size += len(line) + 1
            if size > LINE_LIMIT + 1:
                raise too_long('row (is a " not closed?)', f"{name}:{start}")
            yield line + "\n"

    reader = csv.reader(lines(), strict=True, delimiter=separator)
    while True:
        start, size = reader.line_num + 1, 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f'{name}:{start}: not CSV ({error}); a field that holds " is quoted, with each " in it doubled.'
            ) from None
        yield start, cells


def _separator(name: str, wanted: Wanted) -> str:
    """Returns what a CSV file is separated by: the one character that gives its first lines equally many columns.

    Raises:
        UserError: comma and semicolon do both, row after row, as in `3;0,5`.
    """
    lines: list[str] = []
    size, is_whole = 0, True
    for line in read_lines(name):
        if len(lines) >= SNIFFED or size >= SNIFFED_BYTES:
            is_whole = False
            break
        lines.append(line)
        size += len(line)
    counts = {one: _columns(lines, one, is_whole) for one in SEPARATORS}
    fitting = [one for one, columns in counts.items() if columns >= max(2, wanted.count)]
    rows = sum(bool(line.strip()) for line in lines)
    if fitting[:2] == [",", ";"] and counts[","] == counts[";"] and rows >= 5:
        raise UserError(
            f"{name}: every row may be separated by a comma or by a semicolon, such as {lines[0]!r}; say which by a "
            "first line sep=, or sep=;"
        )
    return fitting[0] if "," in fitting or len(fitting) == 1 else ","


def _columns(lines: list[str], separator: str, is_whole: bool) -> int:
    """Returns how many columns all these lines have, or 0 if they differ or are no CSV; `is_whole`: it is the file."""
    csv.field_size_limit(2 * LINE_LIMIT)
    found: list[int] = []
    try:
        for cells in csv.reader((line + "\n" for line in lines), strict=True, delimiter=separator):
            found.append(len(cells))
    except csv.Error:  # at the end it may be a field that goes on behind these lines
        if is_whole:
            return 0
    counts = {count for count in found if count}
    return counts.pop() if len(counts) == 1 else 0


class _Table:
    """Picks the wanted columns of a table and holds every row to the width of the first."""

    def __init__(self, name: str, separator: str, wanted: Wanted, report: Report) -> None:
        self.name = name
        self.wanted = wanted
        self.report = report
        self._separator = SEPARATORS.get(separator, repr(separator))
        self._header: list[str] = []  # in lower case; without one the names that it would have
        self._picks: Sequence[int] = ()
        self._width = 0
        self.is_headed = False
        self._repeated, self._first_repeated = 0, 0

    def rows(self, table: Cells) -> Iterator[Row]:
        empty = ("",) * self.wanted.count
        for number, cells in table:
            if not "".join(cells).strip():
                yield Row(empty, self.name, number)
                continue
            if not self._width:
                self._begin(cells, number)
                if self.is_headed:
                    continue
            if len(cells) != self._width:
                raise UserError(f"{self.name}:{number}: {self._wrong_width(cells)}")
            if cells[0].strip("\ufeff \t").lower() in self._header and self._is_header(cells, number):
                continue
            yield Row(tuple([cells[pick] for pick in self._picks]), self.name, number)
        if self._repeated:
            again = "that a file has in its midst" if self.is_headed else "in a table read as one without"
            self.report.notes.append(
                f"{self.name}: skipped {self._repeated:,} header{'s' * (self._repeated > 1)} {again}, the first at "
                f"{self.name}:{self._first_repeated}"
            )

    def _begin(self, cells: list[str], number: int) -> None:
        """Learns from the first row which columns there are."""
        wanted, header = self.wanted, [cell.strip() for cell in cells]
        lowered = [cell.lower() for cell in header]
        self._refuse_quoted(header, number)
        self._width = len(cells)
        if wanted.columns is not None:
            place = f"{self.name}:{number}"
            self._picks = [_column_number(column, header, place) for column in wanted.columns]
            if len(set(self._picks)) < wanted.count:
                raise UserError(f"{place}: columns are {_listed(wanted.columns)}, of which two are one and the same")
            self.is_headed = wanted.has_names
        elif len(wanted.names) == wanted.count and all(lowered.count(name) == 1 for name in wanted.names):
            self._picks, self.is_headed = [lowered.index(name) for name in wanted.names], True
        else:
            self._picks, self._width = range(wanted.count), wanted.count
        self._header = lowered if self.is_headed else [name.lower() for name in wanted.names]

    def _is_header(self, cells: Sequence[str], number: int) -> bool:
        """Returns whether a row is the header again, as where files were put together.

        Raises:
            UserError: it is, but its columns stand in another order.
        """
        lowered = [cell.strip("\ufeff \t").lower() for cell in cells]
        if len(cells) < 2 or sorted(lowered) != sorted(self._header):
            return False
        if lowered != self._header:
            mend = "split the file there" if self.is_headed else f"give --columns {_shell(self.wanted.names)}"
            raise UserError(f"{self.name}:{number}: a header with its columns in another order; {mend}")
        self._first_repeated = self._first_repeated or number
        self._repeated += 1
        return True

    def _refuse_quoted(self, header: Sequence[str], number: int) -> None:
        """Raises if a file separated by tabs has quoted names in its header: all its texts then are quoted too."""
        bare = [cell[1:-1] for cell in header if len(cell) > 2 and cell[0] == cell[-1] == '"']
        names = self.wanted.columns if self.wanted.columns is not None else self.wanted.names
        if self._separator == "tab" and len(bare) == len(header) and set(map(str, names)) & set(bare):
            raise UserError(
                f"{self.name}:{number}: the names of the columns are quoted, but .tsv and .txt have no quoting; rename "
                "the file to .csv, which may be separated by tabs too"
            )

    def _wrong_width(self, cells: Sequence[str]) -> str:
        found, expected = len(cells), self._width
        message = (
            f"the row has {found} column{'s' * (found != 1)} separated by a {self._separator}, expected {expected}."
        )
        if found == 1:
            return message + (_other_separator(cells) or " Is the file separated by something else?")
        all_columns = self.wanted.columns is None and not self.is_headed
        return (
            f"{message} To read some of its columns, name them, with --columns."
            if all_columns and found > expected
            else message
        )


def without_header(
    rows: Iterator[Row], wanted: Wanted, report: Report, is_known: Callable[[], bool] = lambda: False
) -> Iterator[Row]:
    """Yields rows that should have no header, having compared the first with those that follow.

    Args:
        rows: from the first on.
        wanted: what they are.
        report: takes notes.
        is_known: whether, once the first row is read, a header was found above it by the names that it should have.

    Raises:
        UserError: the first row is a header; where the user gave numbers of columns, that is a note instead.
    """
    seen: list[Row] = []
    fault: UserError | None = None
    try:
        for row in itertools.islice(rows, LOOK_AHEAD):
            seen.append(row)
    except UserError as error:  # is raised where its row stands
        fault = error
    full = [row.fields for row in seen if all(field.strip() for field in row.fields)]
    if full and not is_known() and (evidence := header_evidence(full[0], full[1:], wanted.labels)):
        place = next(row.place for row in seen if row.fields == full[0])
        doubt = f"looks like a header ({evidence})"
        if wanted.columns is None:
            names = [cell.strip() for cell in full[0]]
            names = names[::-1] if swapped(names, wanted.labels) else names
            raise UserError(
                f"{place}: the first row, {_listed(full[0])}, {doubt}: give --columns {_shell(names)}, or, if it is "
                f"data, --columns {_shell(range(wanted.count))}"
            )
        report.notes.append(f"warning: {place}: the first row, {_listed(full[0])}, is read as data, but {doubt}")
    yield from seen
    if fault:
        raise fault
    yield from rows


def _other_separator(cells: Sequence[str]) -> str:
    """Returns what a row of one column seems to be separated by, in words, or an empty string."""
    for character, name in {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}.items():
        if len(cells) == 1 and character in cells[0]:
            return f" The file seems to be separated by {name}: .csv is separated by commas, .tsv by tabs."
    return ""


def _column_number(column: str | int, header: Sequence[str], place: str) -> int:
    if isinstance(column, int):
        if not 0 <= column < len(header):
            raise UserError(
                f"{place}: no column {column}: the row has {len(header)}, counted from 0 to {len(header) - 1}."
            )
        return column
    if column not in header:
        raise UserError(
            f"{place}: no column {column!r} in the header.{close_matches(column, header)} "
            f"It names {_listed(header)}.{_other_separator(header)}"
        )
    if header.count(column) > 1:
        numbers = [str(number) for number, name in enumerate(header) if name == column]
        raise UserError(
            f"{place}: the header names {column!r} {len(numbers)} times, as columns {' and '.join(numbers)}; give the "
            "number of the one that is meant beside the other columns' names, or rename one"
        )
    return header.index(column)


def _shell(names: Sequence[object]) -> str:
    return shlex.join(map(str, names))


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(repr, names))
