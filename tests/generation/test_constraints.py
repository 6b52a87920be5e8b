"""Rules about ids, one at a time, on logits that are easy to read: the searches under them stand in test_beam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_transformer.generation import Constraints
from keras_transformer.generation.constraints import NEVER

END, VOCABULARY, LENGTH = 2, 6, 5
LOGITS = np.random.default_rng(0).normal(size=(2, 2, VOCABULARY)).astype("float32")
IDS = np.array([[[3, 4, 3, 0, 0], [5, 5, 5, 0, 0]], [[3, 3, 4, 0, 0], [1, 3, 1, 0, 0]]], "int32")


def tensor(values: Any) -> Any:
    return ops.convert_to_tensor(np.array(values, "int32"))


def forbidden(constraints: Constraints, index: int, ids: np.ndarray = IDS) -> list[list[set[int]]]:
    """The ids that may not follow, for each hypothesis; the logits of the others are as they were."""
    found = np.asarray(constraints.forbid(LOGITS, tensor(ids), tensor(index), END))
    never = found == np.float32(NEVER)
    np.testing.assert_array_equal(found[~never], LOGITS[~never])
    return [[set(np.flatnonzero(row).tolist()) for row in rows] for rows in never]


def test_no_rule_changes_nothing() -> None:
    assert forbidden(Constraints(), 3) == [[set(), set()], [set(), set()]]
    assert Constraints().penalise(LOGITS, tensor(IDS), tensor(3)) is LOGITS


def test_words() -> None:
    assert forbidden(Constraints(forbidden=(1, 4)), 3) == [[{1, 4}, {1, 4}]] * 2


@pytest.mark.parametrize(("index", "expected"), [(0, [{END}, {END}]), (1, [set(), {END}]), (2, [set(), set()])])
def test_an_early_end(index: int, expected: list[set[int]]) -> None:
    found = forbidden(Constraints(min_lengths=tensor([1, 2])), index)
    assert found == [[row, row] for row in expected]


@pytest.mark.parametrize("index", [1, 2, 3])
def test_the_last_id_is_the_end(index: int) -> None:
    """Of limits of 2 and 4 ids the last is at positions 1 and 3; past a limit nothing else is allowed either."""
    others = set(range(VOCABULARY)) - {END}
    found = forbidden(Constraints(max_lengths=tensor([2, 4]), force_end=True), index)
    assert found == [[others] * 2, [others if index == 3 else set()] * 2]
    assert forbidden(Constraints(max_lengths=tensor([2, 4])), index) == [[set(), set()]] * 2


def test_a_prefix_is_above_other_rules() -> None:
    rules = Constraints(
        prefix_ids=tensor([[4, 3]]), prefix_lengths=tensor([2]), forbidden=(3,), no_repeat_ngram=1, force_end=True
    )
    for index, wanted in [(0, 4), (1, 3)]:
        assert forbidden(rules, index) == [[set(range(VOCABULARY)) - {wanted}] * 2] * 2
    assert 3 in forbidden(rules, 2)[0][0]


@pytest.mark.parametrize(
    ("size", "index", "expected"),
    [
        (1, 3, [[{3, 4}, {5}], [{3, 4}, {1, 3}]]),
        (1, 0, [[set(), set()], [set(), set()]]),
        (2, 3, [[{4}, {5}], [set(), {3}]]),  # after 3 stood 4; after 5 stood 5; after 4 nothing; after 1 stood 3
        (2, 1, [[set(), set()], [set(), set()]]),
        (3, 3, [[set(), {5}], [set(), set()]]),
        (9, 3, [[set(), set()], [set(), set()]]),  # longer than an answer can be
    ],
)
def test_repeated_n_grams(size: int, index: int, expected: list[list[set[int]]]) -> None:
    """What stands behind the position is padding, or of another time: it counts for nothing."""
    assert forbidden(Constraints(no_repeat_ngram=size), index) == expected
    behind = IDS.copy()
    behind[:, :, index:] = 4
    assert forbidden(Constraints(no_repeat_ngram=size), index, behind) == expected


def test_the_repetition_penalty() -> None:
    penalised = np.asarray(Constraints(repetition_penalty=2.0).penalise(LOGITS, tensor(IDS), tensor(3)))
    for row in range(2):
        for hypothesis in range(2):
            seen = set(IDS[row, hypothesis, :3].tolist())
            for i, logit in enumerate(LOGITS[row, hypothesis]):
                expected = logit if i not in seen else logit / 2 if logit > 0 else logit * 2
                assert penalised[row, hypothesis, i] == pytest.approx(expected)
    assert (penalised != LOGITS).any()
