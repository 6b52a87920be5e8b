"""Strings in, labels out: a trained classifier with its tokenizer.

Shapes: b batch, k labels.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_transformer.label_names import checked_labels
from keras_transformer.label_scores import KINDS, SEPARATOR, THRESHOLD, probabilities_of
from keras_transformer.predictors.loading import load_model, unless_damaged
from keras_transformer.text.byte_pieces import BytePieceTokenizer

BATCH_TOKENS = 4096
LENGTH_MULTIPLE = 8


class Classified(NamedTuple):
    """What a classifier says of a text.

    Attributes:
        labels: the most probable one; or all of probability 1/2 and more, the most probable first; none for a
            regression.
        probabilities: of every label, in the model's order, calibrated; for a regression the numbers, by their names.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]


class TextToLabels:
    """A trained classifier that takes strings and gives labels, or numbers.

    Args:
        model: a `TextClassifier`.
        tokenizer: the tokenizer it was trained with.
        labels: what its outputs stand for.
        kind: "single" (one label a text), "multi" (any number of them) or "regression" (numbers).
        temperature: what logits are divided by, so that probabilities are right as often as they say (Guo et al.
            (2017), https://arxiv.org/abs/1706.04599).
        max_length: the most pieces of a text in training; longer texts are answered whole, with a warning.
        batch_tokens: the most pieces, padding included, that go through the model at once.
        separator: what parts the labels of a text, as in the data it was trained on.

    Example:
        ```python
        classifier = keras_transformer.load("runs/mine")
        classifier.predict(["My card was charged twice."])  # ["billing"]
        classifier.classify(["My card was charged twice."])[0].probabilities["billing"]  # 0.98
        ```
    """

    def __init__(
        self,
        model: Any,
        tokenizer: BytePieceTokenizer,
        labels: Sequence[str],
        kind: str = "single",
        temperature: float = 1.0,
        max_length: int = 512,
        batch_tokens: int = BATCH_TOKENS,
        separator: str = SEPARATOR,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.labels = tuple(labels)
        self.kind = kind
        self.temperature = temperature
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        self.separator = separator

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns the labels of each text, several separated by `separator`; or its numbers, separated by tabs."""
        found = self.classify(texts, cut)
        if self.kind == "regression":
            return ["\t".join(f"{number:.6g}" for number in one.probabilities.values()) for one in found]
        return [self.separator.join(one.labels) for one in found]

    def answers(self, texts: Sequence[str], cut: bool = False) -> list[dict[str, Any]]:
        """Returns `{"text", "labels", "probabilities"}` of each text; `{"text", "values"}` for a regression."""
        found = []
        for text, one in zip(texts, self.classify(texts, cut), strict=True):
            numbers = {name: round(number, 6) for name, number in one.probabilities.items()}
            labelled = {"labels": list(one.labels), "probabilities": numbers}
            found.append({"text": text, **({"values": numbers} if self.kind == "regression" else labelled)})
        return found

    def classify(self, texts: Sequence[str], cut: bool = False) -> list[Classified]:
        """Returns what there is to say of each text, in order.

        Args:
            texts: strings; an empty one is answered like any other.
            cut: whether a text of more than `max_length` pieces is cut there. Otherwise it is answered whole, with a
                `UserWarning`, since the model was not trained on texts so long.
        """
        return self.classify_ids(self.encode(texts, cut))

    def classify_ids(self, encoded: Sequence[np.ndarray]) -> list[Classified]:
        """Returns what there is to say of each text in ids, in order."""
        return [self._classified(row) for row in self.probabilities_of(self.logits(encoded))]

    def encode(self, texts: Sequence[str], cut: bool = False) -> list[np.ndarray]:
        """Returns the ids of each text; see `classify`."""
        if isinstance(texts, str):
            raise TypeError("predict and classify take a list of strings; received one string")
        encoded = self.tokenizer.encode_batch(texts)
        for number, ids in enumerate(encoded, 1):
            if len(ids) > self.max_length:
                encoded[number - 1] = ids[: self.max_length] if cut else ids
                done = "it was cut there" if cut else "the answer may be poor; cut=True (--cut) cuts it there"
                warnings.warn(
                    f"text {number} has {len(ids)} pieces, more than the {self.max_length} this model was trained "
                    f"on: {done}",
                    UserWarning,
                    stacklevel=3,
                )
        return encoded

    def shortened(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text, cut at `max_length` as in training, without a warning: for scores."""
        return [ids[: self.max_length] for ids in self.tokenizer.encode_batch(texts)]

    def logits(self, encoded: Sequence[np.ndarray]) -> np.ndarray:
        """Returns what the model gives for each text in ids, float32 `[texts, k]`."""
        found = np.zeros((len(encoded), len(self.labels)), np.float32)
        for rows in self._batches(encoded):
            width = -(-max(len(encoded[row]) for row in rows) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
            ids = np.full((len(rows), max(width, 1)), self.tokenizer.pad_id, np.int32)
            for place, row in enumerate(rows):
                ids[place, : len(encoded[row])] = encoded[row]
            found[rows] = ops.convert_to_numpy(self.model.predict_on_batch({"ids": ids}))
        return found

    def probabilities_of(self, logits: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities `[texts, k]` of logits; the numbers themselves for a regression."""
        return probabilities_of(logits, self.kind, self.temperature)

    def _batches(self, encoded: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """Yields the rows in batches of like length, the longest first, so that memory fails early."""
        rows = sorted(range(len(encoded)), key=lambda row: -len(encoded[row]))
        while rows:
            count = max(1, self.batch_tokens // (len(encoded[rows[0]]) + LENGTH_MULTIPLE))
            yield rows[:count]
            rows = rows[count:]

    def _classified(self, probabilities: np.ndarray) -> Classified:
        numbers = dict(zip(self.labels, map(float, probabilities), strict=True))
        if self.kind == "regression":
            return Classified((), numbers)
        order = np.argsort(-probabilities, kind="stable")
        chosen = order[:1] if self.kind == "single" else [i for i in order if probabilities[i] >= THRESHOLD]
        return Classified(tuple(self.labels[i] for i in chosen), numbers)


def load(run: str | os.PathLike[str]) -> TextToLabels:
    """Loads the classifier of a run directory, in float32, with its best weights. No code from the run is executed.

    Raises:
        UserError: there is no such run, it has no weights yet, or a file of it is damaged.
    """
    loaded = load_model(run, "TextClassifier")
    saved = loaded.directory.read_json(loaded.directory.labels)

    def make() -> TextToLabels:
        labels, kind = checked_labels(saved["labels"]), saved["kind"]
        if kind not in KINDS or len(labels) != loaded.model.num_labels:
            raise ValueError(f"{loaded.directory.labels.name} does not fit the model")
        temperature, max_length = float(saved.get("temperature", 1.0)), int(loaded.config["max_length"])
        if not 0 < temperature < math.inf:
            raise ValueError(f"{loaded.directory.labels.name} has the temperature {temperature}")
        separator = str(loaded.config.get("label_separator", SEPARATOR))
        return TextToLabels(loaded.model, loaded.tokenizer, labels, kind, temperature, max_length, separator=separator)

    return unless_damaged(loaded.directory, make)
