"""Reports of a day at a plant, told in sentences, and the headline that sums each up: built-in data.

A report names its site and day, and then tells what happened, in the order of the clock: routine work, and up to two
faults, each of them with its end if it had one. The headline keeps the faults and what became of them, in the words of
headlines; a day without any is a quiet one:

    Report of North Mill for Tuesday, 4 May. At 07:10 fan 81 was oiled. Pump 24 began to leak at 08:32. It was put right
    at 09:05. The shift changed at 14:00. At 15:05 valve 18 got stuck.

    North Mill: pump 24 leaks, fixed at 09:05; valve 18 jams, still open

Sentences about machines without a fault, those that were inspected and found in order among them, are there to be left
out. Numbers of machines and times can only be copied: every report of validation or test has a machine with a fault, or
a quiet day at a site, that stands in no report to train on. `headline_of` reads a report by rules of its own and says
what its headline is: the right summary can be checked.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from keras_transformer.errors import UserError, close_matches

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 16  # one machine, or one quiet day, in so many goes to validation, and one to test

SITES = (
    *("North Mill", "South Mill", "Harbour Works", "Castle Dairy", "Old Foundry", "River Depot", "Hill Quarry"),
    *("West Terminal", "East Terminal", "Garden Brewery", "Bridge Yard", "Lake Station"),
)
MACHINES = ("pump", "valve", "fan", "boiler", "crane", "lift")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = {"January": 31, "March": 31, "April": 30, "May": 31, "August": 31, "October": 31, "November": 30}

FAULTS = {  # what a headline says of a fault, and how reports tell it
    "leaks": ("began to leak", "was found leaking"),
    "overheats": ("ran hot", "overheated"),
    "jams": ("jammed", "got stuck"),
    "is noisy": ("grew loud", "made a grinding noise"),
    "stopped": ("stopped without warning", "came to a standstill"),
}
FIXED = ("It was repaired at {time}.", "At {time} it ran again.", "It was put right at {time}.")  # behind its fault
ROUTINE = (
    "At {time} {machine} was oiled.",
    "A crew looked at {machine} at {time} and found nothing wrong.",
    "{Machine} was tested at {time}; all values were normal.",
    "At {time} visitors came to see {machine}.",
    "{Machine} got a new filter at {time}.",
    "The shift changed at {time}.",
    "At {time} a delivery came in.",
    "Rain set in at {time}.",
)
TOLD = ("At {time} {machine} {what}.", "{Machine} {what} at {time}.")  # a fault

T = TypeVar("T")


class Fault(NamedTuple):
    """A fault: the machine ("pump 24"), what the headline says of it, and when it was fixed, if it was."""

    machine: str
    verb: str
    fixed_at: str | None


def generated_reports(split: str, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns `count` different (report, headline) pairs of one split.

    The same arguments give the same pairs on every machine and Python version, and a smaller count gives their
    beginning.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        count: how many pairs, at least 1.
        seed: which draw.

    Raises:
        UserError: no such split, or a count below 1.

    Example:
        ```python
        train = generated_reports("train", 30_000)
        ```
    """
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        raise UserError(f"generated data: no split {split!r}; there are {known}.{close_matches(split, SPLITS)}")
    if count < 1:
        raise UserError(f"generated data: count must be at least 1, received {count}")
    draw = Draw(split, seed)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        report, headline = draw.pair()
        pairs.setdefault(report, headline)
    return list(pairs.items())


def split_of(*item: str) -> str:
    """Returns the split of a machine (`"pump 24"`), or of a site and its day, by a hash of it alone."""
    digest = hashlib.sha256(repr(item).encode()).digest()
    return {0: "validation", 1: "test"}.get(digest[0] % HELD_OUT_SHARE, "train")


def headline(site: str, day: str, faults: Sequence[Fault]) -> str:
    """Returns the headline: the faults in the order in which they came."""
    if not faults:
        return f"{site}: a quiet {day}"
    told = [
        f"{fault.machine} {fault.verb}, {'still open' if fault.fixed_at is None else f'fixed at {fault.fixed_at}'}"
        for fault in faults
    ]
    return f"{site}: {'; '.join(told)}"


def headline_of(report: str) -> str:
    """Reads a report, sentence by sentence, and returns its headline.

    Raises:
        ValueError: it is no report.
    """
    first, *sentences = re.split(r"(?<=\.) ", report)
    opening = re.fullmatch(r"Report of (.+) for (\w+), \d+ \w+\.", first)
    if opening is None:
        raise ValueError(f"{first!r} does not open a report")
    verbs = {phrase: verb for verb, phrases in FAULTS.items() for phrase in phrases}
    faults: list[Fault] = []
    for sentence in sentences:
        machine = re.search(rf"\b({'|'.join(MACHINES)}) \d+", sentence, re.IGNORECASE)
        time = re.search(r"\d\d:\d\d", sentence)
        if time is None:
            continue
        if any(sentence == end.format(time=time[0]) for end in FIXED):
            if not faults:
                raise ValueError(f"{sentence!r} ends no fault")
            faults[-1] = faults[-1]._replace(fixed_at=time[0])
        for phrase, verb in verbs.items():
            if machine is not None and phrase in sentence:
                faults.append(Fault(machine[0][0].lower() + machine[0][1:], verb, None))
    return headline(opening[1], opening[2], faults)


class Draw:
    """Draws reports of one split; only `Random.random` is used, whose stream Python promises to keep."""

    def __init__(self, split: str, seed: int) -> None:
        self.split = split
        self._random = random.Random(f"reports {split} {seed}").random

    def below(self, stop: int) -> int:
        """Returns a whole number from 0 up to, not including, `stop`."""
        return int(self._random() * stop)

    def pick(self, options: Sequence[T]) -> T:
        """Returns one of the options, each as likely as the others."""
        return options[self.below(len(options))]

    def of_split(self, split: str, propose: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """Returns the first proposed item that belongs to a split."""
        while True:
            item = propose()
            if split_of(*item) == split:
                return item

    def machine(self, split: str) -> str:
        """Returns a machine whose number belongs to a split: "pump 24"."""

        return self.of_split(split, lambda: (f"{self.pick(MACHINES)} {10 + self.below(90)}",))[0]

    def pair(self) -> tuple[str, str]:
        """Returns a report and its headline."""
        count = self.pick((0, 1, 1, 1, 2, 2))
        site, weekday, day = self.of_split("train" if count else self.split, self._day)
        machines = [self.machine(self.split if number == 0 else "train") for number in range(count)]
        happenings, faults = self._happenings(list(dict.fromkeys(machines)))
        report = " ".join([f"Report of {site} for {weekday}, {day}.", *happenings])
        return report, headline(site, weekday, faults)

    def _day(self) -> tuple[str, ...]:
        """Returns a site and a day, which is its weekday and its date."""
        month = self.pick(list(MONTHS))
        return self.pick(SITES), self.pick(DAYS), f"{1 + self.below(MONTHS[month])} {month}"

    def _happenings(self, machines: list[str]) -> tuple[list[str], list[Fault]]:
        """Returns the sentences of a day on which these machines had a fault, and the faults in their order."""
        count = 3 + self.below(3)
        plan: list[tuple[str, str]] = [("routine", "")] * (count - len(machines))
        for machine in machines:
            plan.insert(self.below(len(plan) + 1), ("fault", machine))
        sentences, faults = [], []
        for (kind, machine), minute in zip(plan, self._minutes(len(plan)), strict=True):
            time = _clock(minute)
            if kind == "routine":
                sentences.append(_told(self.pick(ROUTINE), time, self.machine("train")))
                continue
            verb, fixed_at = self.pick(list(FAULTS)), None
            sentences.append(_told(self.pick(TOLD), time, machine, self.pick(FAULTS[verb])))
            if self.below(3):
                fixed_at = _clock(minute + 5 + self.below(220))
                sentences.append(self.pick(FIXED).format(time=fixed_at))
            faults.append(Fault(machine, verb, fixed_at))
        return sentences, faults

    def _minutes(self, count: int) -> list[int]:
        """Returns different minutes of a day from six o'clock until eight in the evening, in order."""
        minutes: set[int] = set()
        while len(minutes) < count:
            minutes.add(360 + self.below(840))
        return sorted(minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _told(template: str, time: str, machine: str, what: str = "") -> str:
    return template.format(time=time, machine=machine, Machine=machine[0].upper() + machine[1:], what=what)
