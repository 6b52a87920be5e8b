"""Reads JSON Lines: one object a line, whose fields become texts and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_transformer.data.files import read_lines
from keras_transformer.data.rows import Row
from keras_transformer.errors import UserError, close_matches


@dataclass(frozen=True)
class Fields:
    """Which fields of an object are wanted, and what they may hold.

    Attributes:
        names: of the fields, in the order in which they are wanted.
        optional: how many of the last an object may lack, or have as null: they are empty then.
        skips: whether it may lack others too: the row is then one of empty fields. A field that no object has is
            refused all the same.
        labels: how many of the last are labels, for which `true` and `false` stand too.
        separator: what parts several labels of a text, for which a list of labels stands too; none means one label.
    """

    names: tuple[str, ...]
    optional: int = 0
    skips: bool = False
    labels: int = 0
    separator: str | None = None


class _Constant(str):
    """`NaN`, `Infinity` or `-Infinity`, which Python writes and JSON does not know."""


def json_rows(name: str, fields: Fields) -> Iterator[Row]:
    """Yields the wanted fields of every object of a file; a blank line is a row of empty fields.

    Raises:
        UserError: for the first line that cannot be used; at the end for a field that no object had.
    """
    names = fields.names
    empty = Row(("",) * len(names), name, 0)
    needed_names = frozenset(names[: len(names) - fields.optional])
    needed = set(needed_names)
    first: tuple[int, list[str]] | None = None
    for number, line in enumerate(read_lines(name), 1):
        if not line.strip():
            yield empty._replace(line=number)
            continue
        place = f"{name}:{number}"
        item = _json_object(line, place)
        first = first or (number, list(item))
        needed.difference_update(item)
        missing = [field for field in names if item.get(field) is None]
        if not fields.skips:
            _refuse_missing(names[: len(names) - fields.optional], item, place)
        may_lack = names if fields.skips else names[len(names) - fields.optional :]
        item.update({field: "" for field in missing if field in may_lack})
        found = Row(_texts(item, fields, place), name, number)
        yield empty._replace(line=number) if needed_names.intersection(missing) else found
    if needed and first:
        missing = [field for field in names if field in needed]
        _refuse_missing(missing, dict.fromkeys(first[1]), f"{name}:{first[0]}")


def _refuse_missing(names: Sequence[str], item: dict[str, object], place: str) -> None:
    for field in names:
        if field not in item:
            listed = ", ".join(map(repr, item))
            raise UserError(f"{place}: no field {field!r}.{close_matches(field, item)} The object has {listed}.")


def _json_object(line: str, place: str) -> dict[str, object]:
    try:
        # Numbers stay as they are written: 1.50 is not 1.5 to a model that reads bytes.
        item = json.loads(line, parse_int=str, parse_float=str, parse_constant=_Constant)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place}: not JSON ({error.msg} at column {error.colno}); every line must hold one whole object."
        ) from None
    except RecursionError:
        raise UserError(f"{place}: JSON nested too deeply; every line must hold one flat object.") from None
    if not isinstance(item, dict):
        raise UserError(f'{place}: a JSON {_json_kind(item)}, expected an object such as {{"source": "..."}}.')
    return item


def _texts(item: dict[str, object], fields: Fields, place: str) -> tuple[str, ...]:
    texts = len(fields.names) - fields.labels
    found = [_text(item[field], field, place) for field in fields.names[:texts]]
    return (*found, *(_label(item[field], field, place, fields.separator) for field in fields.names[texts:]))


def _label(value: object, field: str, place: str, separator: str | None) -> str:
    """Returns a label as text, or those of a list with the separator between them; alone it stands for none."""
    if not isinstance(value, list):
        return _text(value, field, place, is_label=True)
    if separator is None:
        raise UserError(
            f"{place}: field {field!r} is a JSON list, expected one label; texts of several labels are for --kind multi"
        )
    labels = [_text(label, field, place, is_label=True) for label in value]
    for label in labels:
        if separator in label or not label.strip():
            raise UserError(
                f"{place}: field {field!r} lists the label {label!r}, expected one that is not blank and does not hold "
                f"the separator of labels, {separator!r}; set another with --label_separator"
            )
    return separator.join(labels) or separator


def _text(value: object, field: str, place: str, is_label: bool = False) -> str:
    if isinstance(value, bool) and is_label:
        return str(value).lower()  # as JSON writes it
    if isinstance(value, _Constant):
        raise UserError(f"{place}: field {field!r} is {value}, which is no JSON; give null where there is no value.")
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
    return {bool: "boolean", list: "list", dict: "object"}.get(type(value), "text or number")
