"""Many warnings of one kind, as one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def gathered_warnings() -> Iterator[None]:
    """Shows the first of all warnings of a kind when the block ends, and how many more there were.

    Of a kind are messages that differ in their numbers alone: a model that has just begun to learn finds no end to
    hundreds of sentences, and whoever watches it wants to see the curves.

    Example:
        ```python
        with gathered_warnings():
            translator.predict(texts)  # text 1 has an answer that reached its limit of pieces without an end; 39 more
        ```
    """
    kinds: dict[tuple[type, str], list[tuple[Any, ...]]] = {}

    def gather(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        kind = (category, re.sub(r"\d+", "", str(message)))
        kinds.setdefault(kind, []).append((message, category, *place))

    with warnings.catch_warnings():
        show, warnings.showwarning = warnings.showwarning, gather
        try:
            yield
        finally:
            for (message, category, *place), *others in kinds.values():
                text = f"{message}; {len(others):,} more of this kind" if others else message
                show(text, category, *place)
