"""The rule for what a label or a tag may be called: one line of text, neither empty nor long.

Labels are stored one a line in the files beside and inside a model, and programs in five languages read them there,
each with its own idea of what ends a line. So no label holds a character that any of them takes for the end of a line,
nor one that a terminal takes for a command.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator

from keras_transformer.errors import UserError

LONGEST = 256  # characters of a label
FORBIDDEN = {
    "Cc": "a control character",  # NUL, TAB, LF, VT, FF, CR, ESC and NEL (U+0085) among them
    "Cs": "half of a surrogate pair",
    "Zl": "a line separator",  # U+2028
    "Zp": "a paragraph separator",  # U+2029
}


@functools.lru_cache(maxsize=4096)
def label_fault(name: str) -> str:
    """Returns why a text cannot be a label, to follow its name in a message; an empty string if it can.

    Example:
        ```python
        label_fault("B-PER")  # ""
        label_fault("spam\\u0085")  # "it holds U+0085, a control character, at character 5"
        ```
    """
    if not name.strip():
        return "it is empty"
    if len(name) > LONGEST:
        return f"it has {len(name):,} characters, more than {LONGEST}"
    for place, character in enumerate(name, 1):
        if kind := FORBIDDEN.get(unicodedata.category(character)):
            return f"it holds U+{ord(character):04X}, {kind}, at character {place}"
    return "it has white space around it" if name != name.strip() else ""


def check_label(name: str, place: str, what: str = "label") -> None:
    """Raises a `UserError` that names the place, unless a text can be a label.

    Args:
        name: of the label.
        place: `"file:line"`, or the option that it stands in.
        what: it is, in messages.
    """
    if fault := label_fault(name):
        shown = repr(name) if len(name) <= LONGEST else f"{name[:60]!r}..."
        raise UserError(
            f"{place}: the {what} {shown} cannot be used: {fault}. A {what} is one line of at most {LONGEST} "
            "characters: change it, or give another column with --columns"
        )


def checked_labels(names: object) -> list[str]:
    """Returns the labels of a model as a file has them.

    Raises:
        ValueError: this is not a list of distinct texts that can be labels; which one, and why.
    """
    if not isinstance(names, list) or not names:
        received = type(names).__name__ if names else repr(names)
        raise ValueError(f"the labels are {received}, expected a list of texts")
    return list(_checked(names))


def _checked(names: Iterable[object]) -> Iterator[str]:
    known: set[str] = set()
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise ValueError(f"label {number} is of the type {type(name).__name__}, expected a text")
        if fault := label_fault(name) or ("it is there twice" if name in known else ""):
            raise ValueError(f"label {number} is {name[:LONGEST]!r}: {fault}")
        known.add(name)
        yield name
