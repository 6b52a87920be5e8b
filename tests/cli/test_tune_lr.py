"""`keras-transformer tune-lr`: the curve it shows and writes, and that no run is left behind."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from keras_transformer.cli import main
from keras_transformer.cli.tune_lr import table

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

MICRO = [
    *("--model.num_encoder_layers", "1", "--model.num_decoder_layers", "1", "--model.hidden_dim", "8"),
    *("--model.intermediate_dim", "8", "--model.num_heads", "2", "--training.batch_tokens", "256"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.tsv"
    path.write_text("".join(f"{i} men see {2 * i} dogs\t{i} Mann sehen {2 * i} Hunde\n" for i in range(60)))
    return path


def test_the_curve_and_nothing_else(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    sweep = ["--lowest", "1e-4", "--highest", "0.1", "--sweep-steps", "20", "--output", "curve.json"]
    assert main(["tune-lr", "translation", "--data", str(corpus), *MICRO, *sweep]) == 0
    assert sorted(os.listdir(tmp_path)) == ["corpus.tsv", "curve.json", "temporary"]
    assert os.listdir(temporary) == []
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert len(curve["rates"]) == len(curve["losses"]) == 20
    assert curve["rates"][0] == 1e-4
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "learning rate   loss"
    assert f"--training.learning_rate {curve['suggestion']:.2g}\n" in shown


def test_the_table() -> None:
    rates = [10.0**-i for i in range(5, -1, -1)]
    lines = table(rates, [9.0, 9.0, 5.0, 1.0, 3.0, 8.0], rows=3)
    assert lines[1:] == [
        "     1.00e-05   9.00  ▏" + "█" * 40,
        "     1.00e-03   5.00  ▏" + "█" * 20,
        "     1.00e+00   8.00  ▏" + "█" * 35,
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--lowest", "much"],
            "argument --lowest: expected a number above 0, got 'much' (see `keras-transformer tune-lr tran",
        ),
        (["--sweep-steps", "3"], "steps of the sweep is 3, expected 20 or more"),
        (["--sweep-steps", "1.5"], "argument --sweep-steps: expected a whole number above 0, got '1.5'"),
        (["--highest", "inf"], "argument --highest: expected a number above 0, got 'inf'"),
        (["--output", ""], "--output: '' is no name, expected a file to write"),
        (["--output", "."], "--output: '.' is a folder, expected a file to write"),
        (["--highest", "1e-9"], "highest is 1e-09, expected more than lowest, 1e-05"),
        (["--output", "no/such/curve.json"], "--output: no folder 'no/such' to write 'no/such/curve.json' in"),
        (["--dta", "x"], "unknown flag '--dta'. Did you mean '--data' or"),
        (["--data", "corpsu.tsv"], "No file 'corpsu.tsv'. Did you mean 'corpus.tsv'?"),
    ],
)
def test_what_is_refused(
    flags: list[str], message: str, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.parent)
    assert main(["tune-lr", "translation", *flags]) == 2
    assert message in capsys.readouterr().err


def test_help_names_its_own_options_and_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune-lr", "translation", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: keras-transformer tune-lr translation [--config NAME]")
    assert all(flag in shown for flag in ("--lowest", "--sweep-steps", "--output", "--training.batch_tokens"))
    assert main(["tune-lr", "--data", "x", "translation"]) == 2
    assert "write keras-transformer tune-lr RECIPE --data ..." in capsys.readouterr().err
