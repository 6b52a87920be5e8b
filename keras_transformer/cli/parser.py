"""How a command line is parsed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from keras_transformer.errors import UserError, close_matches


class Parser(argparse.ArgumentParser):
    """Raises what is wrong as a `UserError`, close matches included.

    Attributes:
        has_fields: whether the command takes a recipe's fields, which are unknown here.
    """

    has_fields = False

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        message = message.replace(", fields", "")  # argparse calls those required that REMAINDER takes
        if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            names = [name.strip("'") for name in found[2].split(", ")]
            message = f"{message}.{close_matches(found[1], names)}" if close_matches(found[1], names) else message
        raise UserError(f"{message} (see `{self.prog} --help`)")

    def _print_message(self, message: str, file: Any = None) -> None:
        print(message, end="", file=file)  # argparse's own keeps quiet about a full disk

    def parse_command(self, tokens: Sequence[str]) -> argparse.Namespace:
        """Returns the options of one command; TEXT may stand before, between and after them."""
        if self.has_fields:
            found, unknown = self.parse_known_args(tokens)
        else:
            found, unknown = self.parse_known_intermixed_args([_with_dashes(token) for token in tokens])
        if not unknown:
            return found
        if self.has_fields:
            raise UserError(f"{unknown[0]} stands before the recipe: write {self.prog} RECIPE {unknown[0]} ...")
        if not unknown[0].startswith("-"):
            raise UserError(f"unexpected {unknown[0]!r}: one too many (see `{self.prog} --help`)")
        flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        raise UserError(f"unknown option {unknown[0]!r}.{close_matches(unknown[0], flags)} See `{self.prog} --help`.")


def _with_dashes(token: str) -> str:
    """The fields of `train` have underscores: whoever writes an option of another command so is understood."""
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value if token.startswith("--") else token
