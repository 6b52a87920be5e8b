"""The command line: what each command hands on, and every kind of mistake with its message and exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import keras_transformer
from keras_transformer._quiet import without_noise
from keras_transformer.cli import discovery, main
from keras_transformer.cli.lines import GROUP, Answers, is_out_of_memory, read_groups
from keras_transformer.config import describe, fields_of
from keras_transformer.errors import UserError

COMMANDS = [
    "train", "tune-lr", "evaluate", "predict", "export", "quantize-train", "benchmark", "web", "serve", "runs", "report"
]  # fmt: skip


@dataclass
class Config:
    """Trains a stand-in.

    Args:
        data: file of pairs.
        steps: how many.
    """

    data: str | None = None
    steps: int = 10


class Shouting:
    """A model that answers in capitals and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.options: dict[str, object] = {}

    def run(self, text: bytes) -> None:
        """An artifact is run once before its answers are wanted."""

    def predict(self, lines: Iterable[str], **options: object) -> Iterator[str]:
        self.asked.append(list(lines))
        self.options = options
        return iter([line.upper() for line in self.asked[-1]])


@pytest.fixture
def calls() -> list[tuple[Any, ...]]:
    """What the stand-ins were called with."""
    return []


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> Path:
    """A folder with two recipes; `translation` has two configs and notes its calls."""
    for task in ("translation", "summarization"):
        (tmp_path / "recipes" / task / "configs").mkdir(parents=True)
        (tmp_path / "recipes" / task / "__init__.py").touch()
    (tmp_path / "recipes" / "translation" / "configs" / "demo.yaml").write_text("steps: 3\n")
    (tmp_path / "recipes" / "translation" / "configs" / "multi30k.yaml").write_text("steps: 4\n")
    (tmp_path / "recipes" / "notes").mkdir()

    def evaluate(run: str, data: str | None = None, **options: object) -> dict[str, object]:
        calls.append((run, data, options))
        return {"bleu": 41.5, "größe": 3}

    stand_in: Any = types.ModuleType("keras_transformer.recipes.translation")
    stand_in.Config, stand_in.main, stand_in.evaluate = Config, calls.append, evaluate
    monkeypatch.setitem(sys.modules, "keras_transformer.recipes.translation", stand_in)
    monkeypatch.setattr(discovery, "RECIPES", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "recipes"


@pytest.fixture
def run(tmp_path: Path, recipes: Path) -> str:
    """A run directory of `translation`."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.yaml").write_text("task: translation\nsteps: 3\n...\n")
    for part in ("model.json", "model.weights.h5", "tokenizer"):
        (tmp_path / "runs" / "mine" / part).touch()
    return "runs/mine"


def use_model(monkeypatch: pytest.MonkeyPatch, load: Callable[[str], Any]) -> None:
    """Puts `load` in the place of `keras_transformer.load`, which is not looked up: that would import Keras."""
    monkeypatch.setitem(vars(keras_transformer), "load", load)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Shouting:
    model = Shouting()
    use_model(monkeypatch, lambda path: model)
    return model


@pytest.fixture
def export_room(monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> Shouting:
    """Stands in for `keras_transformer.export`."""
    model = Shouting()
    room: Any = types.ModuleType("keras_transformer.export")
    room.__path__ = list(keras_transformer.export.__path__)  # its modules are there

    def export_run(*given: Any, **options: Any) -> dict[str, Any]:
        calls.append((given, options))
        lost = {"int4": {"bleu": 38.5, "loss": 1.5}} if options.get("max_loss") == 0.5 else {}
        return {"headline": "bleu", "gate": {"max_loss": 0.5, "forced": [], "refused": lost}}

    room.export_run = export_run
    room.quantize_train = lambda *given, **options: calls.append((*given, options)) or {"bleu": 40.0}
    room.benchmark = lambda folder, **asked: {"folder": folder, **asked}
    room.open_artifact = lambda *given: calls.append(given) or model
    monkeypatch.setitem(sys.modules, "keras_transformer.export", room)
    return model


@pytest.fixture(autouse=True)
def traceback_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_TRANSFORMER_TRACEBACK", raising=False)


def errors_of(capfd: pytest.CaptureFixture[str], *argv: str, status: int = 2) -> list[str]:
    """Runs a command that must fail and returns its lines on standard error, without their prefix."""
    assert main(argv) == status
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert all(line.startswith("keras-transformer: error: ") for line in lines)
    return [line.removeprefix("keras-transformer: error: ") for line in lines]


# Help, version, names


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capfd: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert main(argv) == 0
    out, err = capfd.readouterr()
    assert all(f"    {name}" in out for name in COMMANDS)
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(capfd: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "--help"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"usage: keras-transformer {command} ")
    assert err == ""


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"keras-transformer {keras_transformer.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], f"no command 'trian'. Did you mean 'train'? There are: {', '.join(COMMANDS)}."),
        (["--vrsion"], "unrecognized arguments: --vrsion (see `keras-transformer --help`)"),
        (["train"], "the following arguments are required: RECIPE (see `keras-transformer train --help`)"),
        (
            ["train", "--data", "x", "translation"],
            "--data stands before the recipe: write keras-transformer train RECIPE --data ...",
        ),
        (
            ["train", "translaton"],
            "no recipe 'translaton'. Did you mean 'translation'? There are: summarization, translation.",
        ),
        (["train", "notes"], "no recipe 'notes'. There are: summarization, translation."),
        (
            ["train", "translation", "--config", "demmo"],
            "--config: the recipe translation has no config 'demmo'. Did you mean 'demo'? "
            "There are: demo, multi30k; a path of your own ends in .yaml.",
        ),
        (
            ["train", "translation", "--config"],
            "argument --config: expected one argument (see `keras-transformer train translation --help`)",
        ),
        (
            ["train", "translation", "--data", "\udcff.tsv"],
            "--data is ['\\udcff.tsv'], which is not UTF-8; give it another name",
        ),
        (["evaluate", "runs/\udcff"], "run is 'runs/\\udcff', which is not UTF-8; give it another name"),
        (["train", "translation", "--config", "my.yaml"], "my.yaml: cannot be read: No such file or directory"),
        (["train", "translation", "--stps", "3"], "unknown flag '--stps'. Did you mean '--steps'?"),
        (
            ["evaluate", "runs/mine", "--limt", "3"],
            "unknown option '--limt'. Did you mean '--limit'? See `keras-transformer evaluate --help`.",
        ),
        (
            ["evaluate", "runs/mine", "--limit", "0"],
            "argument --limit: expected a whole number above 0, got '0' (see `keras-transformer evaluate --help`)",
        ),
        (
            ["report", "runs/mine", "runs/other"],
            "unexpected 'runs/other': one too many (see `keras-transformer report --help`)",
        ),
        (["evaluate", "runs/mnie"], "runs/mnie: no such file or folder. Did you mean 'runs/mine'?"),
        (["evaluate", "runs"], "runs: not a run directory: it has no config.yaml"),
        (["predict", "runs"], "runs: neither a run directory (no config.yaml) nor an artifact (no manifest.json)"),
        (["predict", "gone.tflite", "x"], "gone.tflite: no such file or folder."),
        (["predict", "runs/mine", "-x"], "unknown option '-x'. See `keras-transformer predict --help`."),
        (
            ["export", "runs/mine"],
            "the following arguments are required: --output (see `keras-transformer export --help`)",
        ),
        (
            ["export", "runs/mine", "--output", "dist", "--precision", "int9"],
            "argument --precision: no precision 'int9'. Did you mean 'int8' or 'int4'? There are: "
            "float32, float16, int8, int8_static, int4. (see `keras-transformer export --help`)",
        ),
        (
            ["export", "runs/mine", "--output", "dist", "--max-loss", "none"],
            "argument --max-loss: expected a number of points, 0 or more, got 'none' (see `keras-transformer export "
            "--help`)",
        ),
        (
            ["quantize-train", "runs/mine", "--output", "runs/new", "--precision", "float16"],
            "argument --precision: no training is for 'float16'. There are: int8, int8_static, int4. "
            "(see `keras-transformer quantize-train --help`)",
        ),
        (
            ["quantize-train", "runs/mine", "--output", "runs/mine", "--precision", "int4"],
            "runs/mine exists already; give another --output",
        ),
        (
            ["quantize-train", "runs/mine", "--output", "runs/mine/config.yaml/new", "--precision", "int4"],
            "runs/mine/config.yaml/new cannot be made: @/runs/mine/config.yaml is a file; give another --output",
        ),
        (["predict", "runs/mien", "x"], "runs/mien: no such file or folder. Did you mean 'runs/mine'?"),
        (["predict", "runs/other", "x"], "runs/other: no such file or folder."),
        (
            ["report", "runs/mine", "--format", "markdwon"],
            "argument --format: invalid choice: 'markdwon' (choose from markdown, html). Did you mean 'markdown'? "
            "(see `keras-transformer report --help`)",
        ),
    ],
)
def test_a_mistake_is_one_line(
    capfd: pytest.CaptureFixture[str], run: str, calls: list[Any], argv: list[str], message: str
) -> None:
    said = [
        line.replace(str(Path.cwd()), "@").replace("from 'markdown', 'html')", "from markdown, html)")
        for line in errors_of(capfd, *argv)
    ]  # Python 3.10 and 3.11 put choices into quotation marks
    assert said == [message]
    assert calls == []


def test_several_mistakes_are_several_lines(capfd: pytest.CaptureFixture[str], recipes: Path) -> None:
    assert errors_of(capfd, "train", "translation", "--stps", "3", "--steps", "x") == [
        "unknown flag '--stps'. Did you mean '--steps'?",
        "--steps: expected an integer, got 'x'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: tennis\n", "task: expected one of summarization, translation, got 'tennis'"),
        ("steps: 3\n", "task: expected one of summarization, translation, got None"),
        ("", "task: expected one of summarization, translation, got None"),
    ],
)
def test_a_run_of_no_known_task(capfd: pytest.CaptureFixture[str], run: str, text: str, message: str) -> None:
    Path(run, "config.yaml").write_text(text)
    assert errors_of(capfd, "evaluate", run) == [f"runs/mine/config.yaml: {message}"]


def test_a_damaged_run(capfd: pytest.CaptureFixture[str], run: str) -> None:
    Path(run, "config.yaml").write_text("task: [transl")
    assert errors_of(capfd, "evaluate", run)[0].startswith("runs/mine/config.yaml:1: not YAML: ")


# train


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("jaxx", "KERAS_BACKEND is 'jaxx', expected one of tensorflow, jax. Did you mean 'jax'?"),
        ("jax", "KERAS_BACKEND is 'jax', which is not installed: pip install '.[jax]', Python 3.11 or later"),
    ],
)
def test_a_backend_that_is_not_there(
    capfd: pytest.CaptureFixture[str], recipes: Path, monkeypatch: pytest.MonkeyPatch, backend: str, message: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr("keras_transformer.cli.commands.find_spec", lambda name: None)
    assert errors_of(capfd, "train", "echo") == [message]


def test_train_hands_on_the_config(recipes: Path, calls: list[Any]) -> None:
    (recipes / "own.yaml").write_text("data: own.tsv\nsteps: 7\n")
    train = ["train", "translation"]
    assert main(train) == 0
    assert main([*train, "--config", "demo"]) == 0
    assert main([*train, "--config=multi30k", "--data", "a.tsv"]) == 0
    assert main([*train, "--data=a.tsv", "--config", str(recipes / "own.yaml"), "--steps", "8"]) == 0
    assert calls == [Config(), Config(steps=3), Config("a.tsv", 4), Config("a.tsv", 8)]


def test_train_prints_the_scores_at_the_end(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, recipes: Path
) -> None:
    monkeypatch.setattr(
        sys.modules["keras_transformer.recipes.translation"], "main", lambda config: {"bleu": config.steps}
    )
    assert main(["train", "translation"]) == 0
    assert capfd.readouterr().out == '{\n  "bleu": 10\n}\n'


def test_train_help_shows_every_field(capfd: pytest.CaptureFixture[str], recipes: Path, calls: list[Any]) -> None:
    assert main(["train", "translation", "--data", "x", "--help"]) == 0
    out = capfd.readouterr().out
    assert out.startswith(
        "usage: keras-transformer train translation [--config NAME] [--field VALUE ...]\n\nTrains a stand-in."
    )
    assert "or: demo, multi30k" in out
    assert describe(Config) in out
    assert calls == []


# evaluate, export, benchmark


def test_evaluate_prints_the_scores(capfd: pytest.CaptureFixture[str], run: str, calls: list[Any]) -> None:
    assert main(["evaluate", run]) == 0
    assert capfd.readouterr().out == '{\n  "bleu": 41.5,\n  "größe": 3\n}\n'
    assert main(["evaluate", "--data", "a.tsv", run, "--limit", "5", "--batch_tokens", "100"]) == 0
    assert calls == [(run, None, {}), (run, "a.tsv", {"limit": 5, "batch_tokens": 100})]


def test_export(export_room: Shouting, calls: list[Any], run: str) -> None:
    assert main(["export", "runs/mine", "--output", "dist"]) == 0
    assert main(["export", "--precision", "int8", "--output", "dist", "--force", "runs/mine"]) == 0
    assert main(["export", "--output=dist", "--max-source-bytes", "64", "--max_target_bytes=99", "runs/mine"]) == 0
    assert main(["export", "--output", "dist", "--no-web", "runs/mine"]) == 0
    assert calls == [
        (("runs/mine", "dist", ["float32", "int8"]), {"force": False}),
        (("runs/mine", "dist", ["int8"]), {"force": True}),
        (
            ("runs/mine", "dist", ["float32", "int8"]),
            {"force": False, "max_source_bytes": 64, "max_target_bytes": 99},
        ),
        (("runs/mine", "dist", ["float32", "int8"]), {"force": False, "web": False}),
    ]


def test_a_refused_precision_is_told_at_the_end(
    capfd: pytest.CaptureFixture[str], export_room: Shouting, calls: list[Any], run: str
) -> None:
    lines = errors_of(capfd, "export", "runs/mine", "--output", "dist", "--precision", "int4", "--max-loss", "0.5")
    assert lines[0] == "int4 has 38.50 bleu, 1.50 less than float32, more than the 0.5 allowed: left out of dist"
    assert lines[1].startswith("to have it all the same, give --force-precision, or a larger --max-loss; to have it ")
    assert lines[1].endswith("keras-transformer quantize-train runs/mine --output runs/mine-int4 --precision int4")
    assert len(lines) == 2
    assert main(["export", "runs/mine", "--output", "dist", "--force-precision"]) == 0
    assert calls[-1] == (("runs/mine", "dist", ["float32", "int8"]), {"force": False, "force_precision": True})


def test_quantize_train(
    capfd: pytest.CaptureFixture[str], recipes: Path, export_room: Shouting, calls: list[Any], run: str
) -> None:
    command = ["quantize-train", "runs/mine", "--output", "runs/new", "--precision", "int4"]
    assert main([*command, "--steps", "7", "--learning_rate", "0.001"]) == 0
    recipe = sys.modules["keras_transformer.recipes.translation"]
    assert calls == [(recipe, "runs/mine", "runs/new", "int4", {"steps": 7, "learning_rate": 0.001})]
    assert capfd.readouterr().out == '{\n  "bleu": 40.0\n}\n'
    (line,) = errors_of(capfd, *command, "--learning-rate", "much")
    assert line.startswith("argument --learning-rate: expected a number above 0, got 'much' (see `keras-transformer q")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--beam", "4"], "--beam is for models that write text; this one does not"),
        (["--no-steps"], "--no-steps is no option of an export for classification: leave it out"),
        (["--max-target-bytes", "64"], "--max-target-bytes is no option of an export for classification: leave it out"),
        (["--align"], "--align is no option of an export for classification: leave it out"),
    ],
)
def test_an_option_of_another_task(
    capfd: pytest.CaptureFixture[str],
    export_room: Shouting,
    calls: list[Any],
    recipes: Path,
    run: str,
    flags: list[str],
    message: str,
) -> None:
    (recipes / "classification").mkdir()
    (recipes / "classification" / "__init__.py").touch()
    Path(run, "config.yaml").write_text("task: classification\n")
    assert errors_of(capfd, "export", run, "--output", "dist", *flags) == [message]
    assert calls == []


def test_benchmark(capfd: pytest.CaptureFixture[str], export_room: Shouting) -> None:
    assert main(["benchmark", "dist", "--json", "--profile"]) == 0
    found = {"folder": "dist", "profile": True, "operators": False, "size": None}
    assert json.loads(capfd.readouterr().out) == found
    assert main(["benchmark", "dist", "--json", "--bytes", "128"]) == 0
    assert json.loads(capfd.readouterr().out) == {**found, "profile": False, "size": 128}


# predict


@pytest.mark.parametrize(
    ("tokens", "texts", "options"),
    [
        (["a b"], ["a b"], {}),
        (["a", "b"], ["a", "b"], {}),
        (["--cut", "a"], ["a"], {"cut": True}),
        (["a", "--cut", "b"], ["a", "b"], {"cut": True}),
        (["-5 degrees"], ["-5 degrees"], {}),
        (["--", "-a"], ["-a"], {}),
    ],
)
def test_predict_from_arguments(
    capfd: pytest.CaptureFixture[str], run: str, model: Shouting, tokens: list[str], texts: list[str], options: object
) -> None:
    assert main(["predict", run, *tokens]) == 0
    assert model.asked == [texts]
    assert model.options == options
    assert capfd.readouterr().out == "".join(f"{text.upper()}\n" for text in texts)


@pytest.mark.parametrize("path", ["dist", "dist/model.tflite"])
def test_predict_from_an_artifact(
    capfd: pytest.CaptureFixture[str], recipes: Path, export_room: Shouting, calls: list[Any], path: str
) -> None:
    Path("dist").mkdir()
    Path("dist", "manifest.json").write_text("{}")
    Path("dist", "model.tflite").write_bytes(b"")
    assert main(["predict", path, "é"]) == 0
    assert capfd.readouterr().out == "É\n"
    assert calls == [(path, None)]


def predict_from(
    data: bytes, run: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> tuple[bytes, list[str]]:
    """Returns standard output and the warnings for `data` on standard input."""
    (tmp_path / "input").write_bytes(data)
    with open(tmp_path / "input") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["predict", run]) == 0
    out, err = capfdbinary.readouterr()
    return out, [line.removeprefix("keras-transformer: warning: ") for line in err.decode().splitlines()]


@pytest.mark.parametrize(
    ("data", "out", "warned"),
    [
        (b"", b"", []),
        (b"\n", b"\n", []),
        (b"a\nb\n", b"A\nB\n", []),
        (b"a\nb", b"A\nB\n", []),
        (b"\n\na\n  \nb\n\n", b"\n\nA\n\nB\n\n", []),
        (b"a\r\nb\r\n", b"A\nB\n", []),
        (b"a\rb\x0c\xc2\x85\xe2\x80\xa8c\n", b"A\rB\x0c\xc2\x85\xe2\x80\xa8C\n", []),
        (b"\xef\xbb\xbfa\n", b"A\n", []),
        (b"a\n\xc3\nb\xff\n", b"A\n\xef\xbf\xbd\nB\xef\xbf\xbd\n", [2, 3]),
        (b"\xef\xbf\xbd\n\xef\xbf\xbd\xff\n", b"\xef\xbf\xbd\n\xef\xbf\xbd\xef\xbf\xbd\n", [2]),
    ],
)
def test_predict_from_standard_input(
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    run: str,
    model: Shouting,
    data: bytes,
    out: bytes,
    warned: list[int],
) -> None:
    expected = [f"line {number}: not UTF-8: its wrong bytes are read as U+FFFD" for number in warned]
    assert predict_from(data, run, monkeypatch, capfdbinary, tmp_path) == (out, expected)


def test_predict_warns_of_nul_bytes(
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    run: str,
    model: Shouting,
) -> None:
    out, warned = predict_from(b"a\nb\0c\n", run, monkeypatch, capfdbinary, tmp_path)
    assert out == b"A\nB\0C\n"
    assert warned == ["line 2: holds NUL bytes"]


def test_predict_asks_in_groups_and_keeps_the_order(
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    run: str,
    model: Shouting,
) -> None:
    lines = [f"line {number} {'x' * (number % 300)}" if number % 7 else "" for number in range(1000)]
    lines[500] = "x" * 200_000
    out, warned = predict_from("\n".join(lines).encode(), run, monkeypatch, capfdbinary, tmp_path)
    assert out.decode().split("\n") == [line.upper() for line in lines] + [""]
    assert warned == []
    assert max(map(len, model.asked)) <= GROUP
    assert len(model.asked) < 1000 / GROUP * 3


def too_long(lines: list[str], cut: bool = False) -> list[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > 3:
            warnings.warn(f"text {number} has {len(line)} pieces, more than 3", UserWarning, stacklevel=2)
    return lines


def test_a_model_s_warning_names_the_line_of_the_input(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, run: str
) -> None:
    use_model(monkeypatch, lambda path: types.SimpleNamespace(predict=too_long))
    lines = ["", *["ab"] * 100, "", "long", "ab", "", "longer", "long"]
    out, warned = predict_from("\n".join(lines).encode(), run, monkeypatch, capfdbinary, tmp_path)
    assert out.decode().split("\n") == [*lines, ""]
    assert warned == [
        "line 103 has 4 pieces, more than 3",
        "line 106 has 6 pieces, more than 3",
        "line 107 has 4 pieces, more than 3",
    ]


def test_a_warning_names_the_text_of_the_command_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    use_model(monkeypatch, lambda path: types.SimpleNamespace(predict=too_long))
    assert main(["predict", run, "a", "", "long", "\udcff"]) == 0
    out, err = capfd.readouterr()
    assert out == "a\n\nlong\n\ufffd\n"
    assert err.splitlines() == [
        "keras-transformer: warning: text 4: not UTF-8: its wrong bytes are read as U+FFFD",
        "keras-transformer: warning: text 3 has 4 pieces, more than 3",
    ]


def test_an_answer_with_line_ends_stays_one_line(
    capfd: pytest.CaptureFixture[str], run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = types.SimpleNamespace(predict=lambda lines: [f"{line}\n{line}" for line in lines])
    use_model(monkeypatch, lambda path: stand_in)
    assert main(["predict", run, "a", "b"]) == 0
    assert capfd.readouterr().out == "a a\nb b\n"


@pytest.mark.parametrize("unanswered", ["", "null"])
def test_a_line_that_is_too_long_for_the_memory_is_left_out(unanswered: str) -> None:
    def predict(texts: list[str]) -> list[list[str]]:
        if sum(map(len, texts)) > 30:
            raise MemoryError
        return [[text.upper()] for text in texts]

    told: list[str] = []
    answers = Answers(predict, told.append, unanswered=unanswered)
    assert list(answers.to([[b"one", 40 * b"two", b"three"], [b"four"]])) == [["ONE", unanswered, "THREE"], ["FOUR"]]
    assert told == ["line 2: not answered: it is too long for the memory; cut it, or give --cut"]


def test_errors_of_memory_are_told_from_others() -> None:
    import tensorflow as tf

    assert is_out_of_memory(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))
    assert is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes"))
    assert not is_out_of_memory(ValueError("no such label"))


def test_lines_are_read_as_they_arrive() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as stream, open(writer, "wb", buffering=0) as pipe:
        groups = read_groups(stream)
        pipe.write(b"one\ntw")
        assert next(groups) == [b"one"]
        pipe.write(b"o\nthree\nfour")
        assert next(groups) == [b"two", b"three"]
        pipe.close()
        assert list(groups) == [[b"four"]]


STAND_IN = """
import sys, types, keras_transformer
from keras_transformer.cli import discovery, main
keras_transformer.load = lambda path: types.SimpleNamespace(predict=lambda lines: [line.upper() for line in lines])
sys.exit(main(sys.argv[1:]))
"""


def start(run: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", STAND_IN, "predict", run], stdin=-1, stdout=-1, stderr=-1, bufsize=0, **options
    )


def test_a_pipe_is_answered_line_by_line(run: str) -> None:
    with start(run, env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for text in ("eins", "zwölf", ""):
            process.stdin.write(f"{text}\n".encode())
            assert process.stdout.readline().decode() == f"{text.upper()}\n"
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


def test_a_reader_that_leaves_is_no_error(run: str) -> None:
    with start(run) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"eins\n")
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"zwei\n")
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("argv", [["--help"], ["predict", "runs/mine", "a"]])
def test_a_full_disk_is_one_line(run: str, argv: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", STAND_IN, *argv], stdout=full, stderr=-1, timeout=60)
    assert done.stderr == b"keras-transformer: error: reading or writing: No space left on device\n"
    assert done.returncode == 2


# What else can happen while a command runs


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("one\ntwo"), 2, "error: one\nkeras-transformer: error: two"),
        (FileNotFoundError(2, "No such file or directory", "a.tsv"), 2, "error: a.tsv: No such file or directory"),
        (OSError(28, "No space left on device"), 2, "error: reading or writing: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            TypeError("odd\nlines"),
            1,
            "internal error: TypeError: odd (KERAS_TRANSFORMER_TRACEBACK=1 shows where)",
        ),
    ],
)
def test_errors_while_a_command_runs(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recipes: Path,
    error: BaseException,
    status: int,
    message: str,
) -> None:
    def fail(config: Config) -> None:
        raise error

    monkeypatch.setattr(sys.modules["keras_transformer.recipes.translation"], "main", fail)
    assert main(["train", "translation"]) == status
    assert capfd.readouterr() == ("", f"keras-transformer: {message}\n")
    monkeypatch.setenv("KERAS_TRANSFORMER_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["train", "translation"])


def test_warnings_are_one_line_each_and_never_dropped(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    def load(path: str) -> Shouting:
        for _ in range(2):
            warnings.warn_explicit("too long", UserWarning, "model.py", 3, module="keras_transformer.training.run")
        return Shouting()

    use_model(monkeypatch, load)
    assert main(["predict", run, "a"]) == 0
    assert capfd.readouterr() == ("A\n", "keras-transformer: warning: too long\n" * 2)


# TensorFlow's start


def test_noise_is_told_from_news() -> None:
    noise = textwrap.dedent("""\
        WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
        I0000 00:00:1795216548.065896    4710 port.cc:153] oneDNN custom operations are on.
        I0000 00:00:1795216548.068169    4710 cudart_stub.cc:31] Could not find cuda drivers on your machine
        INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
    """)
    failure = "E0000 00:00:1795216564.044337    4775 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)\n"
    assert without_noise(noise + failure) == ""
    assert without_noise(failure) == failure
    assert without_noise(f"{noise}ImportError: libfoo\nW0000 00:00:1 1 a.cc:1] careful\n") == (
        "ImportError: libfoo\nW0000 00:00:1 1 a.cc:1] careful\n"
    )


def test_tensorflow_starts_quietly() -> None:
    code = """
        import os, sys
        from keras_transformer._quiet import quiet_tensorflow
        quiet_tensorflow()
        assert "tensorflow" not in sys.modules
        print("before", file=sys.stderr, flush=True)
        import tensorflow as tf
        os.write(2, b"after %d\\n" % int(tf.constant(1) + 1))
    """
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr == "before\nafter 2\n"


# Every recipe that is here


@pytest.mark.parametrize("task", discovery.recipe_names())
def test_every_recipe_explains_its_fields(task: str, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = __import__(f"keras_transformer.recipes.{task}", fromlist=["Config"])
    assert [item.key for item in fields_of(recipe.Config) if not item.help] == []
    assert main(["train", task, "--help"]) == 0
    assert describe(recipe.Config) in capfd.readouterr().out
