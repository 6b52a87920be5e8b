"""Scores: those of sacreBLEU, with the signature that says how."""

from __future__ import annotations

import pytest
import sacrebleu

from keras_transformer.errors import UserError
from keras_transformer.scores import translation_scores

REFERENCES = ["Ein Mann fährt Fahrrad, schnell.", "Die Katze sitzt auf der Matte.", "Das ist ein Haus."]
OUTPUTS = ["Ein Mann fährt Rad, schnell.", "Die Katze sitzt auf der Matte.", "Dies ist ein Haus."]


def test_equal_to_sacrebleu() -> None:
    scores = translation_scores(OUTPUTS, REFERENCES)
    assert scores["bleu"] == round(sacrebleu.corpus_bleu(OUTPUTS, [REFERENCES]).score, 2)
    assert scores["chrf"] == round(sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES]).score, 2)
    assert scores["exact_match"] == 33.33
    assert scores["sentences"] == 3
    assert "tok:13a" in scores["bleu_signature"]
    assert "version:" in scores["bleu_signature"]
    assert "nc:6" in scores["chrf_signature"]


def test_tokenized_text_is_taken_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    outputs, references = ["ein mann , der geht ."] * 120, ["ein mann , der rennt ."] * 120
    scores = translation_scores(outputs, references, tokenized=True)
    assert "tok:none" in scores["bleu_signature"]
    assert scores["bleu"] == round(sacrebleu.corpus_bleu(outputs, [references], tokenize="none", force=True).score, 2)
    # "fährt,": one word or two
    plain, tokenized = (translation_scores(["a b c d e,"], ["a b c d e ,"], tokenized=flag) for flag in (False, True))
    assert plain["bleu"] == 100
    assert tokenized["bleu"] < 100
    assert capsys.readouterr().err == ""


def test_length_ratio_counts_words_as_bleu_does() -> None:
    assert translation_scores(["a b c , d"], ["a b, c, d, e"])["length_ratio"] == round(5 / 8, 3)
    assert translation_scores(["a b c , d"], ["a b, c, d, e"], tokenized=True)["length_ratio"] == 1
    assert translation_scores(["", ""], ["a", "b"])["length_ratio"] == 0


def test_perfect_and_empty() -> None:
    assert translation_scores(REFERENCES, REFERENCES)["bleu"] == 100
    nothing = translation_scores(["", "", ""], REFERENCES)
    assert (nothing["bleu"], nothing["chrf"], nothing["exact_match"]) == (0, 0, 0)


@pytest.mark.parametrize(("outputs", "references"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_numbers_that_do_not_fit(outputs: list[str], references: list[str]) -> None:
    message = f"scores want as many outputs as references; received {len(outputs)} and {len(references)}"
    with pytest.raises(UserError, match=message):
        translation_scores(outputs, references)
