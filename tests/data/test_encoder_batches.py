"""Batches of labelled texts: labels stay with their texts, whatever is done to these."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_transformer.data import Augmentation, EncoderBatches, MaskedBatches, PieceDropout, TokenStore
from keras_transformer.text import BytePieceTokenizer, LongestMatches

TOKENIZER = BytePieceTokenizer([b" one", b" two", b" on", b"one", b" three", b" tw", b" th", b"ree"])
TEXTS = [" ".join(["one", "two", "three"][: 1 + i % 3] * (1 + i % 4)) for i in range(60)]


def store(tmp_path: Path, labels: list[np.ndarray], limit: int = 40, **options: Any) -> TokenStore:
    rows = [(text,) for text in TEXTS]
    matcher = LongestMatches(TOKENIZER)
    TokenStore.write(tmp_path / "train", rows, ("text",), TOKENIZER, (limit,), matcher, labels=labels, **options)
    return TokenStore(tmp_path / "train")


def numbers(batch: Any) -> list[int]:
    """Returns the labels of a batch, having checked that each stands beside its text."""
    inputs, labels = batch
    found = [int(label) for label in labels[:, 0] if label >= 0]
    for ids, label in zip(inputs["ids"], labels[:, 0], strict=True):
        expected = TEXTS[label] if label >= 0 else ""
        assert TOKENIZER.decode(ids[ids > 0]) == expected
    return found


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("multiple", [1, 4])
def test_labels_stay_with_their_texts(tmp_path: Path, rate: float, multiple: int) -> None:
    """Pieces differ from epoch to epoch; a text that dropout makes longer than the longest is cut, so room is left."""
    kept = store(tmp_path, [np.array([i], np.int32) for i in range(60)])
    kept.columns["text"].ids = np.asarray(kept.columns["text"].ids)
    dropout = PieceDropout(TOKENIZER.pieces, rate, seed=0) if rate else None
    batches = EncoderBatches(kept, 120, seed=0, length_multiple=multiple, dropout=dropout)
    batches._longest = (60,)
    for _ in range(2):
        assert sorted(number for batch in batches.one_epoch() for number in numbers(batch)) == list(range(60))
    stream = list(islice(batches.from_step(0), 12))
    for (ids, labels), (again, same) in zip(stream[5:], batches.from_step(5), strict=False):
        np.testing.assert_array_equal(ids["ids"], again["ids"])
        np.testing.assert_array_equal(labels, same)


def test_numbers_are_labels_too(tmp_path: Path) -> None:
    labels = [np.array([i / 7, -i], np.float32) for i in range(60)]
    batches = EncoderBatches(
        store(tmp_path, labels), 100, seed=0, length_multiple=8, label_dtype="float32", pad_label=float("nan")
    )
    found = np.concatenate([labels for _, labels in batches.one_epoch()])
    assert found.dtype == np.float32
    real = found[~np.isnan(found[:, 0])]
    np.testing.assert_array_equal(real[np.argsort(real[:, 0])], np.stack(labels))


def test_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    labels = [np.array([i], np.int32) for i in range(60)]
    rows = [(text,) for text in TEXTS]
    report = TokenStore.write(tmp_path / "cut", rows, ("text",), TOKENIZER, (5,), labels=labels, cuts_long_rows=True)
    lengths = [len(TOKENIZER.encode(text)) for text in TEXTS]
    assert (report.rows, report.too_long) == (60, sum(length > 5 for length in lengths))
    assert report.first_too_long == next(i for i, length in enumerate(lengths) if length > 5)
    kept = TokenStore(tmp_path / "cut")
    assert kept.column("text").lengths.tolist() == [min(length, 5) for length in lengths]
    assert kept.column("labels").ids.tolist() == list(range(60))


def test_a_text_left_out_takes_its_label_with_it(tmp_path: Path) -> None:
    kept = store(tmp_path, [np.array([i], np.int32) for i in range(60)], limit=5)
    lengths = [len(TOKENIZER.encode(text)) for text in TEXTS]
    assert kept.column("labels").ids.tolist() == [i for i, length in enumerate(lengths) if length <= 5]


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_labels_by_byte_fit_any_pieces(tmp_path: Path, rate: float) -> None:
    """A word's label stands at its first byte; the piece that holds it has it, the others none."""
    labels = []
    for text in TEXTS:
        row = np.full(len(text), -1, np.int32)
        place = 0
        for word in text.split(" "):
            row[place] = {"one": 1, "two": 2, "three": 3}[word]
            place += len(word) + 1
        labels.append(row)
    dropout = PieceDropout(TOKENIZER.pieces, rate, seed=0) if rate else None
    sizes = [len(piece) for piece in TOKENIZER.pieces]
    batches = EncoderBatches(store(tmp_path, labels), 300, seed=0, dropout=dropout, piece_sizes=sizes)
    seen = 0
    for inputs, found in batches.one_epoch():
        assert found.shape == inputs["ids"].shape
        for ids, row in zip(inputs["ids"], found, strict=True):
            text = TOKENIZER.decode(ids[ids > 0])
            words = [word for word in text.split(" ") if word]
            expected = [{"o": 1, "t": 3}[word[0]] if word[:2] != "tw" else 2 for word in words if len(word) > 1]
            assert row[row > 0].tolist()[: len(expected)] == expected
            assert (row[ids == 0] == -1).all()
            seen += len(expected)
    assert seen > 150


def test_masks(tmp_path: Path) -> None:
    kept = store(tmp_path, [np.array([i], np.int32) for i in range(60)])
    batches = MaskedBatches(kept, 200, seed=0, mask_id=2, vocabulary_size=TOKENIZER.vocabulary_size)
    plain = EncoderBatches(kept, 200, seed=0)
    hidden = masks = total = 0
    for (inputs, labels), (whole, _) in zip(islice(batches.from_step(0), 60), plain.from_step(0), strict=False):
        ids, guessed = inputs["ids"], labels != 0
        np.testing.assert_array_equal(np.where(guessed, labels, ids), whole["ids"])
        assert not guessed[whole["ids"] == 0].any()
        hidden += int(guessed.sum())
        masks += int((ids == 2).sum())
        total += int((whole["ids"] != 0).sum())
    assert 0.12 < hidden / total < 0.18
    assert 0.7 < masks / hidden < 0.9


def words_of(ids: np.ndarray) -> list[str]:
    return TOKENIZER.decode(ids[ids > 0]).split()


def test_augmentation_moves_and_leaves_out_whole_words() -> None:
    text = "a one two three one two three one two three"
    ids = np.tile(np.pad(TOKENIZER.encode(text), (0, 3)), (200, 1)).astype(np.int32)
    swapped = Augmentation(TOKENIZER.pieces, swap=0.3)(ids, np.random.default_rng(0), 0)
    assert all(sorted(words_of(row)) == sorted(text.split()) for row in swapped)
    assert all(words_of(row)[0] == "a" for row in swapped)
    assert sum(words_of(row) != text.split() for row in swapped) > 100
    shorter = Augmentation(TOKENIZER.pieces, delete=0.2)(ids, np.random.default_rng(0), 0)
    lengths = [len(words_of(row)) for row in shorter]
    assert 7 < np.mean(lengths) < 9
    assert all(set(words_of(row)) <= set(text.split()) for row in shorter)
    np.testing.assert_array_equal(Augmentation(TOKENIZER.pieces)(ids, np.random.default_rng(0), 0), ids)


def test_augmentation_leaves_something() -> None:
    ids = np.array([TOKENIZER.encode("one two")] * 50, np.int32)
    changed = Augmentation(TOKENIZER.pieces, delete=0.99)(ids, np.random.default_rng(0), 0)
    assert (changed != 0).any(axis=1).all()
