"""Typed configs: a (nested) dataclass holds the defaults, a YAML file overrides them, flags override both.

A config is plain data. YAML is read as `yaml.safe_load` reads it, and a field is a number, a text, a path, a choice or
a list of such: nothing in a file can name code. `jsonargparse` turns a single value into its field's type; the walk
around it is ours, so that everything wrong is reported together, each with its file and line.

Example:
    ```python
    @dataclass
    class Model:
        \"\"\"The network.

        Args:
            num_layers: blocks in the encoder, and as many in the decoder.
        \"\"\"

        num_layers: int = 4


    @dataclass
    class Config:
        \"\"\"Training.

        Args:
            data: file of pairs.
        \"\"\"

        data: str | None = None
        model: Model = field(default_factory=Model)


    config = parse_config(Config, "small.yaml", ["--data", "corpus.tsv", "--model.num_layers", "6"])
    ```
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import textwrap
import typing
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar

import yaml

from keras_transformer._config_sources import compose, read_flags, read_text, read_yaml
from keras_transformer._config_values import convert, expected, show
from keras_transformer._files import replacing
from keras_transformer.errors import UserError

Config = TypeVar("Config")

END_MARK = "..."  # YAML's own end of a document: without it, a file cut off between two lines would look whole


@dataclasses.dataclass(frozen=True)
class Field:
    """One value of a config.

    Args:
        key: its name, dotted: `model.num_layers`.
        hint: its type.
        default: its value where none is given, MISSING where one must be given.
        help: its line in the docstring.
    """

    key: str
    hint: Any
    default: Any
    help: str


def parse_config(cls: type[Config], config: str | os.PathLike[str] | None, overrides: list[str]) -> Config:
    """Returns a `cls` made of its defaults, then the YAML file `config`, then the flags in `overrides`.

    Args:
        cls: dataclass; its fields may be dataclasses in turn.
        config: path of a YAML file, or None for the defaults alone.
        overrides: command-line tokens: `["--data", "corpus.tsv", "--model.num_layers=4"]`. A bare flag sets a yes-or-no
            field to true; a list field takes several tokens.

    Raises:
        UserError: the file cannot be read, or keys or values are wrong: one line each, all of them together.
    """
    fields = {field.key: field for field in fields_of(cls)}
    hints = {key: field.hint for key, field in fields.items()}
    problems: list[str] = []
    given = [] if config is None else read_yaml(config, hints, problems)
    values = {key: field.default for key, field in fields.items()}
    for item in [*given, *read_flags(overrides, hints, problems)]:
        try:
            values[item.key] = convert(item, hints[item.key])
        except UserError as error:
            problems.append(str(error))
            values[item.key] = None
    problems += [f"--{key} is required: {fields[key].help}" for key in values if values[key] is MISSING]
    return _build(cls, values, problems)


def save_config(config: Any, path: str | os.PathLike[str]) -> None:
    """Writes every value of a config, defaults included, as YAML that `load_config` reads back equal.

    Written beside and renamed: a kill or a full disk leaves the file that was there before.
    """
    text = yaml.dump(_plain(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, explicit_end=True)
    with replacing(path, "w") as file:
        file.write(text)


class _Dumper(yaml.SafeDumper):
    """Writes text with control characters in double quotes: PyYAML folds some of them into spaces otherwise."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)


def load_config(cls: type[Config], path: str | os.PathLike[str]) -> Config:
    """Returns the config that `save_config` wrote; a field that is newer than the file has its default.

    Raises:
        UserError: the file is missing, cut off, not YAML, or not of `cls`.
    """
    if not read_text(path).endswith(f"\n{END_MARK}\n"):
        raise UserError(f"{path}: damaged: its last line should be {END_MARK!r}")
    return parse_config(cls, path, [])


def saved_text(path: str | os.PathLike[str], key: str) -> str | None:
    """Returns one top-level value of a saved config as text, None where it is not there; for a file of unknown `cls`.

    Raises:
        UserError: the file cannot be read, or is no YAML.
    """
    root = compose(path)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((str(value.value) for name, value in pairs if name.value == key), None)


def describe(cls: type) -> str:
    """Returns the fields of a config for `--help`: flag, type and default, and the help from the docstring."""
    lines: list[str] = []
    section = ""
    for field in fields_of(cls):
        if section != (section := field.key.rpartition(".")[0]):
            lines.append("")
        default = "required" if field.default is MISSING else f"default {show(_plain(field.default))}"
        text = textwrap.fill(f"{field.help} ({expected(field.hint)}; {default})", 92)
        lines += [f"  --{field.key}", textwrap.indent(text.strip(), " " * 6)]
    return "\n".join(lines)


def fields_of(cls: type, prefix: str = "", instance: Any = None) -> list[Field]:
    """Returns the values of a config in order, sections flattened; defaults are those of `instance` where given."""
    hints, helps = typing.get_type_hints(cls), help_lines(cls)
    found: list[Field] = []
    for field in sections_last(cls):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        default = _default(field) if instance is None else getattr(instance, field.name)
        if dataclasses.is_dataclass(hint):
            found += fields_of(typing.cast(type, hint), f"{key}.", None if default is MISSING else default)
        else:
            expected(hint)  # raises here and now if a config cannot hold such a type
            found.append(Field(key, hint, default, helps.get(field.name, "")))
    return found


def sections_last(cls: type) -> list[dataclasses.Field[Any]]:
    """Returns the fields of a dataclass in order, its sections behind the others: those of a base class may be before.

    Among the sections, those of the class itself come first.
    """
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    sections = [field for field in fields if dataclasses.is_dataclass(hints[field.name])]
    own = vars(cls).get("__annotations__", {})
    sections.sort(key=lambda field: field.name not in own)
    return [*(field for field in fields if field not in sections), *sections]


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def help_lines(cls: type) -> dict[str, str]:
    """Returns argument -> help from the `Args:` sections of a class and its bases; its own words win."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(each.__doc__ or "").partition("Args:\n")
        section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
        lines = re.findall(r"^    (\w+): *(.*(?:\n     +.*)*)", section, flags=re.MULTILINE)
        found.update({name: " ".join(text.split()) for name, text in lines})
    return found


def _build(cls: type[Config], values: dict[str, Any], problems: list[str]) -> Config:
    """Returns the dataclass with its sections.

    Raises:
        UserError: all `problems`, or all that the `__post_init__` of the dataclass and its sections refuse.
    """
    if problems:
        raise UserError("\n".join(problems))
    instance = _build_section(cls, values, problems, "")
    if problems:
        raise UserError("\n".join(problems))
    return typing.cast(Config, instance)


def _build_section(cls: Any, values: dict[str, Any], problems: list[str], prefix: str) -> Any:
    hints, problems_before = typing.get_type_hints(cls), len(problems)
    arguments = {}
    for field in dataclasses.fields(cls):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        is_section = dataclasses.is_dataclass(hint)
        arguments[field.name] = _build_section(hint, values, problems, f"{key}.") if is_section else values[key]
    if len(problems) > problems_before:
        return None
    try:
        return cls(**arguments)
    except (UserError, ValueError) as error:
        problems.append(f"{prefix[:-1]}: {error}" if prefix else str(error))
        return None


def _plain(value: Any) -> Any:
    """Returns a config as dicts, lists, numbers and text."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in sections_last(type(value))}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
