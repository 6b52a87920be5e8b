"""English-German sentence pairs made by a grammar: numbers, dates, times and prices spelled out in German words.

`GRAMMAR.md` beside this file describes the grammar and says what keeps the splits apart. In short: every sentence holds
exactly one item that a stable hash gives to one split (a number, a decimal number, a date, an appointment or a time on
a weekday), so that an item met in testing was never met in training.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from keras_transformer.errors import UserError, close_matches
from keras_transformer.recipes.translation import grammar

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 16  # one item in so many goes to validation, and one to test
FIRST_HELD_OUT_NUMBER = 3_000  # below it are years, small counts and the numbers that others are made of

T = TypeVar("T")


class Example(NamedTuple):
    """A sentence pair and the item that puts it in its split: `("number", 48317)`, `("date", 1984, 5, 3)`, ..."""

    source: str
    target: str
    item: tuple[str | int, ...]


def generated_pairs(split: str, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns `count` different (English source, German target) pairs of one split.

    The same arguments give the same pairs on every machine and Python version, and a smaller count gives their
    beginning. Items of one split occur in no other, whatever the seeds.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: how many pairs, at least 1.
        seed: which draw.

    Raises:
        UserError: no such split, or a count below 1.

    Example:
        ```python
        train = generated_pairs("train", 60_000)
        test = generated_pairs("test", 1_000)
        ```
    """
    return [(example.source, example.target) for example in generated_examples(split, count, seed)]


def generated_examples(split: str, count: int, seed: int = 0) -> list[Example]:
    """Returns what `generated_pairs` returns, each pair with the item that decided its split. Raises as it does."""
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        raise UserError(f"generated data: no split {split!r}; there are {known}.{close_matches(split, SPLITS)}")
    if count < 1:
        raise UserError(f"generated data: count must be at least 1, received {count}")
    draw = Draw(split, seed)
    examples: dict[str, Example] = {}
    while len(examples) < count:
        example = draw.example()
        examples.setdefault(example.source, example)
    return list(examples.values())


def split_of(kind: str, *values: int) -> str:
    """Returns the split that an item belongs to, by a hash of the item alone. A decimal's value is in hundredths.

    Numbers below 3,000, prices in whole euros among them, are always training items.

    Examples:
        >>> split_of("number", 12)
        'train'
        >>> {split_of("number", n) for n in range(3_000, 3_100)} == set(SPLITS)
        True
    """
    if (kind == "number" and values[0] < FIRST_HELD_OUT_NUMBER) or (kind == "decimal" and values[0] % 100 == 0):
        return "train"
    digest = hashlib.sha256(repr((kind, *values)).encode()).digest()
    return {0: "validation", 1: "test"}.get(digest[0] % HELD_OUT_SHARE, "train")


class Draw:
    """Draws sentences of one split; only `Random.random` is used, whose stream Python promises to keep."""

    def __init__(self, split: str, seed: int) -> None:
        self.split = split
        self.item: tuple[str | int, ...] = ()
        self._random = random.Random(f"{split} {seed}").random

    def below(self, stop: int) -> int:
        """Returns a whole number from 0 up to, not including, `stop`."""
        return int(self._random() * stop)

    def between(self, first: int, last: int) -> int:
        """Returns a whole number from `first` to `last`, both included."""
        return first + self.below(last - first + 1)

    def pick(self, options: Sequence[T]) -> T:
        """Returns one of the options, each as likely as the others."""
        return options[self.below(len(options))]

    def held(self, kind: str, propose: Callable[[Draw], tuple[int, ...]]) -> tuple[int, ...]:
        """Returns the first proposed item that belongs to the split, and notes it."""
        while True:
            values = propose(self)
            if split_of(kind, *values) == self.split:
                self.item = (kind, *values)
                return values

    def example(self) -> Example:
        """Returns a sentence: a domain, one of its templates, and a phrase for each of the template's slots."""
        template = self.pick(self.pick(DOMAINS))
        phrases = {name: grammar.SLOTS[name](self) for name in template.slots}
        source = template.source.format_map({name: phrase[0] for name, phrase in phrases.items()})
        target = template.target.format_map({name: phrase[1] for name, phrase in phrases.items()})
        return Example(source[0].upper() + source[1:], target[0].upper() + target[1:], self.item)


DOMAINS = tuple(grammar.TEMPLATES.values())
