"""Where the scores and the corpus of an evaluation are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_transformer.config import save_config
from keras_transformer.generation import SearchOptions
from keras_transformer.recipes import translation
from tests.export.conftest import write_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning"),
]


def test_evaluations_do_not_overwrite_each_other(tmp_path: Path) -> None:
    run, corpora = write_run(tmp_path / "run"), []
    save_config(translation.Config(run=str(run), max_source_length=32, max_target_length=20), run / "config.yaml")
    assert translation.evaluate(str(run))["corpus"] == str(run / "evaluations" / "test.jsonl")
    for folder, target in [("one", "ein Mann"), ("two", "ein Hund")]:
        data = tmp_path / folder / "same.tsv"
        data.parent.mkdir()
        data.write_text(f"a man\t{target}\n")
        corpora.append(translation.evaluate(str(run), str(data))["corpus"])
    assert translation.evaluate(str(run), str(data))["corpus"] == corpora[-1], "the same again has the same place"
    for prefix in ("x" * 10 + "y", "x" * 10 + "z", "a ", "a_"):  # of which a name may hold a part only
        search = SearchOptions(prefix=prefix, forbidden=("n" * 60,))
        corpora.append(translation.evaluate(str(run), str(data), search=search)["corpus"])
    assert len({corpus.casefold() for corpus in corpora}) == len(corpora) == 6
    for corpus in corpora:
        assert Path(corpus).is_file()
        assert len(Path(corpus).name) < 150
