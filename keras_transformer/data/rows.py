"""A row of a data set, and what readers count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from keras_transformer.errors import UserError

PAIR = ("source", "target")
EMPTY_ROWS = "rows with an empty field"  # `Report.what` of rows that are no pairs


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
        empty: those left out because a side held nothing but white space, or was not there.
        first_empty: `"file:line"` of the first of these.
        what: what is left out, in messages.
        notes: what else a user should know of how a file was read, a line each.
    """

    pairs: int = 0
    empty: int = 0
    first_empty: str = ""
    what: str = "pairs with an empty side"
    notes: list[str] = field(default_factory=list)

    def message(self) -> str:
        """Returns one line about the pairs left out, or an empty string if there were none."""
        if not self.empty:
            return ""
        total = self.pairs + self.empty
        return f"skipped {self.empty:,} of {total:,} {self.what}, the first at {self.first_empty}"

    def messages(self) -> list[str]:
        """Returns all that there is to print: `message`, if there is one, behind the notes."""
        return [line for line in (*self.notes, self.message()) if line]


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
        unit, side = ("row", "field") if report.what == EMPTY_ROWS else ("pair", "side")
        raise UserError(f"{origin}: no {unit} is left: every line is empty or has an empty {side}.")
