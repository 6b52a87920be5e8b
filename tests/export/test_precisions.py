"""Every precision at once, from one float32 file, and what is reported of each."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.errors import UserError
from keras_transformer.export import benchmark, export_run, open_artifact, run
from keras_transformer.export.convert import REWRITES
from keras_transformer.export.flatbuffer import operators, read_model, write_model
from keras_transformer.export.observing import observe
from keras_transformer.export.precisions import BY_NAME, FILES, PRECISIONS, TRAINED
from keras_transformer.export.progress import Steps
from keras_transformer.export.slimming import slim
from keras_transformer.export.tasks import read_task
from keras_transformer.quantization import GRIDS
from keras_transformer.training import RunDirectory
from keras_transformer.training.config import QUANTIZE
from tests.export.conftest import MAX_SOURCE_BYTES, MAX_TARGET_BYTES, read_json, sentences
from tests.export.label_runs import write_label_run
from tests.export.tag_runs import write_tag_run

ROOM = {"max_source_bytes": MAX_SOURCE_BYTES, "max_target_bytes": MAX_TARGET_BYTES}


@pytest.fixture(scope="module")
def folder(artifact_path: Path, run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every precision; the float32 file is one that was converted before."""

    def rewrite(saved_model: Path, signatures: list[str], outputs: dict[str, Path], log: Path) -> None:
        for name, path in outputs.items():
            model = read_model(artifact_path / "model.tflite")
            if name != "float32":
                REWRITES[name](model)
            slim(model)
            write_model(model, path)

    path = tmp_path_factory.mktemp("every")
    shutil.copytree(run_path, path / "run")
    RunDirectory(path / "run").write_examples("validation", [(text, text) for text in sentences(12)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "convert", rewrite)
        patch.setattr("keras_transformer.export.quantizing.SMALLEST_BYTES", 1024)  # the model is tiny
        patch.setattr("keras_transformer.quantization.SMALLEST", 256)
        no_time = {"ms_per_sentence": None, "file_bytes": 1}
        patch.setattr("keras_transformer.export.report._keras_time", lambda *_: no_time)
        export_run(path / "run", path / "dist", PRECISIONS, max_loss=100, web=False, **ROOM)
    return path / "dist"


def test_all_are_there_and_reported(folder: Path) -> None:
    report, manifest = (read_json(folder / name) for name in ("report.json", "manifest.json"))
    assert list(report["results"]) == ["keras", *PRECISIONS]
    assert {name: entry["file"] for name, entry in manifest["precisions"].items()} == FILES
    for name in PRECISIONS:
        found = report["results"][name]
        assert found["file_bytes"] == (folder / FILES[name]).stat().st_size
        assert found["peak_memory_bytes"] > 0
        assert found["ms_per_sentence"] > 0
        assert 0 <= found["agreement_with_float32"] <= 100
        assert ("loss" in found) == (name != "float32")
    assert report["results"]["float16"]["agreement_with_float32"] >= 95
    sizes = [report["results"][name]["file_bytes"] for name in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True)


def test_the_readme_has_a_row_for_each(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for name, precision in BY_NAME.items():
        assert f"| {name} |" in readme
        assert f"| `{precision.file}` | {precision.weights} |" in readme
    assert "| as Keras, % | as float32, % | ms a sentence | MB | memory, MB |" in readme


def test_each_answers_and_is_what_it_says(folder: Path) -> None:
    counted = {name: sum(operators(read_model(folder / FILES[name])).values(), start=Counter()) for name in PRECISIONS}
    assert counted["float32"]["DEQUANTIZE"] == 0
    assert counted["int8_static"]["QUANTIZE"] > 4
    assert counted["int8"]["QUANTIZE"] == counted["int4"]["QUANTIZE"] == 0
    for name in PRECISIONS:
        assert open_artifact(folder, name).run(b"").text == b""


def test_benchmark_has_the_memory(folder: Path) -> None:
    for found in benchmark(folder)["precisions"].values():
        assert 0 < found["peak_memory_bytes"] < 100_000_000


def test_static_scales_want_a_validation_split(run_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"validation.jsonl"):
        export_run(run_path, tmp_path / "dist", ["int8_static"], **ROOM)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_label_run, write_tag_run])
def test_models_that_write_nothing_are_observed_too(write: Any, tmp_path: Path) -> None:
    directory = RunDirectory(write(tmp_path / "run"))
    task, config = read_task(directory)
    export = task.export(directory, config, task.options({}), 4)
    seen = observe(export.exported_model, export.model_inputs([*sentences(5), ""], Steps()))
    assert len(seen) == 4, "one block: attention has two, the feed-forward network two; the last one is left out"
    assert all(one.inputs[0] < one.inputs[1] for one in seen)


def test_what_can_be_trained_for_has_a_grid() -> None:
    assert set(TRAINED.values()) == set(GRIDS) == set(QUANTIZE)
    assert set(TRAINED) <= set(PRECISIONS)
