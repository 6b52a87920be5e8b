"""Files of a model that copies and has a window of attention: they answer as Keras does, at once and by steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import keras_transformer
from keras_transformer.errors import UserError
from keras_transformer.export import open_artifact
from keras_transformer.export.ctranslate2_format import check_expressible
from keras_transformer.export.text_artifact import TextArtifact
from keras_transformer.generation import SearchOptions, TextToText
from tests.export.conftest import MAX_SOURCE_BYTES, export_searching, read_json, sentences, write_run

pytestmark = pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning")
SEARCH = SearchOptions(beam=3, length_penalty=1.0, coverage_penalty=0.1, no_repeat_ngram=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A summarizer whose run says how it searches."""
    path = write_run(
        tmp_path_factory.mktemp("runs") / "copying", seed=5, normalize_first=True, copy=True, attention_window=4
    )
    config = yaml.safe_load((path / "config.yaml").read_text())
    searching = {"beam": 3, "length_penalty": 1.0, "coverage_penalty": 0.1, "no_repeat_ngram": 3}
    config = {**config, "task": "summarization", "cut": True, "search": searching}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def copying(run: Path) -> TextToText:
    return keras_transformer.load(run)


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "copying"
    return export_searching(run, path, None, MAX_SOURCE_BYTES)


def test_the_search_is_that_of_the_run(copying: TextToText, folder: Path) -> None:
    assert copying.default_search == SEARCH
    manifest = read_json(folder / "manifest.json")
    assert {name: manifest["search"][name] for name in ("beam", "coverage_penalty", "no_repeat_ngram")} == {
        "beam": 3,
        "coverage_penalty": 0.1,
        "no_repeat_ngram": 3,
    }
    assert list(manifest["signatures"]) == ["summarize", "encode", "decode_step", "detokenize"]


def test_answers_are_those_of_keras(copying: TextToText, folder: Path) -> None:
    artifact, texts = open_artifact(folder), sentences(20)
    expected = copying.predict(texts)
    assert len(set(expected)) > 5
    assert artifact.predict(texts) == expected


def test_steps_are_those_of_keras(copying: TextToText, folder: Path) -> None:
    artifact = open_artifact(folder)
    assert isinstance(artifact, TextArtifact)
    step, memory = artifact._runner("decode_step"), artifact._runner("encode")(**artifact._source(b"a man rides"))
    assert {"memory_copy_keys", "memory_copy_ids"} <= set(memory)
    del memory["pieces"], memory["status"]
    memory["memory_copy_ids"][:, -1] = 10**6  # no piece, and padding: held, and copied by nobody
    details = step.get_input_details().items()
    cache = {name: np.zeros(d["shape"], d["dtype"]) for name, d in details if name.startswith("cache_")}
    ids, source = [1, 265, 30, 266], copying.tokenizer.encode("a man rides")[None]
    wanted = np.asarray(copying.model({"source_ids": source, "target_ids": np.array([ids], np.int32)}))[0]
    for index, last in enumerate(ids):
        cache = step(ids=np.array([last], np.int32), index=np.array([index], np.int32), **memory, **cache)
        assert cache.pop("status").tolist() == [0]
        np.testing.assert_allclose(cache.pop("logits")[0], wanted[index], atol=1e-3)


def test_ctranslate2_has_no_form_for_it(copying: TextToText) -> None:
    with pytest.raises(
        UserError, match=r"^CTranslate2 has no form for copying from the source, which this model has; "
    ):
        check_expressible(copying.model)
