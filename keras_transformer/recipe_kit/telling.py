"""What a recipe tells its user besides results."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Tells the user something on standard error."""
    print(line, file=sys.stderr)
