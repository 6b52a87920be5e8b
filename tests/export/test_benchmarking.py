"""What `benchmark` measures and prints: tables, operators, profiles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.cli import main
from keras_transformer.errors import UserError
from keras_transformer.export import profiling
from keras_transformer.export.benchmark_text import benchmark_text, text_table
from keras_transformer.export.flatbuffer import operators, read_model
from keras_transformer.export.operators import operators_of
from keras_transformer.export.profiling import profile, read_summary
from keras_transformer.generation import TextToText

SUMMARY = """\
============================== Run Order ==============================
\t             [node type]\t  [start]\t [first]\t [avg ms]\t [%]\t [cdf%]\t [mem KB]\t[times called]\t[Name]
\t                     ADD\t    0.000\t   0.002\t    0.004\t 0.002%\t 0.002%\t    0.000\t             4\t[Builtin]:0

============================== Summary by node type ==============================
\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]
\t                   WHILE\t        1\t    10.000\t    50.000%\t    50.000%\t     0.000\t         4
\tDelegate/Fully Connected (NC, F32) GEMM\t  3\t  0.100\t    40.000%\t    90.000%\t     0.000\t        60
\t                     ADD\t        2\t     0.000\t    10.000%\t   100.000%\t     0.000\t         8

Timings (microseconds): count=40 curr=80000
Memory (bytes): count=0
"""


# Operators


def test_operators_are_those_of_the_file(artifact_path: Path, predictor: TextToText) -> None:
    model = read_model(artifact_path / "model.tflite")
    found = operators_of(model)
    assert set(found) == {"translate", "encode", "decode_step", "detokenize"}
    counted = operators(model)
    whole = sum(sum(part.values()) for part in counted.values())
    assert sum(entry["count"] for signature in found.values() for entry in signature.values()) == whole
    assert found["translate"]["WHILE"]["count"] >= 1
    assert "WHILE" not in found["decode_step"]
    weights = 4 * predictor.model.count_params()
    size = (artifact_path / "model.tflite").stat().st_size
    for name, least in (("translate", weights), ("detokenize", 0)):
        held = sum(entry["weight_bytes"] for entry in found[name].values())
        assert least <= held < size
    order = [entry["weight_bytes"] for entry in found["translate"].values()]
    assert order == sorted(order, reverse=True)


# Profiles


def test_a_summary_is_read() -> None:
    assert read_summary(SUMMARY, 4) == [
        {"operator": "Fully Connected (NC, F32) GEMM", "delegate": True, "calls": 15, "ms": 8.0, "percent": 80.0},
        {"operator": "ADD", "delegate": False, "calls": 2, "ms": 2.0, "percent": 20.0},
    ]


@pytest.mark.parametrize("part", ["Timings", "Summary by node type"])
def test_a_summary_of_another_form(part: str) -> None:
    assert read_summary(SUMMARY.replace(part, "Something else"), 4) == []


def test_a_profile_has_the_operators_of_the_loop(artifact_path: Path) -> None:
    found = profile(artifact_path / "model.tflite", "translate", [b"a man", b"the bike"], runs=2)
    calls = {row["operator"]: row["calls"] for row in found}
    fully_connected = next(name for name in calls if "Fully Connected" in name or name == "FULLY_CONNECTED")
    assert calls[fully_connected] > 20, "of each step of the search"
    assert not {"WHILE", "IF"} & set(calls)
    assert sum(row["percent"] for row in found) == pytest.approx(100, abs=1)
    assert [row["ms"] for row in found] == sorted((row["ms"] for row in found), reverse=True)


def test_a_profile_of_no_signature(artifact_path: Path) -> None:
    message = r"model\.tflite: this version of ai-edge-litert gives no profile \(no signature x\); leave --profile out$"
    with pytest.raises(UserError, match=message):
        profile(artifact_path / "model.tflite", "x", [b"a"])


def test_a_litert_that_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "run_module", lambda *_: (-11, ""))
    with pytest.raises(UserError, match=r"gives no profile \(the process ended with status -11\)"):
        profile(Path("x.tflite"), "translate", [b"a"])


# On the command line


def test_tables(artifact_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(artifact_path), "--operators", "--profile"]) == 0
    out = capsys.readouterr().out
    assert re.match(rf"{re.escape(str(artifact_path))}: translation; .+, one thread\n", out)
    head, *rows = re.findall(r"^(?:precision|float32|int8) .*$", out, re.MULTILINE)
    assert head.split("  ")[0] == "precision"
    assert "bleu at export" in head
    for row, file in zip(rows, ("model.tflite", "model.int8.tflite"), strict=True):
        numbers = r" +\d+\.\d\d" * 5 + r"(?: +\d+\.\d)?"
        inputs = re.fullmatch(rf"\w+ +{re.escape(file)}{numbers} +(\d+) of (\d+)", row)
        assert inputs is not None, row
        assert inputs[1] == inputs[2]
    for file in ("model.tflite", "model.int8.tflite"):
        assert f"Time of {file}, operator by operator, milliseconds for one text" in out
        for signature in ("translate", "decode_step"):
            assert f"Operators of {file}, signature {signature}\n" in out


def test_json(artifact_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(artifact_path), "--json", "--operators"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "translation"
    measured = found["precisions"]["int8"]
    assert measured["file"] == "model.int8.tflite"
    assert measured["reported"] == {"bleu": pytest.approx(measured["reported"]["bleu"])}
    assert measured["operators"]["translate"]["WHILE"]["count"] >= 1
    assert "profile" not in measured


def test_a_table() -> None:
    rows = [["ADD", "12"], ["FULLY_CONNECTED", "3"]]
    assert text_table(["operator", "count"], rows).splitlines() == [
        "operator         count",
        "ADD                 12",
        "FULLY_CONNECTED      3",
    ]


def test_long_lists_end_with_the_others() -> None:
    rows = [{"operator": f"O{n}", "delegate": n == 0, "calls": 1.0, "ms": 0.5, "percent": 5.0} for n in range(20)]
    named = {f"O{n}": {"count": 2, "weight_bytes": 1000} for n in range(20)}
    measured: dict[str, Any] = {
        "file": "model.tflite",
        "file_bytes": 10,
        "load_ms": 1.0,
        "median_ms": 1.0,
        "p90_ms": 1.0,
        "golden_inputs": 1,
        "golden_equal": 1,
        "reported": {"accuracy": None},
        "profile": rows,
        "operators": {"classify": named},
    }
    result = {"folder": "dist", "task": "classification", "processor": "x", "precisions": {"float32": measured}}
    text = benchmark_text(result)
    assert re.search(r"^O0 +XNNPACK +1\.0 +0\.500 +5\.0$", text, re.MULTILINE)
    assert re.search(r"^5 others +5\.0 +2\.500 +25\.0$", text, re.MULTILINE)
    assert re.search(r"^5 others +10 +5\.0$", text, re.MULTILINE)
    assert re.search(r"^all +40 +20\.0$", text, re.MULTILINE)
