"""The options of search and alignments on the command line; those of a search with the help of `SearchOptions`."""

from __future__ import annotations

import argparse
import re
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

from keras_transformer.config import help_lines
from keras_transformer.errors import UserError
from keras_transformer.generation.options import GREEDY, SearchOptions, saved_search
from keras_transformer.training.run_directory import RunDirectory

OPTIONS = [field.name for field in fields(SearchOptions)]
OTHERS = ["align_layer", "align_heads", "max_source_bytes", "max_target_bytes"]


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each option; one that is not given is None."""
    group = parser.add_argument_group("search (default: as the run was told, mostly greedy)")
    helps = help_lines(SearchOptions)
    for name, hint in typing.get_type_hints(SearchOptions).items():
        flag, text = _flag(name), helps[name].replace("%", "%%")
        if hint is bool:
            group.add_argument(flag, action="store_true", default=None, help=text)
        elif typing.get_origin(hint) is tuple:
            group.add_argument(flag, nargs="+", metavar="WORD", help=text)
        elif hint is str:
            group.add_argument(flag, metavar="TEXT", help=text)
        else:
            kind = int if int in (hint, *typing.get_args(hint)) else float
            group.add_argument(flag, type=_number(kind), metavar="N" if kind is int else "X", help=text)


def search_of(arguments: argparse.Namespace, run: str | None = None) -> SearchOptions | None:
    """Returns the options that were given, the others being those of a run, or None if there were none given.

    Raises:
        UserError: a value is out of its range, or two contradict each other; they are named as they were given.
    """
    given = {name: getattr(arguments, name) for name in OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    with named_as_given():
        return (GREEDY if run is None else search_of_run(run)).changed(given)


def search_of_run(run: str) -> SearchOptions:
    """Returns how a run searches unless it is told otherwise; see `saved_search`.

    Raises:
        UserError: its config is missing or damaged.
    """
    import yaml

    path = RunDirectory(run).config
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    return saved_search(config if isinstance(config, dict) else {})


class AlignFlags(NamedTuple):
    """What was said of alignments on the command line: the attention of which layer's heads, None for the default."""

    layer: int | None
    heads: list[int] | None

    def heads_of(self, model: Any) -> list[tuple[int, int]]:
        """Returns the (layer, head) pairs of a model; see `chosen_heads`.

        Raises:
            UserError: there are no such ones.
        """
        from keras_transformer.generation.alignment import chosen_heads  # and NumPy

        with named_as_given():
            return chosen_heads(model, self.layer, self.heads)

    def check_file(self, file: Any) -> None:
        """Raises UserError if an exported file has no alignments, or the heads were given, which export chooses."""
        if not file.has("align"):
            raise UserError(f"--align: {file.path} has no alignments; export the run with --align")
        for name, value in zip(("layer", "heads"), self, strict=True):
            if value is not None:
                raise UserError(f"--align-{name}: a file aligns as it was exported; export the run with this option")


def add_align_flags(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds --align with a help text, --align-layer and --align-heads."""
    parser.add_argument("--align", action="store_true", default=None, help=text)
    parser.add_argument(
        "--align-layer",
        metavar="N",
        type=_number(int),
        help="layer of the decoder whose attention --align shows, from 0 (default: the last)",
    )
    parser.add_argument(
        "--align-heads",
        metavar="N,N",
        type=_numbers,
        help="heads of that layer to average, from 0, separated by commas (default: all)",
    )


def align_of(arguments: argparse.Namespace) -> AlignFlags | None:
    """Returns what was said of alignments, or None without --align.

    Raises:
        UserError: a layer or heads are given without it.
    """
    if arguments.align:
        return AlignFlags(arguments.align_layer, arguments.align_heads)
    for name in ("align_layer", "align_heads"):
        if getattr(arguments, name) is not None:
            raise UserError(f"{_flag(name)} is given without --align: add it, or leave this out")
    return None


@contextmanager
def named_as_given() -> Iterator[None]:
    """Names the options in a `UserError` as they were given on the command line."""
    try:
        yield
    except UserError as error:
        message = as_flags(str(error))
        if message == str(error):
            raise
        raise UserError(message) from None


def as_flags(message: str) -> str:
    """Names the options in a message as they are given: that at its beginning, and others that cannot be mistaken."""
    known = {*OPTIONS, *OTHERS}
    name, space, rest = message.partition(" ")
    rest = re.sub(r"\b[a-z]+(_[a-z]+)+\b", lambda found: _flag(found[0]) if found[0] in known else found[0], rest)
    return f"{_flag(name) if name in known else name}{space}{rest}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"expected whole numbers separated by commas, such as 0,2, got {text!r}")
    return [int(part) for part in parts]


def _number(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}") from None

    return parse
