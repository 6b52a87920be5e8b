"""The labels that texts of a user should have, as scores want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.label_scores import SEPARATOR


def reference_array(
    examples: Sequence[Sequence[str]], labels: Sequence[str], kind: str, separator: str = SEPARATOR
) -> np.ndarray:
    """Returns what `label_scores` compares answers with.

    Args:
        examples: a text, and its label, its labels separated by `separator`, or its numbers.
        labels: of the model; others are never found.
        kind: "single", "multi" or "regression".
        separator: what parts labels.

    Raises:
        UserError: a number is none.

    Example:
        ```python
        reference_array([("Where is it?", "LOC")], ["HUM", "LOC"], "single")  # [[1]]
        ```
    """
    if kind == "regression":
        try:
            return np.array([[float(number) for number in numbers] for _, *numbers in examples])
        except ValueError as error:
            raise UserError(f"an example has a number that is none: {error}") from None
    places = {label: place for place, label in enumerate(labels)}
    if kind == "single":
        return np.array([[places.get(label.strip(), -1)] for _, label in examples])
    found = np.zeros((len(examples), len(labels)), int)
    for row, (_, given) in zip(found, examples, strict=True):
        row[[places[label.strip()] for label in given.split(separator) if label.strip() in places]] = 1
    return found


def field_names(labels: Sequence[str], kind: str) -> tuple[str, ...]:
    """Returns the names of the fields of an example."""
    return ("text", *(labels if kind == "regression" else ("label",)))
