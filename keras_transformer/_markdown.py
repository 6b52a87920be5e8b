"""Texts in Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MARKS = "\\`*_{}[]<>#|~$&"


def cell(text: object) -> str:
    """Returns a text that stands in a Markdown table as it is: no markup, one line."""
    shown = "".join(f"\\{character}" if character in MARKS else character for character in str(text))
    return " ".join(shown.splitlines())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table.

    Example:
        ```python
        table(["step", "bleu"], [(500, 31.2)])  # "| step | bleu |\\n|---|---|\\n| 500 | 31.2 |"
        ```
    """
    lines = [f"| {' | '.join(cell(text) for text in row)} |" for row in [head, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
