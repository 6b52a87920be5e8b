"""Runs a file that says what a text is: strings in, labels out, with NumPy and ai-edge-litert alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.export.artifact import Artifact, warn
from keras_transformer.export.associated import read_associated
from keras_transformer.export.golden import EXACT
from keras_transformer.export.limits import SOURCE_CUT, SOURCE_LONG
from keras_transformer.label_scores import SEPARATOR, THRESHOLD

OUTPUTS = ("probabilities", "values")  # of labels; of a model of numbers


class Labelled(NamedTuple):
    """What a file says of one text.

    Attributes:
        labels: those that it has, the likeliest first: just one, or, where a text may have several, all of at least one
            half; none of a model of numbers.
        probabilities: float32 `[labels]`, of each label of the model, or the numbers.
        status: 0, or the sum of 1 (the text was cut at `max_source_bytes`) and 8 (it was cut at as many pieces as the
            model was trained on).
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    status: int

    @property
    def numbers(self) -> list[float]:
        """What must be finite."""
        return [float(number) for number in self.probabilities]

    def golden(self) -> dict[str, Any]:
        """Returns the answer as `golden.json` holds it."""
        numbers = [round(number, 6) for number in self.numbers]
        return {"labels": list(self.labels), "probabilities": numbers, "status": self.status}

    def is_golden(self, entry: Mapping[str, Any], tolerance: float = EXACT) -> bool:
        """Returns whether an entry of `golden.json` is this answer: the same labels, and the same numbers nearly."""
        return set(self.labels) == set(entry["labels"]) and np.allclose(
            self.probabilities, entry["probabilities"], rtol=tolerance, atol=tolerance
        )


class LabelArtifact(Artifact):
    """A `.tflite` file that says what a text is. One interpreter serves all calls: use one a thread.

    Attributes:
        labels: names of the labels, or of the numbers of a model of numbers.
        kind: "single" (a text has one label), "multi" (any number of them) or "regression" (numbers).
        settings: what else the file says of itself.

    Raises:
        UserError: as `Artifact`; the file has no labels in it.

    Example:
        ```python
        open_artifact("dist/mine").classify(["How tall is the tower?"])[0].labels  # ("NUM",)
        ```
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1, interpreter: Any = None) -> None:
        super().__init__(path, num_threads, interpreter)
        outputs = self._runner(self.signature).get_output_details()
        self._output = next(name for name in OUTPUTS if name in outputs)
        try:
            self.labels, self.settings = read_associated(self.path)
            self.kind = str(self.settings["kind"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path} has no labels in it ({error}); export the run again") from None

    @classmethod
    def main_signature(cls, signatures: Mapping[str, Mapping[str, Sequence[str]]]) -> str | None:
        """Returns the signature from a text to probabilities or values."""
        for name, sides in signatures.items():
            takes, gives = (set(sides[side]) for side in ("inputs", "outputs"))
            if takes == {"text", "text_length"} and gives & set(OUTPUTS):
                return name
        return None

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns the labels of each text, several as in the training data; or its numbers, separated by tabs."""
        separator = self.settings.get("separator", SEPARATOR)
        return [shown(found.labels, found.probabilities, self.kind, separator) for found in self.classify(texts)]

    def answers(self, texts: Sequence[str], cut: bool = False) -> list[dict[str, Any]]:
        """Returns `{"text", "labels", "probabilities", "status"}` of each text, for a model of numbers `values`."""
        listed = []
        for text, found in zip(texts, self.classify(texts), strict=True):
            numbers = {name: round(number, 6) for name, number in zip(self.labels, found.numbers, strict=True)}
            says = {"labels": list(found.labels), "probabilities": numbers}
            says = {"values": numbers} if self.kind == "regression" else says
            listed.append({"text": text, **says, "status": found.status})
        return listed

    def classify(self, texts: Sequence[str]) -> list[Labelled]:
        """Returns what each text is, in order.

        A text of more than `max_source_bytes`, or of more pieces than the model was trained on, is cut there, which is
        a `UserWarning`.
        """
        if isinstance(texts, str):
            raise TypeError("predict and classify take a list of strings; received one string")
        return [self._classify(number, text) for number, text in enumerate(texts, 1)]

    def run(self, source: bytes) -> Labelled:
        """Calls the file once: the first `max_source_bytes` of any bytes, with their number before any cut."""
        found = self._runner(self.signature)(**self._source(source))
        numbers = np.array(found[self._output][0], np.float32)
        return Labelled(chosen(self.labels, numbers, self.kind), numbers, int(found["status"][0]))

    def _classify(self, number: int, text: str) -> Labelled:
        source, is_cut = self._fitting(number, text)
        found = self.run(source)
        if found.status & SOURCE_LONG and not is_cut:
            warn(f"text {number} has more pieces than the model was trained on: it was cut there")
        return found._replace(status=found.status | (SOURCE_CUT if is_cut else 0))


def chosen(labels: Sequence[str], numbers: np.ndarray, kind: str) -> tuple[str, ...]:
    """Returns the labels that a text has by their probabilities, the likeliest first; see `Labelled`."""
    order = np.argsort(-numbers, kind="stable")
    taken = {"single": order[:1], "multi": order[numbers[order] >= THRESHOLD], "regression": order[:0]}[kind]
    return tuple(labels[place] for place in taken)


def shown(labels: Sequence[str], numbers: np.ndarray, kind: str, separator: str = SEPARATOR) -> str:
    """Returns labels as a line of text, or the numbers of a model of numbers."""
    return "\t".join(f"{number:.6g}" for number in numbers) if kind == "regression" else separator.join(labels)
