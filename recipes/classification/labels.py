"""The labels of a data set: what they are, how often they occur, and what is odd about them.

Shapes: n texts, k labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from keras_transformer import data
from keras_transformer._files import write_json
from keras_transformer.errors import UserError, close_matches
from keras_transformer.label_names import checked_labels
from keras_transformer.label_references import (
    read_number,
    reference_array,
    split_labels,
    unknown_labels,
    warning_of_unknown,
)
from keras_transformer.recipe_kit import say
from keras_transformer.training.attention_picture import attention_picture
from keras_transformer.training.run_directory import RunDirectory

MOST_IN_PICTURE = 60  # labels of a confusion picture


@dataclass(frozen=True)
class Labels:
    """What the outputs of a classifier stand for; stored as `labels.json` in the run.

    Args:
        kind: "single", "multi" or "regression".
        names: of the labels in alphabetical order, or of the numbers of a regression.
        separator: what parts the labels of a text.
        counts: how many training texts have each label.
        texts: how many training texts there are.
        means, deviations: of each number of a regression, in training.
        temperature: what logits are divided by, once it is fitted.
    """

    kind: str
    names: tuple[str, ...]
    separator: str = "|"
    counts: tuple[int, ...] = ()
    texts: int = 0
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    temperature: float = 1.0
    numbers: dict[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self.numbers.update({name: i for i, name in enumerate(self.names)})

    @classmethod
    def load(cls, run: RunDirectory) -> Labels:
        """Reads the labels of a run.

        Raises:
            UserError: the file is missing or damaged.
        """
        saved = run.read_json(run.labels)
        try:
            names = tuple(checked_labels(saved["labels"]))
            counts, means, deviations = (tuple(saved[name]) for name in ("counts", "means", "deviations"))
            of_texts = (saved["separator"], counts, saved["texts"])
            return cls(saved["kind"], names, *of_texts, means, deviations, saved["temperature"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{run.labels} is damaged: {type(error).__name__}: {error}") from None

    def save(self, run: RunDirectory) -> None:
        """Writes the labels into a run."""
        content = {name: value for name, value in asdict(self).items() if name not in ("names", "numbers")}
        write_json(run.labels, {"kind": self.kind, "labels": self.names, **content})

    @property
    def dtype(self) -> str:
        """Of the numbers that label a text."""
        return "float32" if self.kind == "regression" else "int32"

    @property
    def units(self) -> dict[str, Any]:
        """The `scale` and `offset` of the model's outputs: those of a regression are about as large as 1 to it."""
        return {"scale": self.deviations, "offset": self.means} if self.kind == "regression" else {}

    @property
    def told(self) -> str:
        """How many there are, in words."""
        return f"{len(self.names)} {'numbers' if self.kind == 'regression' else 'labels'}"

    def split(self, given: str) -> list[str]:
        """Returns the labels in the label field of a text."""
        return split_labels(given, self.kind, self.separator)

    def of(self, row: data.Row) -> np.ndarray:
        """Returns what labels a training text: see `EncoderBatches`.

        Raises:
            UserError: a number of a regression is none; file and line are named.
        """
        if self.kind == "regression":
            return np.array(_numbers(row), np.float32)
        found = [self.numbers[name] for name in self.split(row.fields[1])]
        if self.kind == "single":
            return np.array(found, np.int32)
        return np.isin(np.arange(len(self.names)), found).astype(np.int32)

    def references(self, examples: Sequence[Sequence[str]]) -> np.ndarray:
        """Returns what `label_scores` compares with; see `reference_array`."""
        return reference_array(examples, self.names, self.kind, self.separator)

    def unknown(self, examples: Iterable[Sequence[str]]) -> Counter[str]:
        """Returns labels that were not trained on, and how many texts have them."""
        return unknown_labels(examples, self.names, self.kind, self.separator)

    def weights(self, balance: float) -> list[float] | None:
        """Returns what each label counts: its share to the power of `-balance`, so that the mean text counts 1."""
        if not balance:
            return None
        counts = np.array(self.counts, float)
        weights = (counts / counts.sum()) ** -balance
        return list(weights * counts.sum() / (weights * counts).sum())


def learn(rows: Sequence[data.Row], kind: str, separator: str, names: Sequence[str]) -> Labels:
    """Returns the labels of training texts; `names` are those of a regression's numbers.

    Raises:
        UserError: there is but one label, or a number of a regression is none or never changes.
    """
    if kind == "regression":
        return _learn_numbers(rows, names)
    bare = Labels(kind, (), separator)
    counts = Counter(name for row in rows for name in bare.split(row.fields[1]))
    if kind == "single" and len(counts) < 2:
        only = next(iter(counts), "")
        raise UserError(
            f"all {len(rows):,} training texts have the label {only!r}; a classifier wants two labels or more: add "
            "texts with others, or name another column with --columns"
        )
    if not counts:
        raise UserError(f"none of {len(rows):,} training texts has a label; give them some, separated by {separator!r}")
    if kind == "single" and len(counts) > len(rows) // 2 and len(rows) > 20:
        raise UserError(
            f"{len(counts):,} labels for {len(rows):,} training texts, such as {next(iter(counts))!r}: is this the "
            "column of the labels? Name text and label with --columns, or set --kind regression for numbers"
        )
    ordered = tuple(sorted(counts))
    return Labels(kind, ordered, separator, tuple(counts[name] for name in ordered), len(rows))


def _learn_numbers(rows: Sequence[data.Row], names: Sequence[str]) -> Labels:
    values = np.array([_numbers(row) for row in rows])
    means, deviations = values.mean(axis=0), values.std(axis=0)
    for name, mean, deviation in zip(names, means, deviations, strict=True):
        if not deviation > 0:
            raise UserError(f"{name} is {mean:g} in all {len(rows):,} training texts; there is nothing to learn")
    return Labels(
        "regression",
        tuple(names),
        texts=len(rows),
        means=tuple(map(float, means)),
        deviations=tuple(map(float, deviations)),
    )


def _numbers(row: data.Row) -> list[float]:
    return [read_number(text, row.place) for text in row.fields[1:]]


def tell(splits: dict[str, list[data.Row]], labels: Labels) -> None:
    """Says what is odd about labelled texts: same text, other labels; labels that no training text has."""
    by_text: dict[str, set[str]] = defaultdict(set)
    first = None
    for row in splits["train"]:
        given = by_text[row.fields[0]]
        given.add("\t".join(row.fields[1:]))
        first = row if first is None and len(given) > 1 else first
    several = sum(len(given) > 1 for given in by_text.values())
    if first is not None:
        say(f"warning: {several:,} training texts stand with different labels, the first again at {first.place}")
    for split in ("validation", "test"):
        unknown = labels.unknown(row.fields for row in splits[split])
        if unknown:
            near = close_matches(next(iter(unknown)), labels.names)
            say(f"warning: {split} has {warning_of_unknown(unknown)}.{near}")


def confusion_picture(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> tuple[bytes, tuple[int, int]]:
    """Returns a PNG of a confusion matrix and its size; a row is what the texts of a label were taken for."""
    counts = np.array(confusion, float)[:MOST_IN_PICTURE, :MOST_IN_PICTURE]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [*names, "(others)"][: len(counts)]
    return attention_picture(shares[None, None], rows, list(names)[: counts.shape[1]])
