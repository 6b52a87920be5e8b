"""Lines in, lines out: text of any quality from a pipe or the command line, answered in order and promptly."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator

GROUP = 64  # lines handed to the model at once: enough to fill a batch, few enough to see the output grow
_EXHAUSTED = "RESOURCE_EXHAUSTED"  # so JAX tells it


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


class Answers:
    """Hands lines to a model and gives its answers in the same order.

    Args:
        predict: texts -> for each the lines of its answer, mostly one. What it warns of begins with "text N", counted
            from 1 in that call.
        warn: is told of what is strange, line numbers being those of the whole input.
        unit: what a line is called in a warning.
        skip_empty: whether an empty line has an empty answer, which the model is not asked for.
        unanswered: the answer to a line that is too long for the memory.
    """

    def __init__(
        self,
        predict: Callable[[list[str]], Iterable[list[str]]],
        warn: Callable[[str], None],
        unit: str = "line",
        skip_empty: bool = True,
        unanswered: str = "",
    ) -> None:
        self.predict = predict
        self.warn = warn
        self.unit = unit
        self.skip_empty = skip_empty
        self.unanswered = unanswered

    def to(self, groups: Iterable[list[bytes]]) -> Iterator[list[str]]:
        """Yields the answers to the lines of each group, in order."""
        first = 1
        for group in groups:
            texts = {number: self.decode(line, number) for number, line in enumerate(group, first)}
            filled = {number: text for number, text in texts.items() if text.strip() or not self.skip_empty}
            answers = dict(zip(filled, self.ask(filled), strict=True))
            yield [" ".join(line.split("\n")) for number in texts for line in answers.get(number, [""])]
            first += len(group)

    def decode(self, line: bytes, number: int) -> str:
        """Returns the text of a line, whatever its bytes are."""
        line = line.removesuffix(b"\r")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("utf-8", errors="replace")
            self.warn(f"{self.unit} {number}: not UTF-8: its wrong bytes are read as U+FFFD")
        if "\0" in text:
            self.warn(f"{self.unit} {number}: holds NUL bytes")
        return text.removeprefix("\ufeff") if number == 1 else text

    def ask(self, texts: dict[int, str]) -> list[list[str]]:
        """Returns the model's answers; where the memory does not do for all texts at once, one by one."""
        try:
            return self._asked(texts) if texts else []
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        if len(texts) > 1:
            return [answer for number in texts for answer in self.ask({number: texts[number]})]
        (number,) = texts
        self.warn(f"{self.unit} {number}: not answered: it is too long for the memory; cut it, or give --cut")
        return [[self.unanswered]]

    def _asked(self, texts: dict[int, str]) -> list[list[str]]:
        """Returns the model's answers; "text 1" in its warnings becomes the number of that line."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            answers = list(self.predict(list(texts.values())))
        numbers = list(texts)
        for warning in caught:
            place = re.compile(r"^text (\d+)")
            self.warn(place.sub(lambda found: f"{self.unit} {numbers[int(found[1]) - 1]}", str(warning.message)))
        return answers


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether an error of any backend says that there is no memory for something."""
    return isinstance(error, MemoryError) or "ResourceExhausted" in type(error).__name__ or _EXHAUSTED in str(error)
