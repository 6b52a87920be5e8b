"""What commands read and write: standard input, results, and lines to whoever watches."""

from __future__ import annotations

import io
import json
import sys
from typing import cast

PROGRAM = "keras-transformer"


def say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def warn(text: str) -> None:
    say(f"warning: {text}")


def standard_input() -> io.BufferedIOBase:
    if sys.stdin.isatty():
        say("reading from the keyboard, one text on a line; Ctrl-D ends")
    return cast(io.BufferedIOBase, sys.stdin.buffer)


def write_lines(lines: list[str]) -> None:
    """Writes UTF-8 whatever the locale is, and at once: somebody may be waiting at the other end of the pipe."""
    sys.stdout.flush()
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace"))
    sys.stdout.buffer.flush()


def print_result(result: object) -> None:
    """Prints a value as JSON, in characters that the terminal has."""
    if result is not None:
        has_all = (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")
        print(json.dumps(result, indent=2, ensure_ascii=not has_all, default=str))
