"""Configs: precedence, every kind of wrong key and value with its message, saving and reading back."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.config import describe, fields_of, load_config, parse_config, save_config
from keras_transformer.errors import UserError


@dataclass
class Model:
    """The network.

    Args:
        num_layers: blocks in the encoder,
            and as many in the decoder.
        activation: of the feed-forward layer.
        dropout: share of values dropped, 0 to 1.
    """

    num_layers: int = 4
    activation: Literal["relu", "gelu", "swiglu"] = "relu"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, give 0 to 0.99")


@dataclass
class Optimizer:
    """The optimizer.

    Args:
        betas: decay of both moments.
        clip: largest gradient norm.
    """

    betas: tuple[float, float] = (0.9, 0.98)
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and self.clip <= 0:
            raise UserError(f"clip is {self.clip}, give a positive number or null")


@dataclass
class Config:
    """Training.

    Args:
        data: file of pairs.
        language: of the target.
        samples: sentences translated at each evaluation.
        resume: go on where it stopped; 50% of what matters.
        folder: where files go.
    """

    data: str | None = None
    language: str = "de"
    samples: list[str] = field(default_factory=lambda: ["one", "two"])
    resume: bool = False
    folder: Path = Path("runs")
    model: Model = field(default_factory=lambda: Model(num_layers=2))
    optimizer: Optimizer = field(default_factory=Optimizer)


@dataclass
class Needs:
    """A config with a value that must be given.

    Args:
        data: file of pairs.
    """

    data: str


@pytest.fixture
def yaml_file(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "small.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def error_of(config: Path | None, overrides: list[str], cls: type = Config) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(cls, config, overrides)
    return str(caught.value).replace(f"{config}", "small.yaml")


def test_defaults_then_file_then_flags(yaml_file: Any) -> None:
    path = yaml_file("data: a.tsv\nlanguage: fr\nmodel:\n  activation: gelu\n  dropout: 1e-2\n")
    config = parse_config(Config, path, ["--language", "en", "--model.dropout=0.3"])
    assert config == Config(data="a.tsv", language="en", model=Model(2, "gelu", 0.3))
    assert parse_config(Config, None, []) == Config()


def test_a_default_is_never_shared() -> None:
    parse_config(Config, None, []).samples.append("three")
    assert parse_config(Config, None, []).samples == ["one", "two"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "model:\n"])
def test_an_empty_file_or_section_leaves_the_defaults(yaml_file: Any, text: str) -> None:
    assert parse_config(Config, yaml_file(text), []) == Config()


@pytest.mark.parametrize(
    ("tokens", "key", "value"),
    [
        (["--data", "null"], "data", None),
        (["--data", "none"], "data", None),
        (["--language", "none"], "language", "none"),  # always a text
        (["--optimizer.clip", "none"], "optimizer.clip", None),
        (["--data", "007"], "data", "007"),
        (["--data=--odd"], "data", "--odd"),
        (["--data", ""], "data", ""),
        (["--data", "a", "--data", "b"], "data", "b"),
        (["--language", "no"], "language", "no"),
        (["--samples", "a b", "null", "3"], "samples", ["a b", "null", "3"]),
        (["--samples", "[x, y]"], "samples", ["x", "y"]),
        (["--samples", "x"], "samples", ["x"]),
        (["--samples", "[]"], "samples", []),
        (["--samples"], "samples", []),
        (["--resume"], "resume", True),
        (["--resume", "false"], "resume", False),
        (["--folder", "a/b"], "folder", Path("a/b")),
        (["--optimizer.betas", "0.5", "0.75"], "optimizer.betas", (0.5, 0.75)),
        (["--optimizer.clip", "1"], "optimizer.clip", 1.0),
        (["--optimizer.clip", "1e-3"], "optimizer.clip", 0.001),
        (["--model.activation", "swiglu"], "model.activation", "swiglu"),
        (["--model.num-layers", "7"], "model.num_layers", 7),  # as the options of other commands are spelled
    ],
)
def test_flags(tokens: list[str], key: str, value: object) -> None:
    found: Any = parse_config(Config, None, tokens)
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_none_in_a_file(yaml_file: Any) -> None:
    found = parse_config(Config, yaml_file("data: none\noptimizer: {clip: none}"), ["--optimizer.clip=none"])
    assert found == Config(data="none")
    assert parse_config(Config, yaml_file("optimizer: {clip: none}"), []).optimizer.clip is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dta: x", "small.yaml:1: unknown field 'dta'. Did you mean 'data'?"),
        (
            "\n\nmodel:\n  num_layer: 3",
            "small.yaml:4: unknown field 'model.num_layer'. Did you mean 'model.num_layers'?",
        ),
        ("clip: 3", "small.yaml:1: unknown field 'clip'. Did you mean 'optimizer.clip'?"),
        ("zzzzzz: 3", "small.yaml:1: unknown field 'zzzzzz'. --help lists all fields."),
        ("<<: {data: x}", "small.yaml:1: unknown field '<<'. --help lists all fields."),
        ("data: a\nlanguage: b\ndata: c", "small.yaml:3: data: given twice, first in line 1"),
        ("model: {dropout: 0.1}\nmodel: {}", "small.yaml:2: model: given twice, first in line 1"),
        ("model: 3", "small.yaml:1: model: expected fields as 'name: value'"),
        ("- data", "small.yaml:1: expected fields as 'name: value'"),
        ("model: {num_layers: four}", "small.yaml:1: model.num_layers: expected an integer, got 'four'"),
        ("model: {num_layers: 4.5}", "small.yaml:1: model.num_layers: expected an integer, got 4.5"),
        ("model: {num_layers: true}", "small.yaml:1: model.num_layers: expected an integer, got true"),
        ("model: {num_layers: }", "small.yaml:1: model.num_layers: expected an integer, got null"),
        ("model: {num_layers: {a: 1}}", "small.yaml:1: model.num_layers: expected an integer, got {'a': 1}"),
        (
            "model: {activation: gleu}",
            "small.yaml:1: model.activation: expected one of 'relu', 'gelu', 'swiglu', got 'gleu'. "
            "Did you mean 'gelu' or 'swiglu'?",
        ),
        ("language: no", "small.yaml:1: language: expected text, got false; in quotes it is text"),
        ("data: 2024-01-01", "small.yaml:1: data: expected text or null, got datetime.date(2024, 1, 1)"),
        ("data: 2024-01-99", "small.yaml:1: data: expected text or null: day is out of range for month"),
        ("resume: 1", "small.yaml:1: resume: expected true or false, got 1"),
        ("samples: '[a]'", "small.yaml:1: samples: expected a list (each text), got '[a]'"),
        ("samples: [a, 1]", "small.yaml:1: samples: expected a list (each text), got ['a', 1]"),
        (
            "optimizer: {betas: [0.9]}",
            "small.yaml:1: optimizer.betas: expected a list of 2 (a number, a number), got [0.9]",
        ),
        ("model: {dropout: 2.0}", "model: dropout is 2.0, give 0 to 0.99"),
        ("samples: &a [x, *a]", "small.yaml:1: alias *a: write the value out instead"),
        ("data: " + "[" * 3000, "small.yaml:1: not a config: nested more than 20 deep"),
    ],
)
def test_a_wrong_file(yaml_file: Any, text: str, message: str) -> None:
    assert error_of(yaml_file(text), []) == message


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("data: [a", "small.yaml:1: not YAML: expected "),
        ("data: a\n---\ndata: b", "small.yaml:2: not YAML: "),
        ("data: \x00", "small.yaml: not YAML: unacceptable character #x0000"),
        ("data: a\n\tb: c\n b: c", "small.yaml:2: not YAML: "),
    ],
)
def test_a_file_that_is_no_yaml(yaml_file: Any, text: str, start: str) -> None:
    message = error_of(yaml_file(text), [])
    assert message.startswith(start)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--dta", "x"], "unknown flag '--dta'. Did you mean '--data'?"),
        (["--num_layers", "4"], "unknown flag '--num_layers'. Did you mean '--model.num_layers'?"),
        (["--model.num-layrs", "4"], "unknown flag '--model.num-layrs'. Did you mean '--model.num_layers'?"),
        (["--zzzzzz", "4"], "unknown flag '--zzzzzz'. --help lists all fields."),
        (["corpus.tsv"], "unexpected 'corpus.tsv': give fields as --name VALUE"),
        (["--model", "x"], "--model is a section, not a field: set what is in it, as --model.num_layers VALUE"),
        (["--data"], "--data: expected text or null, got nothing"),
        (["--data", "a", "b"], "--data: expected text or null, got 2 values: put 'a b' in quotes"),
        (["--model.num_layers", "four"], "--model.num_layers: expected an integer, got 'four'"),
        (["--model.num_layers", "null"], "--model.num_layers: expected an integer, got 'null'"),
        (["--resume", "maybe"], "--resume: expected true or false, got 'maybe'"),
        (["--optimizer.betas", "1"], "--optimizer.betas: expected a list of 2 (a number, a number), got ['1']"),
        (
            ["--model.activation", "glu"],
            "--model.activation: expected one of 'relu', 'gelu', 'swiglu', got 'glu'. Did you mean 'gelu' or 'swiglu'?",
        ),
        (["--optimizer.clip", "-1"], "optimizer: clip is -1.0, give a positive number or null"),
        (["--data", "x" * 200, "y"], "--data: expected text or null, got 2 values: put '" + "x" * 76 + "... in quotes"),
    ],
)
def test_wrong_flags(tokens: list[str], message: str) -> None:
    assert error_of(None, tokens) == message


def test_a_required_value() -> None:
    assert error_of(None, [], Needs) == "--data is required: file of pairs."
    assert error_of(None, ["--data"], Needs) == "--data: expected text, got nothing"
    assert parse_config(Needs, None, ["--data", "x"]).data == "x"


def test_all_errors_are_shown_together(yaml_file: Any) -> None:
    path = yaml_file("dta: x\nmodel:\n  num_layers: four\n  dropout: [1]\n")
    assert error_of(path, ["--langage", "x", "--resume", "x"]).split("\n") == [
        "small.yaml:1: unknown field 'dta'. Did you mean 'data'?",
        "unknown flag '--langage'. Did you mean '--language'?",
        "small.yaml:3: model.num_layers: expected an integer, got 'four'",
        "small.yaml:4: model.dropout: expected a number, got [1]",
        "--resume: expected true or false, got 'x'",
    ]


def test_all_that_sections_refuse_is_shown_together() -> None:
    assert error_of(None, ["--model.dropout", "3", "--optimizer.clip", "0"]).split("\n") == [
        "model: dropout is 3.0, give 0 to 0.99",
        "optimizer: clip is 0.0, give a positive number or null",
    ]


@pytest.mark.parametrize(
    "text", ["data: !!python/object/apply:os.system ['touch touched']", "model: !!python/name:os.system", "data: !x 1"]
)
def test_a_file_names_no_code(yaml_file: Any, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(yaml_file(text), []).startswith("small.yaml:1: ")
    assert not Path("touched").exists()


@pytest.mark.parametrize("text", ["model: {class_path: os.system}", "model: {class_path: os.system, init_args: {}}"])
def test_a_file_names_no_class(yaml_file: Any, text: str) -> None:
    assert "unknown field 'model.class_path'" in error_of(yaml_file(text), [])


def test_a_field_of_another_type_is_refused() -> None:
    cls = dataclasses.make_dataclass("Odd", [("call", dict, dataclasses.field(default_factory=dict))])
    with pytest.raises(TypeError, match="a config field cannot be of type <class 'dict'>"):
        parse_config(cls, None, [])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert error_of(tmp_path / "none.yaml", []) == "small.yaml: cannot be read: No such file or directory"
    assert error_of(tmp_path, []) == "small.yaml: cannot be read: Is a directory"
    (tmp_path / "latin.yaml").write_bytes(b"data: \xfc")
    assert error_of(tmp_path / "latin.yaml", []) == "small.yaml: not UTF-8 text: byte 0xfc at 6"


TEXTS = st.text(max_size=20)
CONFIGS = st.builds(
    Config,
    data=st.none() | TEXTS,
    language=TEXTS
    | st.sampled_from(["null", "no", "1e-3", "...", "---", "# x", "07", "a\n...\nb", "\ud800", "\x85", "ä "]),
    samples=st.lists(TEXTS, max_size=3),
    resume=st.booleans(),
    folder=TEXTS.map(Path),
    model=st.builds(
        Model, st.integers(), st.sampled_from(["relu", "gelu"]), st.floats(0, 1, exclude_max=True, allow_nan=False)
    ),
    optimizer=st.builds(
        Optimizer,
        st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
        st.none() | st.floats(0, exclude_min=True, allow_nan=False),
    ),
)


@given(config=CONFIGS)
@settings(max_examples=60, deadline=None)
def test_reading_back_gives_the_same(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    save_config(config, path)
    assert load_config(Config, path) == config


def test_every_default_is_written(tmp_path: Path) -> None:
    save_config(Config(), tmp_path / "config.yaml")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {
        "data": None,
        "language": "de",
        "samples": ["one", "two"],
        "resume": False,
        "folder": "runs",
        "model": {"num_layers": 2, "activation": "relu", "dropout": 0.1},
        "optimizer": {"betas": [0.9, 0.98], "clip": None},
    }


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    save_config(Config(), path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"config\.yaml: damaged: its last line should be '\.\.\.'"):
            load_config(Config, path)


def test_a_config_of_another_kind_is_refused(tmp_path: Path) -> None:
    save_config(Needs("x"), tmp_path / "config.yaml")
    with pytest.raises(UserError, match=r"config\.yaml:1: unknown field 'data'"):
        load_config(Optimizer, tmp_path / "config.yaml")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    save_config(Config(data="old"), path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_config(Config(data="new"), path)
    assert load_config(Config, path).data == "old"
    assert os.listdir(tmp_path) == ["config.yaml"]


def test_describe_shows_every_field_with_help_and_default() -> None:
    text = describe(Config)
    assert (
        "--model.num_layers\n      blocks in the encoder, and as many in the decoder. (an integer; default 2)" in text
    )
    assert "--data\n      file of pairs. (text or null; default null)" in text
    assert (
        "--optimizer.betas\n      decay of both moments. (a list of 2 (a number, a number); default [0.9, 0.98])"
        in text
    )
    assert "50% of what matters. (true or false; default false)" in text
    assert "required" in describe(Needs)
    assert all(f"--{item.key}\n" in text and item.help for item in fields_of(Config))


def test_importing_is_cheap() -> None:
    heavy = {"jsonargparse", "numpy", "keras", "tensorflow"}
    code = f"import sys, keras_transformer.config; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
