"""The options of a search on the command line: those of `SearchOptions`, with the help of its docstring."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from keras_transformer.config import help_lines
from keras_transformer.errors import UserError
from keras_transformer.generation.options import SearchOptions


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each option; one that is not given is None."""
    group = parser.add_argument_group("search (default: greedy)")
    helps = help_lines(SearchOptions)
    for name, hint in typing.get_type_hints(SearchOptions).items():
        flag, text = f"--{name.replace('_', '-')}", helps[name].replace("%", "%%")
        if hint is bool:
            group.add_argument(flag, action="store_true", default=None, help=text)
        elif typing.get_origin(hint) is tuple:
            group.add_argument(flag, nargs="+", metavar="WORD", help=text)
        elif hint is str:
            group.add_argument(flag, metavar="TEXT", help=text)
        else:
            kind = int if int in (hint, *typing.get_args(hint)) else float
            group.add_argument(flag, type=_number(kind), metavar="N" if kind is int else "X", help=text)


def search_of(arguments: argparse.Namespace) -> SearchOptions | None:
    """Returns the options that were given, or None if there were none.

    Raises:
        UserError: a value is out of its range, or two contradict each other; they are named as they were given.
    """
    given = {field.name: getattr(arguments, field.name) for field in fields(SearchOptions)}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    try:
        return SearchOptions(**given)
    except UserError as error:
        name, space, rest = str(error).partition(" ")
        raise UserError(f"--{name.replace('_', '-')}{space}{rest}") from None


def _number(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}") from None

    return parse
