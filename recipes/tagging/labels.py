"""The tags that a model learns, and what they are of a sentence, byte by byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_transformer._files import write_json
from keras_transformer.data.conll import tags_in
from keras_transformer.data.encoder_batches import NO_LABEL
from keras_transformer.data.rows import Row
from keras_transformer.errors import UserError
from keras_transformer.label_names import checked_labels
from keras_transformer.recipe_kit import say
from keras_transformer.tags import OUTSIDE, Scheme, converted, split_tag
from keras_transformer.text.words import Rule, join_words
from keras_transformer.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Labels:
    """What the outputs of a tagger stand for.

    Attributes:
        names: the tags, in the order of the model's outputs.
        scheme: that they are of.
        words: how the text that the model is given later is parted into words.
    """

    names: tuple[str, ...]
    scheme: Scheme
    words: Rule

    @classmethod
    def learn(cls, rows: Sequence[Row], scheme: Scheme, words: Rule) -> Labels:
        """Returns the tags that occur in rows of words and BIO tags, in this scheme, `O` the first.

        Raises:
            UserError: there is only one.
        """
        found = {tag for row in rows for tag in converted(tags_in(row.fields[1]), scheme)}
        if len(found) < 2:
            raise UserError(
                f"all {len(rows):,} training sentences together have but one tag, {', '.join(found)}: there is nothing "
                "to learn; give data with entities, or the column of the tags with --columns"
            )
        return cls((OUTSIDE, *sorted(found - {OUTSIDE})), scheme, words)

    @classmethod
    def load(cls, run: RunDirectory) -> Labels:
        """Returns the labels of a run.

        Raises:
            UserError: they are damaged.
        """
        saved = run.read_json(run.labels)
        try:
            return cls(tuple(checked_labels(saved["labels"])), saved["scheme"], saved["words"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{run.labels} is damaged: {type(error).__name__}: {error}") from None

    def save(self, run: RunDirectory) -> None:
        """Writes them to `labels.json`."""
        write_json(run.labels, {"labels": list(self.names), "scheme": self.scheme, "words": self.words})

    def text(self, words: Sequence[str]) -> str:
        """Returns a sentence as the model reads it."""
        return join_words(words, self.words)[0].decode()

    def of_bytes(self, words: Sequence[str], tags: Sequence[str]) -> np.ndarray:
        """Returns the label of every byte of a sentence: of the first of each word its own, of others `NO_LABEL`.

        A tag that cannot be, such as `E-PER` where training has but persons of one name, has none either.
        """
        numbers = {tag: number for number, tag in enumerate(self.names)}
        text, starts = join_words(words, self.words)
        found = np.full(len(text), NO_LABEL, np.int32)
        found[starts] = [numbers.get(tag, NO_LABEL) for tag in converted(tags, self.scheme)]
        return found

    def tell(self, splits: Mapping[str, Sequence[Row]]) -> None:
        """Says what in the data a score cannot be read without: labels never trained on, sentences tagged twice."""
        known = {split_tag(tag)[1] for tag in self.names}
        for split in ("validation", "test"):
            tags = (split_tag(tag)[1] for row in splits[split] for tag in tags_in(row.fields[1]))
            unknown = Counter(label for label in tags if label not in known)
            if unknown:
                told = ", ".join(f"{label!r} ({count:,})" for label, count in unknown.most_common(5))
                say(f"warning: words of the {split} sentences have labels that are not trained on: {told}")
        versions: dict[str, str] = {}
        twice = [row for row in splits["train"] if versions.setdefault(row.fields[0], row.fields[1]) != row.fields[1]]
        if twice:
            count = len({row.fields[0] for row in twice})
            say(f"training sentences that stand with different tags: {count:,}, the first again at {twice[0].place}")
