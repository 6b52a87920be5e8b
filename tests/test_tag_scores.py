"""Entity scores, and the baseline."""

from __future__ import annotations

import pytest

from keras_transformer.errors import UserError
from keras_transformer.tag_scores import MostFrequentTags, tag_scores


def tags(*sentences: str) -> list[list[str]]:
    return [sentence.split() for sentence in sentences]


def test_scores() -> None:
    wanted = tags("B-PER I-PER O B-LOC", "O O", "B-LOC O")
    found = tags("B-PER I-PER O B-PER", "O B-LOC", "B-LOC O")
    scores = tag_scores(found, wanted)
    assert scores.pop("seqeval").startswith("1.")
    assert scores == {
        "f1": 57.14,
        "precision": 50.0,
        "recall": 66.67,
        "accuracy": 75.0,
        "exact_match": 33.33,
        "by_label": {"LOC": 50.0, "PER": 66.67},
        "entities": 3,
        "words": 8,
        "sentences": 3,
    }


def test_the_scheme_has_no_part_in_the_score() -> None:
    wanted = tags("B-a I-a O B-b", "B-a")
    assert tag_scores(tags("B-a E-a O S-b", "S-a"), wanted) == tag_scores(wanted, wanted)
    assert tag_scores(tags("I-a I-a O I-b", "I-a"), wanted)["f1"] == 100.0
    assert tag_scores(tags("B-a B-a O B-b", "B-a"), wanted)["f1"] == pytest.approx(57.14)


def test_nothing_there() -> None:
    assert tag_scores(tags("O O"), tags("O O"))["f1"] == 0.0
    assert tag_scores(tags("O O"), tags("O O"))["accuracy"] == 100.0
    assert tag_scores(tags("O O"), tags("B-x O"))["by_label"] == {"x": 0.0}
    for found, wanted in ((tags(), tags()), (tags("O"), tags("O O")), (tags("O", "O"), tags("O O"))):
        with pytest.raises(UserError, match="scores want as many tags as references, for each sentence; received"):
            tag_scores(found, wanted)


def test_most_frequent_tags() -> None:
    sentences = [
        (["May", "slept"], ["B-PER", "O"]),
        (["May", "ate"], ["O", "O"]),
        (["May", "Lee"], ["B-PER", "I-PER"]),
        (["Lee", "x"], ["B-PER", "O"]),
    ]
    baseline = MostFrequentTags.learn(sentences)
    assert baseline.tag(["May", "Lee", "slept", "never"]) == ["B-PER", "B-PER", "O", "O"]
    assert baseline.tags == {"May": "B-PER", "Lee": "B-PER"}
    assert MostFrequentTags(**vars(baseline)).tag(["May"]) == ["B-PER"]
