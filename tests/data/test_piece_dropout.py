"""MaxMatch-dropout against the paper's algorithm written out, byte by byte."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.data.piece_dropout import PieceDropout, uniform
from keras_transformer.data.store import Ragged
from keras_transformer.text import BytePieceTokenizer, LongestMatches

TEXTS = ["a man rides a bike", "two men on two bikes", "", "ÿé日本", "mmmmmm", "rides rides rides", "x"]


@pytest.fixture(scope="module")
def tokenizer() -> BytePieceTokenizer:
    return BytePieceTokenizer(
        [
            b" a",
            b" m",
            b"ma",
            b"man",
            b" ma",
            b" man",
            b"rid",
            b"ride",
            b"rides",
            b" bike",
            b" b",
            b"mm",
            b"mmm",
            b"bik",
        ]
    )


def matches_of(tokenizer: BytePieceTokenizer, texts: list[str]) -> Ragged:
    found = LongestMatches(tokenizer).match_batch(texts)
    return Ragged(np.concatenate(found), np.cumsum([0, *map(len, found)]))


def rows_of(cut: Ragged) -> list[list[int]]:
    return [cut.ids[start:stop].tolist() for start, stop in zip(cut.offsets[:-1], cut.offsets[1:], strict=True)]


def reference(tokenizer: BytePieceTokenizer, text: bytes, rate: float, draws: np.ndarray) -> list[int]:
    """Algorithm 1 of https://aclanthology.org/2022.findings-acl.298, the draws for each byte given: a match is refused
    while the draw is below rate, rate squared ... The shortest match, one byte, is never refused."""
    known = {piece: id for id, piece in enumerate(tokenizer.pieces) if piece}
    found, place = [], 0
    while place < len(text):
        ends = [end for end in range(len(text), place, -1) if text[place:end] in known]
        refused = 0
        while refused < len(ends) - 1 and draws[place] < rate ** (refused + 1):
            refused += 1
        found.append(known[text[place : ends[refused]]])
        place = ends[refused]
    return found


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.95])
def test_it_is_the_papers_algorithm(tokenizer: BytePieceTokenizer, rate: float) -> None:
    matches = matches_of(tokenizer, TEXTS)
    dropout = PieceDropout(tokenizer.pieces, rate, seed=7)
    rows = np.array([5, 0, 3, 1, 2, 4, 6])
    for epoch in range(20):
        epochs = np.full(len(rows), epoch)
        found = rows_of(dropout.cut(matches, rows, epochs, column=1, longest=99))
        key = np.random.SeedSequence([7, 1, epoch]).generate_state(1, np.uint64)
        for row, ids in zip(rows, found, strict=True):
            text = TEXTS[row].encode()
            draws = uniform(np.repeat(key, len(text)), matches.offsets[row] + np.arange(len(text)))
            assert ids == reference(tokenizer, text, rate, draws)
            assert tokenizer.decode_bytes(ids) == text


def test_without_dropout_it_is_the_tokenizer(tokenizer: BytePieceTokenizer) -> None:
    found = PieceDropout(tokenizer.pieces, 0.0, 0).cut(
        matches_of(tokenizer, TEXTS), np.arange(len(TEXTS)), np.zeros(len(TEXTS), int), 0, 99
    )
    assert rows_of(found) == [tokenizer.encode(text).tolist() for text in TEXTS]


def test_the_rate_is_the_share_of_refused_matches(tokenizer: BytePieceTokenizer) -> None:
    text = "mmm" * 20_000  # the longest match is "mmm", then "mm", then "m"
    found = PieceDropout(tokenizer.pieces, 0.3, 0).cut(
        matches_of(tokenizer, [text]), np.array([0]), np.array([0]), 0, 10**6
    )
    sizes = np.bincount([len(tokenizer.pieces[id]) for id in found.ids], minlength=4)[1:] / len(found.ids)
    np.testing.assert_allclose(sizes, [0.09, 0.21, 0.7], atol=0.01)


def test_rows_epochs_columns_and_seeds_are_independent(tokenizer: BytePieceTokenizer) -> None:
    texts = TEXTS * 4
    matches = matches_of(tokenizer, texts)

    def cut(rows: list[int], epoch: int = 0, column: int = 0, seed: int = 0) -> list[list[int]]:
        dropout = PieceDropout(tokenizer.pieces, 0.4, seed)
        return rows_of(dropout.cut(matches, np.array(rows), np.full(len(rows), epoch), column, 99))

    everything = cut(list(range(len(texts))))
    assert cut([9, 3, 9]) == [everything[9], everything[3], everything[9]]  # whatever stands beside
    for other in (cut([5, 12, 19], epoch=1), cut([5, 12, 19], column=1), cut([5, 12, 19], seed=1)):
        assert other != [everything[5], everything[12], everything[19]]
    assert everything[5] != everything[12] or everything[5] != everything[19]  # the same text, elsewhere in the data
    mixed = PieceDropout(tokenizer.pieces, 0.4, 0).cut(matches, np.array([5, 5]), np.array([0, 1]), 0, 99)
    assert rows_of(mixed) == [everything[5], cut([5], epoch=1)[0]]


def test_rows_that_would_grow_too_long_are_left_whole(tokenizer: BytePieceTokenizer) -> None:
    matches = matches_of(tokenizer, TEXTS)
    rows, epochs = np.arange(len(TEXTS)), np.zeros(len(TEXTS), int)
    dropout = PieceDropout(tokenizer.pieces, 0.8, 0)
    free = rows_of(dropout.cut(matches, rows, epochs, 0, 99))
    whole = [tokenizer.encode(text).tolist() for text in TEXTS]
    limit = max(map(len, whole))
    bound = rows_of(dropout.cut(matches, rows, epochs, 0, limit))
    assert bound == [ids if len(ids) <= limit else plain for ids, plain in zip(free, whole, strict=True)]
    assert any(len(ids) > limit for ids in free)
