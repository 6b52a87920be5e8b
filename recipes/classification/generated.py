"""Support messages made of the phrases in `messages.py`, each with its category and how urgent it is.

The rule: the category is that of the sentence that says what is wrong. What is said to be all right belongs to another
category, and is there to mislead whoever counts words. Urgency is 1, and what the deadline and what hangs on it add, at
most 5.

What keeps the splits apart: a message's item is what is wrong, what is all right and the product. A stable hash gives
each item to one split, so that an item met in testing was never met in training.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from keras_transformer.errors import UserError, close_matches
from keras_transformer.recipes.classification.messages import (
    CLOSINGS,
    DEADLINES,
    FINE,
    GREETINGS,
    HIGHEST,
    LOWEST,
    PROBLEMS,
    STAKES,
    THINGS,
    URGENT,
)

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 8  # one item in so many goes to validation, and one to test
FORMS = ("{wrong}.", "{fine}, but {wrong}.", "{wrong}. {Fine}, that is not it.", "{wrong}, although {fine}.")

T = TypeVar("T")


class Message(NamedTuple):
    """A support message, what it is about, how urgent it is from 1 to 5, and the item that puts it in its split."""

    text: str
    category: str
    urgency: int
    item: tuple[str, str, str]


def generated_messages(split: str, count: int, seed: int = 0) -> list[Message]:
    """Returns `count` different messages of one split.

    The same arguments give the same messages on every machine and Python version, and a smaller count gives their
    beginning. Items of one split occur in no other, whatever the seeds.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: how many messages, at least 1.
        seed: which draw.

    Raises:
        UserError: no such split, or a count below 1.

    Example:
        ```python
        generated_messages("train", 1)[0].category  # "billing"
        ```
    """
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        raise UserError(f"generated data: no split {split!r}; there are {known}.{close_matches(split, SPLITS)}")
    if count < 1:
        raise UserError(f"generated data: count must be at least 1, received {count}")
    draw = random.Random(f"{split} {seed}").random  # the stream that Python promises to keep

    messages: dict[str, Message] = {}
    while len(messages) < count:
        message = _message(draw)
        if split_of(message.item) == split:
            messages.setdefault(message.text, message)
    return list(messages.values())


def split_of(item: tuple[str, str, str]) -> str:
    """Returns the split that an item belongs to, by a hash of the item alone."""
    digest = hashlib.sha256(repr(item).encode()).digest()
    return {0: "validation", 1: "test"}.get(digest[0] % HELD_OUT_SHARE, "train")


def labels_of(message: Message, kind: str) -> str:
    """Returns what a message is labelled with: its category; that and "urgent", separated by "|"; or its urgency."""
    if kind == "single":
        return message.category
    if kind == "multi":
        return "|".join([message.category, *(["urgent"] if message.urgency >= URGENT else [])])
    return str(message.urgency)


def _message(draw: Callable[[], float]) -> Message:
    def choose(options: Sequence[T]) -> T:
        return options[int(draw() * len(options))]

    category = choose(list(PROBLEMS))
    other = choose([name for name in FINE if name != category])
    wrong, fine, thing = choose(PROBLEMS[category]), choose(FINE[other]), choose(THINGS)
    form, (hurry, deadline), (weight, stake) = choose(FORMS), choose(DEADLINES), choose(STAKES)
    number = "".join(choose("0123456789") for _ in range(5))
    said = form.format(wrong=wrong, fine=fine, Fine=fine[0].upper() + fine[1:])
    text = said.format(thing=thing, number=number)
    text = f"{choose(GREETINGS)}{text}{deadline}{stake}{choose(CLOSINGS)}"
    urgency = min(LOWEST + hurry + weight, HIGHEST)
    item = (wrong, "" if form == FORMS[0] else fine, thing if "{thing}" in said else "")
    return Message(text[0].upper() + text[1:], category, urgency, item)
