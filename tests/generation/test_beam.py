"""Beam search against the enumeration of all sequences, with and without each constraint."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_transformer.generation import Constraints, SearchOptions, SpecialIds, StepOutput, generate_ids
from keras_transformer.generation.constraints import NEVER

PAD, START, END = 0, 1, 2
VOCABULARY, LENGTH, WIDTH, SOURCE = 6, 4, 5, 3
SPECIAL = SpecialIds(START, END, PAD)
ENOUGH = 2 * VOCABULARY**LENGTH  # more hypotheses than there are
Sequence = tuple[int, ...]


class RandomModel:
    """A recurrent network with random weights: what follows depends on all ids before, through the cache."""

    def __init__(self, seed: int, batch: int = 2, end: float = 0.0) -> None:
        random = np.random.default_rng(seed)
        self.start = random.normal(size=(batch, WIDTH))
        self.embeddings = random.normal(size=(VOCABULARY, WIDTH)) * 1.5
        self.recurrent = random.normal(size=(WIDTH, WIDTH))
        self.output = random.normal(size=(WIDTH, VOCABULARY)) * 1.5
        self.bias = np.eye(VOCABULARY)[END] * end
        self.look = random.normal(size=(WIDTH, SOURCE))

    def cache(self, beams: int) -> Any:
        return ops.convert_to_tensor(np.repeat(self.start, beams, axis=0).astype("float32"))

    def step(self, ids: Any, index: Any, cache: Any) -> StepOutput:
        inputs = ops.take(ops.convert_to_tensor(self.embeddings.astype("float32")), ids, axis=0)
        state = ops.tanh(inputs + ops.matmul(cache, self.recurrent.astype("float32")))
        logits = ops.matmul(state, self.output.astype("float32")) + self.bias.astype("float32")
        return StepOutput(logits, state, ops.softmax(ops.matmul(state, self.look.astype("float32"))))

    def follow(self, row: int, sequence: Sequence, penalty: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """The log-probability of every id of a sequence, and the attention it paid: the same in float64."""
        state, gains, attention = self.start[row], [], np.zeros(SOURCE)
        for place, (last, following) in enumerate(zip((START, *sequence), sequence, strict=False)):
            state = np.tanh(self.embeddings[last] + state @ self.recurrent)
            logits = state @ self.output + self.bias
            seen = np.isin(np.arange(VOCABULARY), sequence[:place])
            logits = np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)
            gains.append(logits[following] - np.log(np.exp(logits).sum()))
            look = np.exp(state @ self.look)
            attention += look / look.sum()
        return np.array(gains), attention


def all_sequences(limit: int = LENGTH) -> list[Sequence]:
    """Those that end with the end id, and those that reach the limit without it."""
    others = [i for i in range(VOCABULARY) if i != END]
    ended = [(*ids, END) for n in range(limit) for ids in itertools.product(others, repeat=n)]
    return ended + list(itertools.product(others, repeat=limit))


@dataclass(frozen=True)
class Case:
    """Constraints, and the same as a rule about sequences: `allowed(sequence)` for the one of batch row `row`."""

    constraints: Callable[[], Constraints]
    allowed: Callable[[Sequence, int], bool]
    limits: tuple[int, int] = (LENGTH, LENGTH)


def tensor(values: Any) -> Any:
    return ops.convert_to_tensor(np.array(values, "int32"))


def has_repeat(sequence: Sequence, size: int) -> bool:
    grams = [sequence[i : i + size] for i in range(len(sequence) - size + 1)]
    return any(gram in grams[:i] and END not in gram for i, gram in enumerate(grams))


CASES = {
    "free": Case(Constraints, lambda ids, row: True),
    "at least": Case(
        lambda: Constraints(min_lengths=tensor([1, 2])), lambda ids, row: END not in ids or len(ids) - 1 >= row + 1
    ),
    "at most": Case(lambda: Constraints(max_lengths=tensor([2, 3])), lambda ids, row: True, (2, 3)),
    "made to end": Case(
        lambda: Constraints(max_lengths=tensor([3, 4]), force_end=True), lambda ids, row: ids[-1] == END, (3, 4)
    ),
    "forbidden": Case(lambda: Constraints(forbidden=(3, 5)), lambda ids, row: not {3, 5} & set(ids)),
    "prefix": Case(
        lambda: Constraints(prefix_ids=tensor([[4, 3], [5, 0]]), prefix_lengths=tensor([2, 1]), forbidden=(3,)),
        lambda ids, row: ids[: 2 - row] == ((4, 3), (5,))[row] and 3 not in ids[2 - row :],
    ),
    "unigrams": Case(lambda: Constraints(no_repeat_ngram=1), lambda ids, row: not has_repeat(ids, 1)),
    "bigrams": Case(lambda: Constraints(no_repeat_ngram=2), lambda ids, row: not has_repeat(ids, 2)),
}


def expected(
    model: RandomModel, row: int, case: Case, alpha: float, beta: float = 0.0, penalty: float = 1.0
) -> list[tuple[float, Sequence, float]]:
    """(score, ids, log-probability) of all allowed sequences, the best first."""
    found = []
    for ids in all_sequences(case.limits[row]):
        if case.allowed(ids, row):
            gains, attention = model.follow(row, ids, penalty)
            score = gains.sum() / ((5 + len(ids)) / 6) ** alpha
            score += beta * np.log(np.minimum(attention, 1)).sum() if beta else 0
            found.append((score, ids, gains.sum()))
    return sorted(found, reverse=True)


def run(
    model: RandomModel,
    options: SearchOptions,
    constraints: Constraints,
    max_length: int = LENGTH,
    bound_length: int | None = None,
) -> Any:
    beams = options.samples or options.beam
    mask = ops.ones((2, SOURCE))
    return generate_ids(
        model.step,
        model.cache(beams),
        2,
        max_length,
        SPECIAL,
        options,
        constraints,
        source_mask=mask,
        token_scores=True,
        bound_length=bound_length,
    )


def check(found: Any, model: RandomModel, case: Case, n_best: int, alpha: float, **more: float) -> None:
    for row in range(2):
        best = expected(model, row, case, alpha, **more)[:n_best]
        assert len(best) == n_best
        for rank, (score, ids, total) in enumerate(best):
            assert tuple(np.asarray(found.ids)[row, rank][: len(ids)]) == ids
            assert (np.asarray(found.ids)[row, rank][len(ids) :] == PAD).all()
            assert int(found.lengths[row, rank]) == len(ids) - (ids[-1] == END)
            assert float(found.scores[row, rank]) == pytest.approx(score, abs=1e-4)
            assert float(found.log_probabilities[row, rank]) == pytest.approx(total, abs=1e-4)
            gains, _ = model.follow(row, ids, more.get("penalty", 1.0))
            np.testing.assert_allclose(
                np.asarray(found.token_log_probabilities)[row, rank][: len(ids)], gains, atol=1e-4
            )


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, -0.5])
@pytest.mark.parametrize("name", CASES)
def test_the_n_best_of_all_sequences(name: str, alpha: float) -> None:
    case = CASES[name]
    model = RandomModel(seed=len(name))
    options = SearchOptions(beam=ENOUGH, n_best=5, length_penalty=alpha)
    check(run(model, options, case.constraints()), model, case, 5, alpha)


@pytest.mark.parametrize("name", ["free", "bigrams"])
def test_longer_sequences(name: str) -> None:
    case = replace(CASES[name], limits=(5, 5))
    model = RandomModel(seed=50 + len(name))
    options = SearchOptions(beam=VOCABULARY * ENOUGH, n_best=5, length_penalty=0.6)
    check(run(model, options, case.constraints(), 5), model, case, 5, 0.6)


@pytest.mark.parametrize("seed", range(3))
def test_other_models(seed: int) -> None:
    model = RandomModel(100 + seed, end=-1.0)
    check(
        run(model, SearchOptions(beam=ENOUGH, n_best=8, length_penalty=0.8), Constraints()),
        model,
        CASES["free"],
        8,
        0.8,
    )


def test_repetition_penalty() -> None:
    model = RandomModel(7)
    found = run(model, SearchOptions(beam=ENOUGH, n_best=4), Constraints(repetition_penalty=1.7))
    check(found, model, CASES["free"], 4, 0.0, penalty=1.7)


def test_coverage_penalty() -> None:
    model = RandomModel(8)
    found = run(model, SearchOptions(beam=ENOUGH, n_best=4, coverage_penalty=0.7, length_penalty=0.6), Constraints())
    check(found, model, CASES["free"], 4, 0.6, beta=0.7)
    plain = run(model, SearchOptions(beam=ENOUGH, n_best=4, length_penalty=0.6), Constraints())
    assert (np.asarray(found.ids) != np.asarray(plain.ids)).any()


class Table:
    """A model of fixed probabilities by last id; counts its steps."""

    def __init__(self, rows: dict[int, dict[int, float]]) -> None:
        self.logits = np.full((VOCABULARY, VOCABULARY), -30.0, "float32")
        for last, following in rows.items():
            for i, probability in following.items():
                self.logits[last, i] = np.log(probability)
        self.steps = 0

    def step(self, ids: Any, index: Any, cache: Any) -> StepOutput:
        self.steps += 1
        return StepOutput(ops.take(ops.convert_to_tensor(self.logits), ids, axis=0), cache)


def ids_of(table: Table, max_length: int = 6, **options: Any) -> list[int]:
    found = generate_ids(table.step, ops.zeros((options["beam"], 1)), 1, max_length, SPECIAL, SearchOptions(**options))
    ids = np.asarray(found.ids)[0, 0].tolist()
    return ids[: ids.index(END) + 1] if END in ids else ids


def test_a_short_finished_hypothesis_beats_longer_ones() -> None:
    # 3 ends at once with 0.45 * 0.9; what begins with 4 is likelier at first, and then falls to 0.55 * 0.6 * 0.6 ...
    table = Table({START: {4: 0.55, 3: 0.45}, 3: {END: 0.9, 5: 0.1}, 4: {5: 0.6, 3: 0.4}, 5: {END: 0.6, 5: 0.4}})
    assert ids_of(table, beam=2) == [3, END]
    assert table.steps < 6, "nothing open could win any more"
    assert ids_of(table, beam=2, length_penalty=6.0) == [4, 5, 5, 5, 5, END], "long answers can be asked for"


@pytest.mark.parametrize(
    ("alpha", "first", "expected"),
    [
        (2.0, {END: 0.6, 4: 0.4}, [4] * 6),  # behind log 0.6 with its second id, ahead with its sixth
        (-1.0, {END: 0.4, 3: 0.6}, [3, END]),  # ahead of log 0.4 with its second id, behind with a sixth
    ],
)
def test_what_can_still_win_goes_on(alpha: float, first: dict[int, float], expected: list[int]) -> None:
    table = Table({START: first, 3: {END: 1.0}, 4: {4: 1.0}})
    assert ids_of(table, beam=2, length_penalty=alpha) == expected


def test_a_limit_of_ids_tells_sooner_that_nothing_can_win() -> None:
    table = Table({START: {END: 0.8, 4: 0.2}, 4: {4: 1.0}})
    search = SearchOptions(beam=2, length_penalty=2.0)
    for limit, ids, steps in [(12, [4] * 12, 12), (4, [END], 1)]:  # log 0.2 ends ahead of log 0.8 with twelve ids
        limits = Constraints(max_lengths=tensor([limit]))
        found = generate_ids(table.step, ops.zeros((2, 1)), 1, 12, SPECIAL, search, limits)
        assert np.asarray(found.ids)[0, 0][: len(ids)].tolist() == ids
        assert int(found.steps) == steps


def test_what_has_ended_pays_for_no_more_ids() -> None:
    table = Table({START: {3: 0.6, 4: 0.4}, 3: {END: 0.5, 3: 0.5}, 4: {4: 1.0}})
    found = generate_ids(table.step, ops.zeros((3, 1)), 1, 6, SPECIAL, SearchOptions(beam=3, n_best=2))
    ids = np.asarray(found.ids)[0]
    assert ids[0].tolist() == [4] * 6  # 0.4, at every length
    assert ids[1].tolist() == [3, END, 0, 0, 0, 0]
    assert np.asarray(found.scores)[0] == pytest.approx([np.log(0.4), np.log(0.3)], abs=1e-4)


def test_fewer_answers_than_asked_for() -> None:
    model = RandomModel(3)
    only = Constraints(prefix_ids=tensor([[4, END]]), prefix_lengths=tensor([2]))
    found = run(model, SearchOptions(beam=3, n_best=3), only)
    assert np.asarray(found.ids)[0, 0].tolist() == [4, END, 0, 0]
    assert (np.asarray(found.scores)[:, 1:] < NEVER / 2).all()
    assert (np.asarray(found.scores)[:, 0] > NEVER / 2).all()


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_a_narrow_beam_is_no_better_than_a_wide_one(alpha: float) -> None:
    model = RandomModel(5)
    scores = [
        np.asarray(run(model, SearchOptions(beam=beam, length_penalty=alpha), Constraints()).scores)[:, 0]
        for beam in (2, 6, ENOUGH)
    ]
    assert (scores[0] <= scores[2] + 1e-5).all()
    assert (scores[1] <= scores[2] + 1e-5).all()


def test_sentences_of_a_batch_do_not_see_each_other() -> None:
    model = RandomModel(11)
    options = SearchOptions(beam=3, n_best=3, length_penalty=0.5)
    both = run(model, options, Constraints())
    for row in range(2):
        alone = RandomModel(11)
        alone.start = model.start[row : row + 1]
        found = generate_ids(alone.step, alone.cache(3), 1, LENGTH, SPECIAL, options)
        np.testing.assert_array_equal(np.asarray(found.ids)[0], np.asarray(both.ids)[row])


ROOMS = {
    "greedy": {},
    "beam": {"beam": 3, "n_best": 3},
    "long answers": {"beam": 3, "n_best": 2, "length_penalty": 1.0},
    "short answers": {"beam": 3, "n_best": 2, "length_penalty": -0.5},
    "samples": {"samples": 3, "seed": 2},
}


@pytest.mark.parametrize("options", ROOMS.values(), ids=list(ROOMS))
def test_a_search_that_ends_in_less_room_is_the_whole_one(options: dict[str, Any]) -> None:
    search, whole, ended = SearchOptions(**options), 12, 0
    for seed in range(8):
        model = RandomModel(200 + seed, end=1.5)
        expected = run(model, search, Constraints(), whole)
        for room in (4, 8):
            found = run(model, search, Constraints(), room, bound_length=whole)
            if int(found.steps) == room:
                continue
            ended += 1
            np.testing.assert_array_equal(np.asarray(found.ids), np.asarray(expected.ids)[:, :, :room])
            assert not np.asarray(expected.ids)[:, :, room:].any()
            np.testing.assert_array_equal(np.asarray(found.lengths), np.asarray(expected.lengths))
            np.testing.assert_allclose(np.asarray(found.scores), np.asarray(expected.scores), rtol=1e-6)
    assert 0 < ended < 16, "some end in less room, some do not"


def test_what_can_win_in_more_room_goes_on_in_less() -> None:
    """Behind log 0.62 with three ids, which is all the room there is, and ahead with the six of the whole search."""
    table = Table({START: {END: 0.62, 4: 0.38}, 4: {4: 1.0}})
    search = SearchOptions(beam=2, length_penalty=2.0)
    found = generate_ids(table.step, ops.zeros((2, 1)), 1, 3, SPECIAL, search, bound_length=6)
    assert int(found.steps) == 3, "fewer would say that it is final"


# Greedy search and drawing, under the same rules


@pytest.mark.parametrize("name", CASES)
def test_greedy_search_keeps_the_rules(name: str) -> None:
    case = CASES[name]
    model = RandomModel(seed=len(name))
    found = run(model, SearchOptions(), case.constraints())
    for row in range(2):
        ids = np.asarray(found.ids)[row, 0].tolist()
        ids = ids[: ids.index(END) + 1] if END in ids else ids[: case.limits[row]]
        assert case.allowed(tuple(ids), row)
        gains, _ = model.follow(row, tuple(ids))
        assert float(found.scores[row, 0]) == pytest.approx(gains.sum(), abs=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_draws_keep_the_rules(name: str) -> None:
    case = CASES[name]
    model = RandomModel(seed=len(name))
    found = run(model, SearchOptions(samples=40, temperature=1.5, seed=3), case.constraints())
    for row in range(2):
        for rank in range(40):
            ids = np.asarray(found.ids)[row, rank].tolist()
            ids = ids[: ids.index(END) + 1] if END in ids else ids[: case.limits[row]]
            assert case.allowed(tuple(ids), row)
            gains, _ = model.follow(row, tuple(ids))
            assert float(found.scores[row, rank]) == pytest.approx(gains.sum(), abs=1e-3)


def test_draws_have_the_probabilities_of_the_model() -> None:
    table = Table({START: {3: 0.5, 4: 0.3, 5: 0.2}, **{last: {END: 1.0} for last in (3, 4, 5)}})
    for options, wanted in [
        ({}, [0.5, 0.3, 0.2]),
        ({"top_k": 2}, [0.625, 0.375, 0.0]),
        ({"top_p": 0.6}, [0.625, 0.375, 0.0]),
        ({"min_p": 0.5}, [0.625, 0.375, 0.0]),
        ({"top_k": 2, "top_p": 0.6}, [1.0, 0.0, 0.0]),
        ({"temperature": 0.5}, [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38]),
    ]:
        if options == {"top_k": 2, "top_p": 0.6}:
            options = {"top_k": 2, "top_p": 0.62}  # of the two that are left the first has 0.625
        draws = SearchOptions(samples=4000, seed=1, **options)
        found = generate_ids(table.step, (), 1, 2, SPECIAL, draws)
        first = np.asarray(found.ids)[0, :, 0]
        shares = [(first == i).mean() for i in (3, 4, 5)]
        assert shares == pytest.approx(wanted, abs=0.03), options


def test_a_seed_repeats_and_another_differs() -> None:
    model = RandomModel(2)
    draws = SearchOptions(samples=20, seed=5)
    first, again = (np.asarray(run(model, draws, Constraints()).ids) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != np.asarray(run(model, replace(draws, seed=6), Constraints()).ids)).any()
