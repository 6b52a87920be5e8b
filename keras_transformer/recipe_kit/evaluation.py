"""What the files of an evaluation are called: those of one do not overwrite those of another."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")

LONGEST_NAME = 80  # of the part of a name that tells the options


def evaluation_name(
    data: str | None, rows: Sequence[Item], limit: int | None = None, options: dict[str, Any] | None = None
) -> str:
    """Returns the name of an evaluation: of the data, its version, how much of it, and the options that differ.

    Args:
        data: file or files that are scored; none means the run's test split.
        rows: all that they hold.
        limit: only so many of them are scored.
        options: other than usual.

    Example:
        ```python
        evaluation_name(None, rows, 100)  # "test.first-100"
        evaluation_name("news.tsv", rows, None, {"beam": 5})  # "news.tsv.0f3a91c2.beam=5"
        ```
    """
    name = "test" if data is None else f"{Path(data.partition(',')[0]).name}.{_digest(rows)}"
    if limit is not None and limit < len(rows):
        name = f"{name}.first-{limit}"
    return f"{name}.{shorten(options)}" if options else name


def shorten(options: dict[str, Any]) -> str:
    """Returns options as a part of a file's name, that of no other options."""
    plain = ",".join(f"{name}={value}" for name, value in options.items())
    shown = re.sub(r"[^\w.=,-]+", "_", plain)
    return shown if shown == plain and len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}.{_digest(plain)}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]
