"""What one field of a config may hold, how it is called in a message, and how a given value becomes one."""

from __future__ import annotations

import functools
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_transformer.errors import UserError, close_matches

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SCALARS = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path", type(None): "null"}


@dataclass(frozen=True)
class Given:
    """One value that somebody gave.

    Args:
        key: the field, dotted: `model.num_layers`.
        value: plain data from YAML, or the text (a list of texts for a list field) after a flag.
        where: how a message names it: `small.yaml:3: model.num_layers`, or `--model.num_layers`.
        from_flag: it is text that somebody typed, not data.
    """

    key: str
    value: Any
    where: str
    from_flag: bool


def expected(hint: Any) -> str:
    """Returns a type in words: `int | None` is "an integer or null".

    Raises:
        TypeError: the type is none that a config may hold: a mistake in the dataclass, not the user's.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if is_union(hint):
        return " or ".join(expected(option) for option in arguments)
    if origin is list or (origin is tuple and Ellipsis in arguments):
        return f"a list (each {expected(arguments[0])})"
    if origin is tuple:
        return f"a list of {len(arguments)} ({', '.join(expected(part) for part in arguments)})"
    raise TypeError(f"a config field cannot be of type {hint}")


def is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def options(hint: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the one type that it is."""
    return typing.get_args(hint) if is_union(hint) else (hint,)


def holds_list(hint: Any) -> bool:
    return any(typing.get_origin(option) in (list, tuple) for option in options(hint))


def show(value: Any) -> str:
    """Returns a value as YAML and the command line spell it, cut to a readable length."""
    names = {None: "null", True: "true", False: "false"}
    text = names[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def convert(given: Given, hint: Any) -> Any:
    """Returns the value in the field's type.

    Raises:
        UserError: it is not such a value; the message names the field, what is expected and what came.
    """
    value, from_yaml = given.value, not given.from_flag
    if from_yaml and isinstance(value, str) and str in options(hint):
        return value  # a text stays what it is: 'null' in quotes is no null
    try:
        if value is None and type(None) not in options(hint):
            raise ValueError("null")
        if from_yaml and isinstance(value, str) and holds_list(hint):
            raise ValueError("text is parsed once, not again as YAML")
        return _parser(hint).parse_object({"value": value}).value
    except Exception:  # whatever jsonargparse found wrong, one sentence says it
        raise UserError(f"{given.where}: expected {expected(hint)}, got {_received(given, hint)}") from None


def _received(given: Given, hint: Any) -> str:
    value = given.value
    if given.from_flag and value == []:
        return "nothing"
    if given.from_flag and isinstance(value, list) and not holds_list(hint):
        return f"{len(value)} values: put {show(' '.join(value))} in quotes"
    choices = [option for option in options(hint) if typing.get_origin(option) is typing.Literal]
    names = [str(name) for choice in choices for name in typing.get_args(choice)]
    quotes = "; in quotes it is text" if str in options(hint) and isinstance(value, (int, float)) else ""
    return show(value) + quotes + (f".{matches}" if (matches := close_matches(str(value), names)) else "")


@functools.cache
def _parser(hint: Any) -> ArgumentParser:
    """Returns a parser of one value. Only plain types come here (see `expected`), so it never imports a name."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    return parser
