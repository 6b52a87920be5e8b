"""Where the values of a config come from: a YAML file, and flags on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from keras_transformer._config_values import Given, expected, holds_list, options
from keras_transformer.errors import UserError, close_matches

FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # that in C is many times as fast
MAX_DEPTH = 20
# what PyYAML raises for a tag that is unknown, or for !!int "" and the 31st of June
NO_VALUE = (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError)
NULL = "tag:yaml.org,2002:null"


def read_text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def read_yaml(path: str | os.PathLike[str], hints: dict[str, Any], problems: list[str]) -> list[Given]:
    """Returns the values in a YAML file.

    Args:
        path: the file.
        hints: key -> type of every field.
        problems: unknown and repeated keys are added here.

    Raises:
        UserError: it cannot be read as YAML at all.
    """
    root = compose(path)
    return [] if root is None else list(_YamlWalk(str(path), hints, problems).section(root, ""))


def compose(path: str | os.PathLike[str]) -> yaml.Node | None:
    """Returns the tree of a YAML file, None for an empty one.

    Raises:
        UserError: it cannot be read, or is no YAML.
    """
    text = read_text(path)
    try:
        return _composed(str(path), text, FAST_LOADER)
    except yaml.YAMLError:
        pass  # the loader in Python says better where
    try:
        return _composed(str(path), text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise UserError(f"{path}{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}".partition("\n")[0]) from None


def plain_content(path: str | os.PathLike[str]) -> Any:
    """Returns what is in a YAML file as dicts, lists, numbers and text: of a file whose fields are unknown.

    Raises:
        UserError: it cannot be read, or is no YAML.
    """
    root = compose(path)
    try:
        return None if root is None else yaml.SafeLoader("").construct_document(root)
    except NO_VALUE as error:
        raise UserError(f"{path}: not YAML: {getattr(error, 'problem', None) or error}") from None


def _composed(path: str, text: str, loader: Any) -> yaml.Node | None:
    _check_events(path, text, loader)
    return yaml.compose(text, Loader=loader)


def _check_events(path: str, text: str, loader: Any) -> None:
    """Refuses what could make a small file a large burden: aliases, which multiply, and deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{path}:{_line(event)}: alias *{event.anchor}: write the value out instead")
        if depth > MAX_DEPTH:
            raise UserError(f"{path}:{_line(event)}: not a config: nested more than {MAX_DEPTH} deep")


def _line(item: yaml.Node | yaml.Event) -> int:
    return int(item.start_mark.line) + 1  # type: ignore[union-attr]  # it has one: it was read from text


@dataclass
class _YamlWalk:
    """Goes down the sections of a YAML file, node by node: plain data has lost its line numbers."""

    path: str
    hints: dict[str, Any]
    problems: list[str]
    lines: dict[str, int] = field(default_factory=dict)

    def section(self, node: yaml.Node, prefix: str) -> Iterator[Given]:
        if node.tag == NULL:  # `model:` with every line below it commented out
            return
        if not isinstance(node, yaml.MappingNode):
            name = f"{prefix[:-1]}: " if prefix else ""
            self.problems.append(f"{self.path}:{_line(node)}: {name}expected fields as 'name: value'")
            return
        for key_node, value_node in node.value:
            key, where = f"{prefix}{key_node.value}", f"{self.path}:{_line(key_node)}"
            if key in self.lines:
                self.problems.append(f"{where}: {key}: given twice, first in line {self.lines[key]}")
            elif key in self.hints:
                yield from self.value(key, value_node, f"{where}: {key}")
            elif _is_section(key, self.hints):
                yield from self.section(value_node, f"{key}.")
            else:
                self.problems.append(f"{where}: unknown field {key!r}.{_nearest(key, self.hints)}")
            self.lines.setdefault(key, _line(key_node))

    def value(self, key: str, node: yaml.Node, where: str) -> Iterator[Given]:
        try:
            yield Given(key, yaml.SafeLoader("").construct_document(node), where, from_flag=False)
        except NO_VALUE as error:
            problem = getattr(error, "problem", None) or error
            self.problems.append(f"{where}: expected {expected(self.hints[key])}: {problem}")


def read_flags(tokens: list[str], hints: dict[str, Any], problems: list[str]) -> list[Given]:
    """Returns the values in command-line tokens; unknown flags and stray tokens are added to `problems`."""
    given = []
    for flag, texts in _split_flags(tokens):
        key = flag.removeprefix("--")
        key = key if key in hints else key.replace("-", "_")  # as the options of other commands are spelled
        if not flag:
            problems.append(f"unexpected {texts[0]!r}: give fields as --name VALUE")
        elif not all(map(is_text, texts)):
            problems.append(f"{flag} is {texts!r}, which is not UTF-8; give it another name")
        elif key in hints:
            given.append(Given(key, _flag_value(texts, hints[key]), flag, from_flag=True))
        elif _is_section(key, hints):
            first = next(name for name in hints if name.startswith(f"{key}."))
            problems.append(f"{flag} is a section, not a field: set what is in it, as --{first} VALUE")
        else:
            nearest = _nearest(flag, [f"--{name}" for name in hints])
            problems.append(f"unknown flag {flag!r}.{nearest}")
    return given


def is_text(text: str) -> bool:
    """Returns whether a text can be written as UTF-8: what Python makes of a name in another encoding cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split_flags(tokens: list[str]) -> list[tuple[str, list[str]]]:
    """Returns flags and the texts after each: `["--a", "1", "2", "--b=3"]` is `("--a", ["1", "2"]), ("--b", ["3"])`."""
    found: list[tuple[str, list[str]]] = []
    for token in tokens:
        if token.startswith("--"):
            flag, equals, text = token.partition("=")
            found.append((flag, [text] if equals else []))
        elif found:
            found[-1][1].append(token)
        else:
            found.append(("", [token]))
    return found


def _flag_value(texts: list[str], hint: Any) -> Any:
    """Returns a text, the texts of a list, or True for a bare yes-or-no flag."""
    if not texts and hint is bool:
        return True
    if texts == ["none"] and type(None) in options(hint):
        texts = ["null"]  # as the help and the messages call it
    is_yaml = len(texts) == 1 and (texts[0].startswith("[") or texts == ["null"])
    return texts if len(texts) != 1 or (holds_list(hint) and not is_yaml) else texts[0]


def _is_section(key: str, hints: dict[str, Any]) -> bool:
    return any(name.startswith(f"{key}.") for name in hints)


def _nearest(key: str, names: Iterable[str]) -> str:
    """Returns what a mistyped key may have meant. A name without its section is near: `num_layers`."""
    last = key.lstrip("-").replace("-", "_").rpartition(".")[2]
    same = [name for name in names if name.lstrip("-").rpartition(".")[2] == last]
    found = f" Did you mean {' or '.join(map(repr, same))}?" if same else close_matches(key, names)
    return found or " --help lists all fields."
