"""What a search may be asked for: every refusal names the option, the value and what is expected."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from keras_transformer.errors import UserError
from keras_transformer.generation import SearchOptions
from keras_transformer.generation.options import GREEDY
from keras_transformer.generation.search import answers_per_sentence, rows_per_sentence

NAN = float("nan")
INFINITE = float("inf")
OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"beam": 0}, "beam is 0, expected 1 or more"),
    ({"n_best": 0}, "n_best is 0, expected 1 or more"),
    ({"min_length": -1}, "min_length is -1, expected 0 or more"),
    ({"max_length": 0}, "max_length is 0, expected 1 or more"),
    ({"min_ratio": -0.5}, "min_ratio is -0.5, expected 0 to 1000"),
    ({"max_ratio": 0.0}, "max_ratio is 0.0, expected 0.001 to 1000"),
    ({"max_ratio": INFINITE}, "max_ratio is inf, expected 0.001 to 1000"),
    ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1, expected 0 or more"),
    ({"samples": -1}, "samples is -1, expected 0 to 65536"),
    ({"samples": 65537}, "samples is 65537, expected 0 to 65536"),
    ({"samples": 1, "top_k": -3}, "top_k is -3, expected 0 or more"),
    ({"beam": 2, "coverage_penalty": -0.1}, "coverage_penalty is -0.1, expected 0 to 1000"),
    ({"beam": 2, "length_penalty": 10.5}, "length_penalty is 10.5, expected -10 to 10"),
    ({"beam": 2, "length_penalty": NAN}, "length_penalty is nan, expected -10 to 10"),
    ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0, expected 0.01 to 100"),
    ({"samples": 1, "temperature": 0.0}, "temperature is 0.0, expected 0.001 to 1000"),
    ({"samples": 1, "temperature": NAN}, "temperature is nan, expected 0.001 to 1000"),
    ({"samples": 1, "temperature": INFINITE}, "temperature is inf, expected 0.001 to 1000"),
    ({"samples": 1, "top_p": 0.0}, "top_p is 0.0, expected more than 0 and at most 1"),
    ({"samples": 1, "top_p": 1.01}, "top_p is 1.01, expected more than 0 and at most 1"),
    ({"samples": 1, "top_p": NAN}, "top_p is nan, expected more than 0 and at most 1"),
    ({"samples": 1, "min_p": -0.1}, "min_p is -0.1, expected 0 to 1"),
    ({"samples": 1, "min_p": 1.1}, "min_p is 1.1, expected 0 to 1"),
    ({"samples": 1, "seed": -1}, "seed is -1, expected 0 to 2147483647"),
    ({"samples": 1, "seed": 2**31}, "seed is 2147483648, expected 0 to 2147483647"),
    ({"forbidden": ("a", "")}, "forbidden is '', expected words of at least one character"),
    ({"forbidden": "Haus"}, "forbidden is 'Haus', expected a list of words"),
    ({"forbidden": ("a", "\udcff")}, "forbidden is '\\udcff', expected text that UTF-8 can hold"),
    ({"prefix": "a\ud83d"}, "prefix is 'a\\ud83d', expected text that UTF-8 can hold"),
]
CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"n_best": 2}, "n_best is 2, more than the beam of 1; give a beam as large"),
    ({"beam": 3, "n_best": 4}, "n_best is 4, more than the beam of 3; give a beam as large"),
    ({"min_length": 5, "max_length": 4}, "min_length is 5, more than max_length, 4"),
    ({"min_ratio": 1.5, "max_ratio": 1.0}, "min_ratio is 1.5, more than max_ratio, 1.0"),
    ({"samples": 2, "beam": 3}, "beam is 3, but samples are drawn, not searched: leave it out"),
    ({"samples": 2, "beam": 2, "n_best": 2}, "beam is 2, but samples are drawn, not searched: leave it out"),
    (
        {"samples": 2, "length_penalty": 0.5},
        "length_penalty is 0.5, but samples are drawn, not searched: leave it out",
    ),
    (
        {"samples": 2, "coverage_penalty": 0.5},
        "coverage_penalty is 0.5, but samples are drawn, not searched: leave it out",
    ),
    *(
        ({name: value}, f"{name} is {value}, but nothing is drawn: set samples to 1 or more")
        for name, value in [("temperature", 0.5), ("top_k", 3), ("top_p", 0.5), ("min_p", 0.5), ("seed", 4)]
    ),
    ({"length_penalty": 0.6}, "length_penalty is 0.6, but greedy search has one answer: set beam"),
    ({"coverage_penalty": 0.6}, "coverage_penalty is 0.6, but greedy search has one answer: set beam"),
]


@pytest.mark.parametrize(("given", "message"), [*OUT_OF_RANGE, *CONTRADICTIONS])
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        SearchOptions(**given)


def test_every_number_has_a_refusal() -> None:
    known = {field.name for field in fields(SearchOptions)}
    refused = {name for given, _ in [*OUT_OF_RANGE, *CONTRADICTIONS] for name in given}
    assert known - refused == {"force_end"}


def test_the_ends_of_the_ranges_are_allowed() -> None:
    SearchOptions(beam=4, n_best=4, length_penalty=-10, min_length=3, max_length=3, min_ratio=1, max_ratio=1)
    SearchOptions(samples=1, temperature=0.001, top_p=1, min_p=1, seed=2**31 - 1, top_k=0, repetition_penalty=100)


def test_forbidden_words_may_be_a_list() -> None:
    options = SearchOptions(forbidden=["a", "b"])  # type: ignore[arg-type]
    assert options.forbidden == ("a", "b")
    assert hash(options) == hash(SearchOptions(forbidden=("a", "b"))), "a decoder is kept for each"


@pytest.mark.parametrize(
    ("options", "rows", "answers"),
    [(GREEDY, 1, 1), (SearchOptions(beam=4, n_best=3), 4, 3), (SearchOptions(samples=5), 5, 5)],
)
def test_rows_and_answers(options: SearchOptions, rows: int, answers: int) -> None:
    assert (rows_per_sentence(options), answers_per_sentence(options)) == (rows, answers)
