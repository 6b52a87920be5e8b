"""How to search: the options that a user can set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from keras_transformer.errors import UserError, refuse_unless

RANGES = {  # least and most; far out, float32 would overflow or a rule no longer hold
    "beam": (1, math.inf),
    "n_best": (1, math.inf),
    "length_penalty": (-10, 10),
    "coverage_penalty": (0, 1000),
    "min_length": (0, math.inf),
    "max_length": (1, math.inf),
    "min_ratio": (0, 1000),
    "max_ratio": (0.001, 1000),
    "repetition_penalty": (0.01, 100),
    "no_repeat_ngram": (0, math.inf),
    "samples": (0, 2**16),
    "temperature": (0.001, 1000),
    "top_k": (0, math.inf),
    "min_p": (0, 1),
    "seed": (0, 2**31 - 1),
}
OF_A_BEAM = ("beam", "n_best", "length_penalty", "coverage_penalty")


@dataclass(frozen=True)
class SearchOptions:
    """How an answer is searched for. The default is greedy search: the likeliest piece at every step.

    Lengths are in pieces, the end not counted.

    Args:
        beam: hypotheses kept at every step.
        n_best: answers returned, at most `beam`.
        length_penalty: alpha of https://arxiv.org/abs/1609.08144, equation 14: the log-probability is divided by
            `((5 + length) / 6) ** alpha`, the end counted. 0 prefers short answers, 1 long ones.
        coverage_penalty: beta of the same equation: answers that leave a part of the source out lose.
        min_length: the fewest pieces of an answer.
        max_length: the most pieces of an answer; none means as many as the model was trained on.
        min_ratio: the fewest pieces of an answer, as a multiple of the source's.
        max_ratio: the most, likewise.
        force_end: whether an answer that reaches the limit is made to end there; otherwise it is cut.
        repetition_penalty: above 1 makes pieces that the answer has already less likely
            (https://arxiv.org/abs/1909.05858, section 4.1).
        no_repeat_ngram: no sequence of so many pieces occurs twice; 0 means no such rule.
        forbidden: texts that no piece of the answer may hold.
        prefix: text that every answer begins with.
        samples: draw so many answers at random instead of searching for the best; 0 means search.
        temperature: divides the logits before drawing: below 1 safer, above 1 more varied.
        top_k: draw among so many of the likeliest pieces; 0 means all.
        top_p: draw among the likeliest pieces that together have this probability.
        min_p: draw among the pieces of at least this share of the likeliest one's probability.
        seed: of the draws; the same seed gives the same answers.

    Raises:
        UserError: a value is out of its range, or two contradict each other.

    Example:
        ```python
        translator.generate(["A man rides a bike."], search=SearchOptions(beam=5, length_penalty=0.6))
        ```
    """

    beam: int = 1
    n_best: int = 1
    length_penalty: float = 0.0
    coverage_penalty: float = 0.0
    min_length: int = 0
    max_length: int | None = None
    min_ratio: float = 0.0
    max_ratio: float | None = None
    force_end: bool = False
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    forbidden: tuple[str, ...] = ()
    prefix: str = ""
    samples: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        refuse_unless(not isinstance(self.forbidden, str), "forbidden", self.forbidden, "a list of words")
        object.__setattr__(self, "forbidden", tuple(self.forbidden))
        self._check_ranges()
        self._check_pairs()

    def changed(self, given: Mapping[str, Any]) -> SearchOptions:
        """Returns these options with some in place of theirs. What is of no use beside them is as usual again: what
        belongs to a beam, where samples are to be drawn or a beam of 1 is asked for.

        Raises:
            UserError: as the constructor.

        Example:
            ```python
            SearchOptions(beam=4, length_penalty=1.0, no_repeat_ngram=4).changed({"samples": 3})  # no beam any more
            ```
        """
        useless = OF_A_BEAM if given.get("samples") or given.get("beam") == 1 else ()
        usual = {name: getattr(GREEDY, name) for name in useless}
        return replace(self, **{**usual, **given})

    def _check_ranges(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            wanted = f"{least} or more" if most == math.inf else f"{least} to {most}"
            refuse_unless(value is None or least <= value <= most, name, value, wanted)
        refuse_unless(0 < self.top_p <= 1, "top_p", self.top_p, "more than 0 and at most 1")
        for word in self.forbidden:
            refuse_unless(bool(word), "forbidden", word, "words of at least one character")
        for name, text in (("prefix", self.prefix), *(("forbidden", word) for word in self.forbidden)):
            refuse_unless(_is_utf_8(text), name, text, "text that UTF-8 can hold")

    def _check_pairs(self) -> None:
        if self.n_best > self.beam:
            raise UserError(f"n_best is {self.n_best}, more than the beam of {self.beam}; give a beam as large")
        if self.max_length is not None and self.min_length > self.max_length:
            raise UserError(f"min_length is {self.min_length}, more than max_length, {self.max_length}")
        if self.max_ratio is not None and self.min_ratio > self.max_ratio:
            raise UserError(f"min_ratio is {self.min_ratio}, more than max_ratio, {self.max_ratio}")
        defaults = {field.name: field.default for field in fields(self)}
        if self.samples:
            for name in OF_A_BEAM:
                if getattr(self, name) != defaults[name]:
                    raise UserError(
                        f"{name} is {getattr(self, name)}, but samples are drawn, not searched: leave it out"
                    )
        else:
            for name in ("temperature", "top_k", "top_p", "min_p", "seed"):
                if getattr(self, name) != defaults[name]:
                    raise UserError(f"{name} is {getattr(self, name)}, but nothing is drawn: set samples to 1 or more")
            for name in ("length_penalty", "coverage_penalty"):
                if self.beam == 1 and getattr(self, name) != defaults[name]:
                    raise UserError(f"{name} is {getattr(self, name)}, but greedy search has one answer: set beam")


def _is_utf_8(text: str) -> bool:
    """False for the halves of characters that Python makes of other bytes on a command line."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


GREEDY = SearchOptions()


def saved_search(config: Mapping[str, Any]) -> SearchOptions:
    """Returns how a run searches unless it is told otherwise, from its config as plain data: greedily, if that is mute.

    Raises:
        UserError: the config is damaged.
    """
    saved = config.get("search") or {}
    known = {field.name for field in fields(SearchOptions)}
    if not isinstance(saved, Mapping) or not set(saved) <= known:
        raise UserError(f"config.yaml is damaged: search is {saved!r:.80}, expected options of search")
    try:
        return SearchOptions(**saved)
    except TypeError as error:
        raise UserError(f"config.yaml is damaged: search: {error}") from None
