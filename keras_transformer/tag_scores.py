"""Scores of tags against references, by seqeval, and the baseline that any tagger has to beat."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from keras_transformer.errors import UserError
from keras_transformer.tags import OUTSIDE, converted

Tags = Sequence[str]


def tag_scores(outputs: Sequence[Tags], references: Sequence[Tags]) -> dict[str, Any]:
    """Returns scores of entities by seqeval (https://github.com/chakki-works/seqeval), 0 to 100.

    An entity is right if its words and its label are. Tags of either scheme are read as `keras_transformer.tags.spans`
    reads them, so that the scheme of a model has no part in its score.

    Args:
        outputs, references: the tags of each sentence, as many for each of its words.

    Returns: `f1`, `precision` and `recall` over all entities; `accuracy`, of words; `exact_match`, of sentences;
        `by_label`, the F1 of each; `entities`, `words`, `sentences` of the references; `seqeval`, its version.

    Raises:
        UserError: there is no sentence, or the numbers differ.

    Example:
        ```python
        tag_scores([["B-PER", "O"]], [["B-PER", "O"]])["f1"]  # 100.0
        ```
    """
    from importlib.metadata import version

    from seqeval.metrics import classification_report

    if not references or [len(tags) for tags in outputs] != [len(tags) for tags in references]:
        raise UserError(
            f"scores want as many tags as references, for each sentence; received {sum(map(len, outputs))} in "
            f"{len(outputs)} sentences and {sum(map(len, references))} in {len(references)}"
        )
    found, wanted = ([converted(tags, "bio") for tags in side] for side in (outputs, references))
    words = sum(map(len, wanted))
    equal = sum(one == other for tags in zip(found, wanted, strict=True) for one, other in zip(*tags, strict=True))
    scores: dict[str, Any] = {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    by_label: dict[str, float] = {}
    entities = 0
    if any(tag != OUTSIDE for side in (found, wanted) for tags in side for tag in tags):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of labels that only one side has: their score is 0
            report = classification_report(wanted, found, output_dict=True, zero_division=0)
        total = report["micro avg"]
        names = {"f1": "f1-score", "precision": "precision", "recall": "recall"}
        scores = {name: _percent(total[key]) for name, key in names.items()}
        by_label = {name: _percent(one["f1-score"]) for name, one in report.items() if not name.endswith(" avg")}
        entities = int(total["support"])
    return {
        **scores,
        "accuracy": _percent(equal / max(words, 1)),
        "exact_match": _percent(sum(map(list.__eq__, found, wanted)) / len(wanted)),
        "by_label": by_label,
        "entities": entities,
        "words": words,
        "sentences": len(wanted),
        "seqeval": version("seqeval"),
    }


def _percent(share: float) -> float:
    return round(100 * float(share), 2)


class MostFrequentTags:
    """The baseline: every word has the tag that it most often has in training, an unknown one the most frequent.

    Args:
        tags: word -> its tag; of words that are not there, `otherwise`.
        otherwise: the tag of all others.

    Example:
        ```python
        baseline = MostFrequentTags.learn([(["Anna", "slept"], ["B-PER", "O"])])
        baseline.tag(["Anna", "ate"])  # ["B-PER", "O"]
        ```
    """

    def __init__(self, tags: dict[str, str], otherwise: str):
        self.tags = tags
        self.otherwise = otherwise

    @classmethod
    def learn(cls, sentences: Iterable[tuple[Sequence[str], Tags]]) -> MostFrequentTags:
        """Counts the tags of each word; of those equally frequent, the first in the alphabet is taken."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        all_tags: Counter[str] = Counter()
        for words, tags in sentences:
            for word, tag in zip(words, tags, strict=True):
                counts[word][tag] += 1
                all_tags[tag] += 1
        otherwise = _most_frequent(all_tags)
        found = {word: _most_frequent(own) for word, own in counts.items()}
        return cls({word: tag for word, tag in found.items() if tag != otherwise}, otherwise)

    def tag(self, words: Sequence[str]) -> list[str]:
        """Returns the tags of a sentence."""
        return [self.tags.get(word, self.otherwise) for word in words]


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag))
