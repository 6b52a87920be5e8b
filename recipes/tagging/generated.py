"""Notes about appointments and errands with their entities: the built-in data of tagging.

Five kinds: PERSON, COMPANY, PLACE, DATE and TIME. What a word is, its surroundings decide: `May` is a month, a first
name and a verb, `Austin` a city and a first name, `Keller` a surname and the name of a firm. No sentence stands in two
splits, and a pair of first name and surname belongs to one split alone: those met in testing are new.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from keras_transformer.errors import UserError, close_matches
from keras_transformer.tags import OUTSIDE

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 10  # one pair of names in so many goes to validation, and one to test

FIRST_NAMES = (
    "Anna", "Austin", "Bela", "Carmen", "Chiara", "David", "Elif", "Emma", "Farid", "Florence", "Greta", "Hugo",
    "Ines", "Ivan", "Jonas", "Julia", "Kemal", "Lena", "Lincoln", "Maria", "Max", "May", "Mila", "Nadia", "Noah",
    "Olga", "Omar", "Paula", "Pedro", "Rosa", "Samir", "Sidney", "Sofia", "Tom", "Ursula", "Viktor", "Yuki", "Zoe",
)  # fmt: skip
SURNAMES = (
    "Adler", "Bauer", "Berger", "Castro", "Demir", "Eriksen", "Fischer", "Garcia", "Hansen", "Ivanova", "Jansen",
    "Keller", "Kovacs", "Lang", "Lopez", "March", "Meyer", "Moreau", "Nowak", "Okafor", "Peters", "Quinn", "Rossi",
    "Sanchez", "Santos", "Schmid", "Singh", "Stone", "Tanaka", "Vogel", "Wagner", "Weber", "Young", "Zhang",
)  # fmt: skip
TITLES = ("Mr", "Mrs", "Dr", "Professor")
FIRM_ENDINGS = ("Ltd", "AG", "GmbH", "Inc", "& Sons", "& Partners", "Logistics", "Foods", "Bank", "Motors")
FIRM_NAMES = ("North Star", "Blue River", "Delta", "Evergreen", "Polaris", "Red Oak", "Sunrise", "Summit", "Vertex")
PLACES = (
    "Austin", "Berlin", "Bologna", "Florence", "Geneva", "Graz", "Hamburg", "Lincoln", "Lisbon", "Lyon", "Oslo",
    "Paris", "Porto", "Prague", "Salzburg", "Sidney", "Stuttgart", "Toulouse", "Turin", "Vienna", "Warsaw", "Zurich",
    "New York", "San Marino", "Cape Town", "Bad Ischl", "Los Angeles",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "March", "April", "May", "June", "July", "August", "October", "December")
HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

TEMPLATES = (
    "Remind {PERSON} to call {COMPANY} on {DATE} .",
    "{PERSON} may meet {PERSON} in {PLACE} at {TIME} .",
    "The train to {PLACE} leaves at {TIME} on {DATE} .",
    "Send the offer of {COMPANY} to {PERSON} before {DATE} , please .",
    "{COMPANY} opens an office in {PLACE} on {DATE} .",
    "Did {PERSON} hear from {COMPANY} ?",
    "Lunch with {PERSON} ( {COMPANY} ) at {TIME} , not in {PLACE} .",
    "I march to the bank at {TIME} and write to {PERSON} .",
    "The young man from {PLACE} is called {PERSON} .",
    "{PERSON} , {PERSON} and {PERSON} fly from {PLACE} to {PLACE} .",
    "No answer from {COMPANY} since {DATE} : ask {PERSON} .",
    "Please book a table in {PLACE} for {DATE} at {TIME} .",
    "You may park behind the stone bridge in {PLACE} .",
    "{COMPANY} and {COMPANY} both want {PERSON} .",
    "Nothing is planned for {DATE} ; {PERSON} is ill .",
    "Buy bread , foods for the party and a long rope at {TIME} .",
    "{PERSON} sold the motors to {COMPANY} in {PLACE} .",
    "Water the plants and feed the cat .",
    "From {DATE} on , {PERSON} works for {COMPANY} in {PLACE} .",
    "The summit in {PLACE} begins on {DATE} at {TIME} , says {PERSON} .",
)


def generated_sentences(split: str, count: int, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Returns `count` different sentences of one split, each as its words and their tags in BIO.

    The same arguments give the same sentences on every machine and Python version, and a smaller count gives their
    beginning.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: how many sentences, at least 1.
        seed: which draw.

    Raises:
        UserError: no such split, or a count below 1.

    Example:
        ```python
        words, tags = generated_sentences("train", 1)[0]
        ```
    """
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        raise UserError(f"generated data: no split {split!r}; there are {known}.{close_matches(split, SPLITS)}")
    if count < 1:
        raise UserError(f"generated data: count must be at least 1, received {count}")
    draw = _Draw(split, seed)
    found: dict[str, tuple[list[str], list[str]]] = {}
    while len(found) < count:
        words, tags = draw.sentence()
        if _part(" ".join(words)) == split:
            found.setdefault(" ".join(words), (words, tags))
    return list(found.values())


def _part(text: str) -> str:
    """Returns the split that a text belongs to, by a hash of it."""
    digest = hashlib.sha256(text.encode()).digest()
    return {0: "validation", 1: "test"}.get(digest[0] % HELD_OUT_SHARE, "train")


class _Draw:
    """Draws sentences of one split; only `Random.random` is used, whose stream Python promises to keep."""

    def __init__(self, split: str, seed: int):
        self.split = split
        self._random = random.Random(f"{split} {seed}").random
        self._slots = {
            "{PERSON}": self._person,
            "{COMPANY}": self._company,
            "{PLACE}": lambda: self._pick(PLACES),
            "{DATE}": self._date,
            "{TIME}": self._time,
        }

    def sentence(self) -> tuple[list[str], list[str]]:
        """Returns the words of a sentence and their tags."""
        words: list[str] = []
        tags: list[str] = []
        for part in self._pick(TEMPLATES).split():
            own = self._slots[part]().split() if part in self._slots else [part]
            label = part.strip("{}")
            words += own
            tags += [f"B-{label}", *[f"I-{label}"] * (len(own) - 1)] if part in self._slots else [OUTSIDE]
        return words, tags

    def _below(self, stop: int) -> int:
        return int(self._random() * stop)

    def _pick(self, options: Sequence[str]) -> str:
        return options[self._below(len(options))]

    def _person(self) -> str:
        while True:
            first, last = self._pick(FIRST_NAMES), self._pick(SURNAMES)
            if _part(f"{first} {last}") == self.split:
                break
        return (first, f"{first} {last}", f"{first} {last}", f"{self._pick(TITLES)} {last}")[self._below(4)]

    def _company(self) -> str:
        name = self._pick(SURNAMES if self._below(2) else FIRM_NAMES)
        return f"{name} {self._pick(FIRM_ENDINGS)}"

    def _date(self) -> str:
        day, month = 1 + self._below(28), self._pick(MONTHS)
        weekday = self._pick(WEEKDAYS)
        kinds = (f"{day} {month}", f"{month} {day}", weekday, f"{weekday} , {day} {month}")
        return kinds[self._below(len(kinds))]

    def _time(self) -> str:
        hour, minute = 1 + self._below(12), self._below(60)
        spelled = self._pick(HOURS)
        kinds = (f"{hour}:{minute:02d}", f"{hour} am", f"{hour}:{minute:02d} pm", f"half past {spelled}", "noon")
        return kinds[self._below(len(kinds))]
