"""The labels, or numbers, that texts of a user should have: split, checked, and as scores compare with them.

Shapes: n texts, k labels of the model, u labels that it does not know.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_transformer.data.readers import Row
from keras_transformer.errors import UserError
from keras_transformer.label_names import check_label
from keras_transformer.label_scores import SEPARATOR

# As tables, JSON and other languages have them; Python's `float` takes 1_0, other scripts' digits, nan and inf as well.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def split_labels(given: str, kind: str, separator: str = SEPARATOR) -> list[str]:
    """Returns the labels in the label field of a text, each once, without white space around them."""
    if kind != "multi":
        return [given.strip()]
    parts = given.split(separator)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def read_number(text: str, place: str) -> float:
    """Returns the number that a field of a regression holds.

    Raises:
        UserError: it is not a finite decimal number such as -1, 2.5 or 1e-3; the place is named.
    """
    number = float(text) if NUMBER.fullmatch(text.strip()) else math.nan
    if not math.isfinite(number):
        raise UserError(
            f"{place}: {text!r} is not a number such as -1, 2.5 or 1e-3; kind regression wants one in every column "
            "but the text"
        )
    return number


def checked_rows(rows: Iterable[Row], kind: str, separator: str = SEPARATOR) -> Iterator[Row]:
    """Yields rows of a text and its labels, or of a text and its numbers.

    Raises:
        UserError: a label is not one, see `check_label`, or a number is not one; file and line are named.
    """
    for row in rows:
        if kind == "regression":
            for text in row.fields[1:]:
                read_number(text, row.place)
        else:
            for name in split_labels(row.fields[1], kind, separator):
                check_label(name, row.place)
        yield row


def unknown_labels(
    examples: Iterable[Sequence[str]], labels: Sequence[str], kind: str, separator: str = SEPARATOR
) -> Counter[str]:
    """Returns the labels of examples that are not among `labels`, in their order, and how many texts have each."""
    if kind == "regression":
        return Counter()
    known = set(labels)
    given = (split_labels(example[1], kind, separator) for example in examples)
    return Counter(name for names in given for name in names if name not in known)


def reference_array(
    examples: Sequence[Sequence[str]], labels: Sequence[str], kind: str, separator: str = SEPARATOR
) -> np.ndarray:
    """Returns what `label_scores` compares answers with.

    Args:
        examples: a text, and its label, its labels separated by `separator`, or its numbers.
        labels: of the model. Others are numbered behind these, in the order in which they occur.
        kind: "single", "multi" or "regression".
        separator: what separates labels.

    Returns: for "single" int `[n, 1]`, the number of each text's label; for "multi" 0 or 1 `[n, k + u]`; for
        "regression" float `[n, k]`.

    Raises:
        UserError: a number is not one.

    Example:
        ```python
        reference_array([("Where is it?", "LOC"), ("Who?", "new")], ["HUM", "LOC"], "single")  # [[1], [2]]
        ```
    """
    if kind == "regression":
        places = (f"example {number}" for number in range(1, len(examples) + 1))
        rows = zip(examples, places, strict=True)
        return np.array([[read_number(text, place) for text in texts] for (_, *texts), place in rows], float)
    names = [*labels, *unknown_labels(examples, labels, kind, separator)]
    numbers = {name: number for number, name in enumerate(names)}
    given = [[numbers[name] for name in split_labels(example[1], kind, separator)] for example in examples]
    if kind == "single":
        return np.array(given, int)
    found = np.zeros((len(examples), len(names)), int)
    for row, own in zip(found, given, strict=True):
        row[own] = 1
    return found


def field_names(labels: Sequence[str], kind: str) -> tuple[str, ...]:
    """Returns the names of the fields of an example."""
    return ("text", *(labels if kind == "regression" else ("label",)))


def warning_of_unknown(unknown: Counter[str], shown: int = 8) -> str:
    """Returns one line about labels that a model does not know; an empty string if there is none."""
    if not unknown:
        return ""
    listed = ", ".join(f"{name!r} ({count:,})" for name, count in unknown.most_common(shown))
    more = f" and {len(unknown) - shown:,} more" if len(unknown) > shown else ""
    return f"labels that were not trained on, which always count as missed: {listed}{more}"
