"""Tasks that give every word of a text a label: tagging."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from keras_transformer.data.conll import tags_in, words_of
from keras_transformer.export.artifact import Artifact
from keras_transformer.export.label_task import LabelOptions
from keras_transformer.export.tag_artifact import TagArtifact, TaggedWords
from keras_transformer.export.tag_page import PAGE
from keras_transformer.export.task import Page, Task
from keras_transformer.tags import OUTSIDE
from keras_transformer.text.words import join_words
from keras_transformer.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from keras_transformer.export.tag_export import TagExport

FIELDS = ("text", "tags")  # of the rows of a test split
Example = tuple[str, list[int], list[str]]  # a text, where its words begin, their tags


class TagTask(Task):
    """A task from a text to tagged words; see `Task`."""

    Options: ClassVar[type] = LabelOptions
    File: ClassVar[type[Artifact]] = TagArtifact
    page: ClassVar[Page] = PAGE

    def export(self, run: RunDirectory, config: Mapping[str, Any], options: LabelOptions, limit: int) -> TagExport:
        """Loads a run; see `Task.export`."""
        from keras_transformer.export.tag_export import TagExport
        from keras_transformer.predictors import load

        predictor = load(run.path)
        examples = examples_of(run.read_rows("test", FIELDS)[:limit], predictor.words)
        return TagExport(self, predictor, config, examples, options)

    def answerer(self, run: RunDirectory, settings: Mapping[str, Any]) -> Callable[[list[str]], object]:
        """Returns the tagging of texts by a run; see `Task.answerer`."""
        from keras_transformer.predictors import load

        predictor = load(run.path)
        return lambda texts: predictor.annotate(texts, cut=True)

    def read(self, spec: str, artifact: Any, columns: Sequence[Any] | None = None) -> list[Any]:
        """Reads sentences with their tags, in CoNLL columns; see `Task.read`."""
        from keras_transformer.data import read_tagged

        return examples_of((row.fields for row in read_tagged(spec, columns)), artifact.settings.get("words", "space"))

    def file_scores(
        self, artifact: Any, answers: Sequence[Any], examples: Sequence[Any], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the F1 of entities and so on; see `tag_scores` and `Task.file_scores`."""
        return scores_of(answers, examples)


def examples_of(rows: Iterable[Sequence[str]], rule: Any) -> list[Example]:
    """Returns sentences as `join_words` makes texts of them, where their words begin, and their tags.

    Args:
        rows: words separated by spaces, and tags separated by tabs.
        rule: how a text is parted into words.
    """
    found = []
    for words, tags in rows:
        text, starts = join_words(words_of(words), rule)
        found.append((text.decode("utf-8"), starts, tags_in(tags)))
    return found


def scores_of(answers: Sequence[TaggedWords], examples: Sequence[Example]) -> dict[str, Any]:
    """Returns the scores of answers, see `tag_scores`.

    A word of an example has the tag of the word of the answer in which its first byte lies.
    """
    from keras_transformer.tag_scores import tag_scores

    outputs = [tags_at(answer, starts) for answer, (_, starts, _) in zip(answers, examples, strict=True)]
    return tag_scores(outputs, [tags for _, _, tags in examples])


def tags_at(answer: TaggedWords, starts: Sequence[int]) -> list[str]:
    """Returns the tag at each of some bytes, `O` where there is no word; see `scores_of`.

    Example:
        ```python
        tags_at(TaggedWords(("B-PER", "O"), ((0, 4), (5, 8)), 0), [0, 5])  # ["B-PER", "O"]
        ```
    """
    begins, found = [start for start, _ in answer.words], []
    for byte in starts:
        place = bisect_right(begins, byte) - 1
        is_inside = place >= 0 and byte < answer.words[place][1]
        found.append(answer.tags[place] if is_inside else OUTSIDE)
    return found
