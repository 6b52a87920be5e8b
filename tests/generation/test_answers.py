"""Answers of every kind of search, in strings: several of them, under rules, one at a time and in batches."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.generation import Generated, SearchOptions, TextToText
from keras_transformer.generation.alignment import words_of

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:text [0-9]+ has an answer that:UserWarning"),
]

GREEDY = SearchOptions()
BEAM = SearchOptions(beam=4, n_best=3, length_penalty=0.6, min_length=2)
SAMPLES = SearchOptions(samples=3, temperature=0.7, top_k=40, top_p=0.95, seed=11)
SEARCHES = {"greedy": GREEDY, "beam": BEAM, "samples": SAMPLES}
every_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=list(SEARCHES))


@every_search
def test_a_batch_of_32_equals_32_texts(answering: TextToText, texts: list[str], search: SearchOptions) -> None:
    together = answering.generate_n_best(texts, search=search)
    assert len({answers[0].text for answers in together}) > 15, "equal answers prove little"
    for text, answers in zip(texts, together, strict=True):
        (alone,) = answering.generate_n_best([text], search=search)
        assert [answer.text for answer in alone] == [answer.text for answer in answers]
        for one, other in zip(alone, answers, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert one.is_complete == other.is_complete


@every_search
def test_log_probabilities_are_those_of_the_one_shot_model(
    answering: TextToText, texts: list[str], search: SearchOptions
) -> None:
    tokenizer, complete = answering.tokenizer, 0
    sources = [tokenizer.encode(text) for text in texts]
    for source, answers in list(zip(sources, answering.search(sources, search), strict=True))[::4]:
        assert len(answers) == (search.samples or search.n_best)
        for answer in answers:
            taken = [*answer.ids, *([tokenizer.end_id] if answer.is_complete else [])]
            inputs = np.array([[tokenizer.start_id, *taken[:-1]]], np.int32)
            logits = np.asarray(answering.model({"source_ids": source[None], "target_ids": inputs}))[0].astype(float)
            gains = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
            expected = gains[np.arange(len(taken)), taken]
            assert answer.piece_log_probabilities == pytest.approx(tuple(expected), abs=1e-4)
            assert answer.log_probability == pytest.approx(expected.sum(), abs=1e-3)
            divisor = ((5 + len(taken)) / 6) ** search.length_penalty
            assert answer.score == pytest.approx(expected.sum() / divisor, abs=1e-3)
            complete += answer.is_complete
    if search == BEAM:
        assert 0 < complete < 3 * 8, "with and without an end"


def test_coverage_is_that_of_the_whole_source_and_of_nothing_else(answering: TextToText, texts: list[str]) -> None:
    """In a batch the shorter sources are padded: nobody is to look there."""
    search = SearchOptions(beam=4, n_best=3, length_penalty=0.6, coverage_penalty=0.4)
    start_id, end_id = answering.tokenizer.start_id, answering.tokenizer.end_id
    sources = [answering.tokenizer.encode(text) for text in texts]
    together, shares = answering.search(sources, search), []
    for source, answers in list(zip(sources, together, strict=True))[::4]:
        (alone,) = answering.search([source], search)
        for one, answer in zip(alone, answers, strict=True):
            assert one.ids.tolist() == answer.ids.tolist()
            assert one.score == pytest.approx(answer.score, abs=1e-3)
            taken = [*answer.ids, *([end_id] if answer.is_complete else [])]
            inputs = np.array([[start_id, *taken[:-1]]], np.int32)
            covered = np.asarray(answering.model.alignment(source[None], inputs))[0].sum(axis=0)
            penalty = 0.4 * np.log(np.clip(covered, 1e-9, 1)).sum()
            divisor = ((5 + len(taken)) / 6) ** 0.6
            assert answer.score == pytest.approx(answer.log_probability / divisor + penalty, abs=1e-3)
            shares.append(penalty / answer.score)
    assert max(shares) > 0.1, "a penalty of nothing proves nothing"


def test_the_n_best_differ_and_the_best_comes_first(answering: TextToText, texts: list[str]) -> None:
    found = answering.generate_n_best(texts, search=BEAM)
    for answers in found:
        assert len({(answer.text, answer.pieces, answer.score) for answer in answers}) == 3
        assert [answer.score for answer in answers] == sorted((answer.score for answer in answers), reverse=True)
    best = [answers[0] for answers in found]
    assert answering.generate(texts, search=BEAM) == best
    assert answering.predict(texts, search=BEAM) == [answer.text for answer in best]
    fewer = answering.generate_n_best(texts, search=replace(BEAM, n_best=2))
    assert [[answer.text for answer in answers[:2]] for answers in found] == [
        [answer.text for answer in answers] for answers in fewer
    ]


def test_greedy_is_a_beam_of_one(answering: TextToText, texts: list[str]) -> None:
    assert answering.generate(texts, search=SearchOptions(beam=1, n_best=1)) == answering.generate(texts)


def test_a_seed_repeats(answering: TextToText, texts: list[str]) -> None:
    first, again = (answering.generate_n_best(texts, search=SAMPLES) for _ in range(2))
    assert first == again
    other = answering.generate_n_best(texts, search=replace(SAMPLES, seed=12))
    assert [answer.text for answers in other for answer in answers] != [a.text for answers in first for a in answers]
    assert len({answer.text for answer in first[0]}) > 1, "the samples of a text differ"
    more = answering.generate_n_best(texts, search=replace(SAMPLES, samples=5))
    assert [[answer.text for answer in answers[:3]] for answers in more] == [
        [a.text for a in answers] for answers in first
    ]


@every_search
def test_an_empty_text_has_one_empty_answer(answering: TextToText, search: SearchOptions) -> None:
    found = answering.generate_n_best(["", "a man", ""], search=search)
    assert found[0] == found[2] == [Generated("", 0.0, 0, 0.0, True, ())]
    assert len(found[1]) == (search.samples or search.n_best)


# Rules


@every_search
def test_a_prefix(answering: TextToText, texts: list[str], search: SearchOptions) -> None:
    prefix = "Käse is"
    found = answering.generate_n_best(texts, search=replace(search, prefix=prefix))
    assert all(answer.text.startswith(prefix) for answers in found for answer in answers)
    assert any(answer.pieces > 7 for answers in found for answer in answers), "it goes on from there"
    pieces = len(answering.tokenizer.encode(prefix))
    assert all(len(answer.piece_log_probabilities) >= pieces for answers in found for answer in answers)


@every_search
def test_forbidden_words(answering: TextToText, texts: list[str], search: SearchOptions) -> None:
    words = ("bike", ";", "k")
    free = answering.generate_n_best(texts, search=search)
    assert any("bike" in answer.text for answers in free for answer in answers)
    found = answering.generate_n_best(texts, search=replace(search, forbidden=words))
    assert not any(word in answer.text for answers in found for answer in answers for word in words)
    assert len(found) == len(texts)


@every_search
def test_no_piece_twice(answering: TextToText, texts: list[str], search: SearchOptions) -> None:
    sources = [answering.tokenizer.encode(text) for text in texts]
    pairs = []
    for answers in answering.search(sources, replace(search, no_repeat_ngram=2)):
        for answer in answers:
            found = list(zip(answer.ids[:-1].tolist(), answer.ids[1:].tolist(), strict=True))
            assert len(set(found)) == len(found)
            pairs += found
    assert pairs


@every_search
def test_lengths(answering: TextToText, texts: list[str], search: SearchOptions) -> None:
    rules = replace(search, min_length=3, max_length=6)
    found = [answer for answers in answering.generate_n_best(texts, search=rules) for answer in answers]
    assert {answer.pieces for answer in found} <= {3, 4, 5, 6}
    assert not any(answer.is_complete for answer in found if answer.pieces == 6), "the end would have been the seventh"
    ended = [
        answer
        for answers in answering.generate_n_best(texts, search=replace(rules, force_end=True))
        for answer in answers
    ]
    assert {answer.pieces for answer in ended} <= {3, 4, 5, 6}
    assert 6 in {answer.pieces for answer in ended}
    assert all(answer.is_complete for answer in ended)


@every_search
def test_lengths_relative_to_the_source(answering: TextToText, texts: list[str], search: SearchOptions) -> None:
    rules = replace(search, min_length=0, min_ratio=0.3, max_ratio=0.5)
    found = answering.generate_n_best(texts, search=rules)
    lengths = set()
    for text, answers in zip(texts, found, strict=True):
        pieces = len(answering.tokenizer.encode(text))
        longest = min(math.ceil(0.5 * pieces), answering.max_target_length - 1)
        for answer in answers:
            assert min(math.ceil(0.3 * pieces), longest) <= answer.pieces <= longest
            lengths.add(answer.pieces)
    assert len(lengths) > 4


# Warnings


def test_an_answer_without_an_end_is_warned_of(answering: TextToText, texts: list[str]) -> None:
    unfinished = [i for i, answer in enumerate(answering.generate(texts), 1) if not answer.is_complete]
    assert 0 < len(unfinished) < len(texts)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answering.generate(texts)
    assert [str(warning.message) for warning in caught if warning.category is UserWarning] == [
        f"text {i} has an answer that reached its limit of pieces without an end" for i in unfinished
    ]


@pytest.mark.parametrize("rule", [{"max_length": 4}, {"max_ratio": 0.5}])
def test_an_answer_cut_as_asked_for_is_not(answering: TextToText, texts: list[str], rule: dict[str, float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        answering.generate(texts, search=SearchOptions(**rule))  # type: ignore[arg-type]


# Options that do not fit the model, as a caller meets them


def test_options_that_do_not_fit(answering: TextToText) -> None:
    with pytest.raises(UserError, match=r"^prefix has 12 pieces, more than the 11 that an answer may have$"):
        answering.predict(["a"], search=SearchOptions(prefix="Zwölf Hunde"))
    with pytest.raises(UserError, match=r"^beam is 1000, more than the 270 pieces of the vocabulary$"):
        answering.predict(["a"], search=SearchOptions(beam=1000))


# Alignment


def test_alignment_of_words(answering: TextToText) -> None:
    text, answer = "the red bike  12", "Käse und 7 man"
    source, target, weights = answering.align(text, answer)
    assert source == ["the", "red", "bike", "", "12"]
    assert target == ["Käse", "und", "7", "man"]
    assert weights.shape == (4, 5)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (weights >= 0).all()
    assert np.ptp(weights, axis=0).max() > 0.01, "equal rows prove little"


def test_the_alignment_of_a_word_is_that_of_its_pieces(answering: TextToText) -> None:
    tokenizer = answering.tokenizer
    text, answer = "rides 12", "über man"
    pieces, taken = tokenizer.encode(text), tokenizer.encode(answer)
    inputs = np.array([[tokenizer.start_id, *taken]], np.int32)
    each = np.asarray(answering.model.alignment(pieces[None], inputs, [(0, 1)]))[0][: len(taken)]
    source, target, weights = answering.align(text, answer, heads=[(0, 1)])
    first = len(tokenizer.encode("rides"))
    assert len(source) == len(target) == 2
    to_words = np.stack([each[:, :first].sum(axis=1), each[:, first:].sum(axis=1)], axis=1)
    cut = len(tokenizer.encode("über"))
    np.testing.assert_allclose(weights, [to_words[:cut].mean(axis=0), to_words[cut:].mean(axis=0)], atol=1e-5)


def test_what_cannot_be_aligned(answering: TextToText) -> None:
    for pair in [("", "a"), ("a", "")]:
        with pytest.raises(UserError, match=r"^an empty text has no alignment$"):
            answering.align(*pair)
    with pytest.raises(UserError, match=r"^no cross-attention head 2 in block 1; there are 2 blocks of 2$"):
        answering.align("a", "b", heads=[(1, 2)])


@pytest.mark.parametrize(
    ("pieces", "words", "places"),
    [
        ([], [], []),
        ([b"a"], ["a"], [0]),
        ([b" a", b"b", b" c"], ["ab", "c"], [0, 0, 1]),
        ([b"a", b"\n", b"b"], ["a", "b"], [0, 1, 1]),
        ([b"K", b"\xc3", b"\xa4", b" x"], ["Kä", "x"], [0, 0, 0, 1]),
        ([b"\xff", b" \xc3"], ["\ufffd", "\ufffd"], [0, 1]),
        ([b" ", b" a"], ["", "a"], [0, 1]),
    ],
)
def test_words(pieces: list[bytes], words: list[str], places: list[int]) -> None:
    assert words_of(pieces) == (words, places)
