"""Lines in, lines out: text of any quality from a pipe or the command line, answered in order and promptly."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator

GROUP = 64  # lines handed to the model at once: enough to fill a batch, few enough to see the output grow


def read_groups(stream: io.BufferedIOBase) -> Iterator[list[bytes]]:
    """Yields the complete lines that have arrived, at most `GROUP` at once and without their line ends.

    Never waits for a group to fill: one line in a pipe is a group of one.
    """
    rest = bytearray()
    while chunk := stream.read1(1 << 16):
        rest += chunk
        if b"\n" in chunk:
            *lines, rest = rest.split(b"\n")
            yield from ([bytes(line) for line in lines[at : at + GROUP]] for at in range(0, len(lines), GROUP))
    if rest:
        yield [bytes(rest)]


def decode_line(line: bytes, number: int, warn: Callable[[str], None]) -> str:
    """Returns the text of a line, whatever its bytes are; `warn` is told of what is strange, with the line's number."""
    line = line.removesuffix(b"\r")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("utf-8", errors="replace")
        warn(f"line {number}: not UTF-8: its wrong bytes are read as U+FFFD")
    if "\0" in text:
        warn(f"line {number}: holds NUL bytes")
    return text.removeprefix("\ufeff") if number == 1 else text


def answer_groups(
    groups: Iterable[list[bytes]], predict: Callable[[list[str]], Iterable[str]], warn: Callable[[str], None]
) -> Iterator[list[str]]:
    """Yields, for each group of lines, as many lines of output; an empty line gives an empty line."""
    number = 0
    for group in groups:
        texts = [decode_line(line, number, warn) for number, line in enumerate(group, number + 1)]
        number += len(group)
        filled = [text for text in texts if text.strip()]
        outputs = iter(predict(filled)) if filled else iter(())
        yield [" ".join(next(outputs).split("\n")) if text.strip() else "" for text in texts]
