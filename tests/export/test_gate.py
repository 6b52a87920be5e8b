"""A precision that loses too much is left out, unless it is forced."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.errors import UserError
from keras_transformer.export import ExportError, export_run, open_artifact, run
from keras_transformer.export.checks import check_depends_on_source
from keras_transformer.export.gate import Gate, losses, raise_refusals
from keras_transformer.export.preparing import _keep_origin
from keras_transformer.training import RunDirectory
from tests.export.conftest import MAX_SOURCE_BYTES, MAX_TARGET_BYTES, read_json

RESULTS = {"float32": {"bleu": 40.0}, "int8": {"bleu": 39.75}, "int4": {"bleu": 38.5}, "float16": {"bleu": 40.1}}


def test_what_is_refused() -> None:
    assert losses(RESULTS, "bleu") == {"int8": 0.25, "int4": 1.5, "float16": -0.1}
    assert Gate().refused(RESULTS, "bleu") == {"int4": 1.5}
    assert Gate(max_loss=0.25).refused(RESULTS, "bleu") == {"int4": 1.5}, "what is just allowed is allowed"
    assert list(Gate(max_loss=0).refused(RESULTS, "bleu")) == ["int8", "int4"]
    with pytest.raises(UserError, match=r"^max_loss is -0.1, expected 0 or more$"):
        Gate(max_loss=-0.1)


def test_a_run_trained_for_few_bits_is_compared_with_its_origin() -> None:
    origin = {"bleu": 40.2}
    assert losses(RESULTS, "bleu", origin) == {"float32": 0.2, "int8": 0.45, "int4": 1.7, "float16": 0.1}
    assert Gate().refused(RESULTS, "bleu", origin) == {"int8": 0.45, "int4": 1.7}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, artifact_path: Path, run_path: Path, tmp_path: Path) -> Any:
    """Exports the run of the fixture with files made before; of int8 every other score is less."""

    def copy(saved_model: Path, signatures: list[str], outputs: dict[str, Path], log: Path) -> None:
        for path in outputs.values():
            shutil.copy(artifact_path / path.name, path)

    def less(results: Any, headline: str, origin: Any = None) -> dict[str, float]:
        results["float32"][headline], results["int8"][headline] = 30.0, 25.75
        if origin:
            origin[headline] = 30.5
        return losses(results, headline, origin)

    monkeypatch.setattr(run, "convert", copy)
    monkeypatch.setattr("keras_transformer.export.report.losses", less)
    no_time = {"ms_per_sentence": None, "file_bytes": 1}
    monkeypatch.setattr("keras_transformer.export.report._keras_time", lambda *_: no_time)
    monkeypatch.setattr("keras_transformer.export.report.peak_memory", lambda *_: None)
    room = {"max_source_bytes": MAX_SOURCE_BYTES, "max_target_bytes": MAX_TARGET_BYTES, "test_limit": 4}

    def export(*precisions: str, run: Path = run_path, **more: Any) -> dict[str, Any]:
        return export_run(run, tmp_path / "dist", precisions, **room, **more)

    return export


def test_a_refused_precision_is_left_out_and_told(quick: Any, tmp_path: Path) -> None:
    report = quick("float32", "int8")
    folder = tmp_path / "dist"
    assert report == read_json(folder / "report.json")
    assert list(report["results"]) == ["keras", "float32"]
    assert report["gate"]["refused"]["int8"]["loss"] == 4.25
    assert not (folder / "model.int8.tflite").exists()
    assert list(read_json(folder / "manifest.json")["precisions"]) == ["float32"]
    assert set(read_json(folder / "golden.json")["inputs"][0]["answers"]) == {"float32"}
    told = "int8 has 25.75 bleu, 4.25 less than float32, more than the 0.3 allowed"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "**Left out**: int8 has 25.75 bleu, 4.25 less than float32" in readme
    mend = (
        "to have it all the same, give --force-precision, or a larger --max-loss; to have it lose less, train the "
        "model for it: keras-transformer quantize-train runs/mine --output runs/mine-int8 --precision int8"
    )
    with pytest.raises(UserError, match=rf"^{told}: left out of my/dist\n{mend}$"):
        raise_refusals(report, "runs/mine", "my/dist")


def test_nothing_is_made_where_nothing_is_left(quick: Any, tmp_path: Path) -> None:
    told = r"^int8 has 25.75 bleu, 4.25 less than float32, more than the 0.3 allowed\nto have it all the same"
    with pytest.raises(ExportError, match=told):
        quick("int8")
    assert not list(tmp_path.iterdir())


def test_a_forced_precision_is_kept_and_told(quick: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = quick("int8", force_precision=True)
    assert list(report["results"]) == ["keras", "int8"], "float32 was not asked for"
    assert report["gate"] == {"max_loss": 0.3, "forced": ["int8"], "refused": {}}
    readme = (tmp_path / "dist" / "README.md").read_text(encoding="utf-8")
    assert "**Kept by force**: int8 has" in readme
    assert "forced: int8 has" in capfd.readouterr().err
    assert open_artifact(tmp_path / "dist").path.name == "model.int8.tflite"
    raise_refusals(report, "runs/mine", "dist")  # nothing was left out


def test_what_is_told_of_a_run_trained_for_few_bits(quick: Any, run_path: Path, tmp_path: Path) -> None:
    few = shutil.copytree(run_path, tmp_path / "few")
    _keep_origin(RunDirectory(run_path), RunDirectory(RunDirectory(few).origin))
    with pytest.raises(ExportError, match=r"^int8 has 25.75 bleu, 4.75 less than the run it was trained from, more"):
        quick("int8", run=few)
    report = quick("float32", "int8", run=few, max_loss=0.5)
    assert report["gate"]["origin"]["bleu"] == 30.5
    assert (report["results"]["float32"]["loss"], report["gate"]["refused"]["int8"]["loss"]) == (0.5, 4.75)
    readme = (tmp_path / "dist" / "README.md").read_text(encoding="utf-8")
    assert "Before that Keras had 30.50 bleu in float32" in readme
    with pytest.raises(UserError, match=r"to have it lose less, give quantize-train more --steps, or train a larger"):
        raise_refusals(report, "runs/few", "dist")


# That the encoder is kept


def test_answers_change_with_their_sources(artifact_path: Path) -> None:
    """Shuffled sources give the shuffled answers, which are others."""
    float32, int8 = (open_artifact(artifact_path, name) for name in ("float32", "int8"))
    sources = [b"a man", b"the bike", b"red Haus", b"12 rides a man.", b"und", b"a red bike rides"]
    whole, found = ([file.run(source).text for source in sources] for file in (float32, int8))
    assert len(set(whole)) >= 4
    check_depends_on_source("int8", found, whole)
    shuffled = [int8.run(source).text for source in sources[::-1]]
    assert shuffled == found[::-1]
    assert sum(a != b for a, b in zip(shuffled, found, strict=True)) >= 3


def test_a_file_that_lost_its_encoder() -> None:
    whole = [b"one", b"two", b"two", b"three", b"four"]
    check_depends_on_source("x", whole, whole)
    check_depends_on_source("x", [b"one", b"2", b"2", b"two", b"two"], whole)
    message = r"^x: it does not read its sources: 2 of 3 answers are those to another source, where float32 has others$"
    with pytest.raises(ExportError, match=message):
        check_depends_on_source("x", [b"one", b"one", b"one", b"one", b"two"], whole)
