"""Scores of summaries: against rouge-score itself and against counts by hand."""

from __future__ import annotations

import pytest

from keras_transformer.errors import UserError
from keras_transformer.summaries import ROUGE, SummaryScorer, lead, sentences_of

DOCUMENT = "The pump leaks. The crew came at noon. It was raining. The pump runs again."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Smith is ill. He stays in bed.", ["Mr. Smith is ill.", "He stays in bed."]),
        ('Who? "I do." Yes! Well… Fine.', ["Who?", '"I do."', "Yes!", "Well…", "Fine."]),
        ("J. R. Doe met Dr. Who at St. Mary. Then he left.", ["J. R. Doe met Dr. Who at St. Mary.", "Then he left."]),
        ("one line\n\nanother. line", ["one line", "another. line"]),
        ("3.5 degrees at 12.30 o'clock. 4 degrees.", ["3.5 degrees at 12.30 o'clock.", "4 degrees."]),
        ("今日は雨です。明日は晴れです。", ["今日は雨です。", "明日は晴れです。"]),
        ("no end", ["no end"]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences_of(text) == expected


def test_lead() -> None:
    assert lead(DOCUMENT) == "The pump leaks.\nThe crew came at noon.\nIt was raining."
    assert lead("") == ""


def test_rouge_is_that_of_the_library() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    summary, reference = "The crew repaired the pump. It was raining.", "It rained. The pump was repaired by crews."
    found = SummaryScorer([[reference]]).scores([summary])
    separate = ["The crew repaired the pump.\nIt was raining.", "It rained.\nThe pump was repaired by crews."]
    expected = RougeScorer(list(ROUGE), use_stemmer=True).score(separate[1], separate[0])
    assert {name: found[name] for name in ROUGE} == {
        name: round(100 * score.fmeasure, 2) for name, score in expected.items()
    }
    assert found["rougeLsum"] != found["rougeL"]
    assert found["rouge_options"].startswith(
        "nrefs:1|multi:best|measure:f1|words:latin|stemmer:yes|version:rouge-score"
    )
    assert "lead3" not in found


def test_the_best_of_several_references_counts() -> None:
    scorer = SummaryScorer([["A pump leaks.", "The crane stopped."], ["No."]])
    found = scorer.scores(["The crane stopped.", "Yes."])
    assert (found["rouge1"], found["exact_match"], found["summaries"]) == (50.0, 50.0, 2)
    assert found["rouge_options"].startswith("nrefs:2|")


def test_words_of_other_scripts() -> None:
    """ROUGE as published has no letters but a to z."""
    references, summaries = [["насос течёт"]], ["насос течёт сильно"]
    assert SummaryScorer(references).scores(summaries)["rouge1"] == 0
    found = SummaryScorer(references, words="unicode").scores(summaries)
    assert found["rouge1"] == 80.0
    assert "words:unicode|stemmer:no" in found["rouge_options"]


def test_what_is_said_of_documents() -> None:
    scorer = SummaryScorer([["The pump leaks."]], [DOCUMENT])
    found = scorer.scores(["The crew leaks today."])
    assert found["lead3"] == SummaryScorer([["The pump leaks."]]).rouge([lead(DOCUMENT)])
    assert found["lead3"]["rouge1"] == pytest.approx(100 * 2 * (3 / 11) / (1 + 3 / 11), abs=0.01)
    assert found["compression"] == 3.75  # 15 words for 4
    assert found["reference_compression"] == 5.0
    assert (found["novel_1grams"], found["novel_2grams"], found["novel_3grams"]) == (25.0, 66.67, 100.0)
    assert found["reference_novel_3grams"] == 0.0


def test_empty_texts() -> None:
    found = SummaryScorer([["A pump."], ["A pump leaks."]], ["", "A pump leaks."]).scores(["", ""])
    assert found["rouge1"] == 0.0
    assert found["compression"] == 0.0
    assert found["novel_1grams"] == 0.0


def test_numbers_that_differ() -> None:
    with pytest.raises(UserError, match=r"^scores want references for every document; received 0 for none$"):
        SummaryScorer([])
    with pytest.raises(UserError, match=r"^scores want references for every document; received 1 for 2$"):
        SummaryScorer([["a"]], ["b", "c"])
    with pytest.raises(UserError, match=r"^scores want a reference for every document; document 2 has none$"):
        SummaryScorer([["a"], []])
    with pytest.raises(UserError, match=r"^2 summaries, but there are references for 1$"):
        SummaryScorer([["a"]]).scores(["a", "b"])
