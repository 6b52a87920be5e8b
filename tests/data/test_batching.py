"""Batches: every row once, within the budget, in an order that depends on seed and step alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.data import Seq2SeqBatches, TokenStore
from keras_transformer.data import batching as batching_module
from keras_transformer.data.feed import default_length_multiple, feed
from keras_transformer.data.mixing import mixing_shares
from keras_transformer.data.piece_dropout import PieceDropout
from keras_transformer.data.store import Ragged
from keras_transformer.errors import UserError

IDS = {"start_id": 1, "end_id": 2, "pad_id": 0}
Batch = tuple[dict[str, np.ndarray], np.ndarray]


class Store(TokenStore):
    """A store in memory: row i holds the id 3 + i as often as it is long, so that rows are known again."""

    def __init__(self, lengths: list[tuple[int, int]], parts: tuple[int, ...] = ()):
        self.folder = Path("memory")
        self.columns = {}
        self.parts = parts or (len(lengths),)
        for place, name in enumerate(("source", "target")):
            sizes = np.array([pair[place] for pair in lengths], dtype=np.int64)
            ids = np.repeat(np.arange(len(lengths), dtype=np.int32) + 3, sizes)
            self.columns[name] = Ragged(ids, np.concatenate([[0], sizes]).cumsum())


def batches_of(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int = 0, parts: tuple[int, ...] = (), **options: Any
) -> Seq2SeqBatches:
    return Seq2SeqBatches(Store(lengths, parts), batch_tokens, seed, **IDS, **options)


def random_lengths(rows: int, longest: int = 23) -> list[tuple[int, int]]:
    random = np.random.default_rng(rows)
    return [(int(a), int(b)) for a, b in random.integers(1, longest + 1, size=(rows, 2))]


def rows_of(batch: Batch) -> list[int]:
    """Returns the rows in a batch, having checked every token of them."""
    inputs, labels = batch
    source, target = inputs["source_ids"], inputs["target_ids"]
    assert source.dtype == target.dtype == labels.dtype == np.int32
    assert target.shape == labels.shape
    assert len(source) == len(target)
    found = []
    for source_row, target_row, label_row in zip(source, target, labels, strict=True):
        if not label_row.any():
            assert not source_row.any()
            assert not target_row.any()
            continue
        ids = label_row[label_row > 2]
        row = int(ids[0]) - 3
        length, source_length = len(ids), int((source_row != 0).sum())
        assert label_row.tolist() == [row + 3] * length + [2] + [0] * (len(label_row) - length - 1)
        assert target_row.tolist() == [1] + [row + 3] * length + [0] * (len(label_row) - length - 1)
        assert source_row.tolist() == [row + 3] * source_length + [0] * (len(source_row) - source_length)
        found.append((row, source_length, length))
    return found  # type: ignore[return-value]


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 17), st.integers(1, 17)), min_size=1, max_size=80),
    budget=st.integers(20, 200),
    seed=st.integers(0, 5),
    multiple=st.sampled_from([1, 4]),
)
def test_every_row_once_and_within_the_budget(
    lengths: list[tuple[int, int]], budget: int, seed: int, multiple: int
) -> None:
    batches = batches_of(lengths, budget, seed, length_multiple=multiple)
    epoch = list(batches.one_epoch())
    assert len(epoch) == batches.batches_per_epoch
    found = [row for batch in epoch for row in rows_of(batch)]
    assert sorted(found) == [(row, *lengths[row]) for row in range(len(lengths))]
    for inputs, labels in epoch:
        assert inputs["source_ids"].size <= budget
        assert labels.size <= budget
        assert inputs["source_ids"].shape[1] % multiple == labels.shape[1] % multiple == 0
    for share, ids in (
        (batches.padding_share, [labels for _, labels in epoch]),
        (batches.source_padding_share, [inputs["source_ids"] for inputs, _ in epoch]),
    ):
        assert share == pytest.approx(sum(int((x == 0).sum()) for x in ids) / sum(x.size for x in ids))


def same(one: Batch, other: Batch) -> bool:
    return all(np.array_equal(one[0][name], other[0][name]) for name in one[0]) and np.array_equal(one[1], other[1])


def test_the_order_depends_on_seed_and_step_alone() -> None:
    lengths = random_lengths(150)
    batches = batches_of(lengths, 120)
    count = batches.batches_per_epoch
    assert count > 10
    stream = list(islice(batches.from_step(0), 3 * count))
    again = list(islice(batches_of(lengths, 120).from_step(0), 3 * count))
    assert all(map(same, stream, again))
    for step in (1, count - 1, count, 2 * count + 5):
        assert same(next(batches.from_step(step)), stream[step])
    taken_up = list(islice(batches.from_step(count - 3), 8))
    assert all(map(same, taken_up, stream[count - 3 :]))
    other_seed = list(islice(batches_of(lengths, 120, seed=1).from_step(0), count))
    assert not all(map(same, stream, other_seed))


@pytest.mark.parametrize("multiple", [1, 8])
def test_epochs_differ_in_rows_and_order_but_not_in_the_sizes_of_batches(multiple: int) -> None:
    batches = batches_of(random_lengths(300, longest=15), 120, length_multiple=multiple)
    count = batches.batches_per_epoch
    stream = list(islice(batches.from_step(0), 2 * count))
    first, second = stream[:count], stream[count:]
    assert [rows_of(batch) for batch in first] != [rows_of(batch) for batch in second]
    sets = [{frozenset(rows_of(batch)) for batch in epoch} for epoch in (first, second)]
    assert sets[0] != sets[1]  # not the same batches in another order
    shapes = [[(len(y), x["source_ids"].shape[1], y.shape[1]) for x, y in epoch] for epoch in (first, second)]
    longer = [sorted((rows, max(sides)) for rows, *sides in epoch) for epoch in shapes]
    assert longer[0] == longer[1]
    assert multiple == 1 or sorted(shapes[0]) == sorted(shapes[1])  # XLA has no more shapes to compile
    for epoch in (first, second):
        assert sorted(row for batch in epoch for row, *_ in rows_of(batch)) == list(range(300))


def test_batches_are_not_all_alike() -> None:
    """Rows of one length come together by chance: a batch has differences of the sides up to `DIFFERENCE` apart."""
    random = np.random.default_rng(3)
    lengths = [(20, int(length)) for length in random.integers(16, 20, 3000)]
    mean = np.mean([length for _, length in lengths])
    for inputs, labels in batches_of(lengths, 1000).one_epoch():
        found = [length for *_, length in rows_of((inputs, labels))]
        assert abs(np.mean(found) - mean) < 1  # sorted by both sides, most batches would be of one length alone


def test_like_lengths_stand_together() -> None:
    batches = batches_of(random_lengths(3000), 1000)
    assert batches.padding_share < 0.2
    mixed = sum(x["source_ids"].size for x, _ in batches.one_epoch()) / sum(a for a, _ in random_lengths(3000))
    assert mixed < 1.3


def test_few_shapes_for_xla() -> None:
    """Shapes do not grow with the data: batches of the same lengths have as many rows, of padding if need be."""
    batches = batches_of(random_lengths(3000), 1000, length_multiple=8)
    shapes = {(x["source_ids"].shape, y.shape) for x, y in batches.one_epoch()}
    assert {1000 // max(source[1], target[1]) for source, target in shapes} == {source[0] for source, _ in shapes}
    assert len(shapes) <= 3 * 3 < batches.batches_per_epoch / 4


def test_the_longest_row_just_fits() -> None:
    assert batches_of([(1, 15), (16, 1)], 16).batches_per_epoch == 2


@pytest.mark.parametrize(
    ("lengths", "multiple", "longest"),
    [([(1, 1), (3, 16)], 1, "17"), ([(17, 2)], 1, "17"), ([(1, 31)], 4, r"32 \(rounded up to a multiple of 4\)")],
)
def test_too_small_a_budget(lengths: list[tuple[int, int]], multiple: int, longest: str) -> None:
    message = (
        rf"a batch of 16 tokens cannot hold the longest row of {longest}; "
        rf"set training.batch_tokens to {longest[:2]} or more"
    )
    with pytest.raises(UserError, match=message):
        batches_of(lengths, 16, length_multiple=multiple)


def test_a_store_of_another_task() -> None:
    store = Store([(1, 1)])
    store.columns["text"] = store.columns.pop("source")
    with pytest.raises(UserError, match="it has no column 'source'"):
        Seq2SeqBatches(store, 16, 0, **IDS)


def test_the_feed_gives_the_same_batches() -> None:
    batches = batches_of(random_lengths(40), 120)
    started: list[int] = []

    def start() -> Any:
        started.append(1)
        return batches.from_step(2)

    found = feed(start)
    expected = islice(batches.from_step(2), 12)
    for (inputs, labels), batch in zip(found, expected, strict=False):
        converted = ({name: np.asarray(value) for name, value in inputs.items()}, np.asarray(labels))
        assert same(converted, batch)
    if keras.backend.backend() == "tensorflow":
        assert found.options().autotune.enabled is False


def test_tensorflow_has_no_use_for_few_shapes() -> None:
    assert default_length_multiple() == (1 if keras.backend.backend() == "tensorflow" else 8)


# Several sources


def test_sources_are_mixed_by_their_shares() -> None:
    lengths = random_lengths(200)
    batches = batches_of(lengths, 120, parts=(150, 50), shares=[0.4, 0.6])
    assert (batches.parts, batches.counts) == ((150, 50), (80, 120))
    count = batches.batches_per_epoch
    stream = list(islice(batches.from_step(0), 15 * count))
    seen = np.zeros(200, int)
    for epoch in range(15):
        rows = [row for batch in stream[epoch * count : (epoch + 1) * count] for row, *_ in rows_of(batch)]
        assert (sum(row < 150 for row in rows), sum(row >= 150 for row in rows)) == (80, 120)
        np.add.at(seen, rows, 1)
    assert set(seen[:150]) == {8}  # 15 epochs of 80 rows are eight times all 150
    assert set(seen[150:]) == {36}
    assert all(labels.size <= 120 for _, labels in stream)
    again = batches_of(lengths, 120, parts=(150, 50), shares=[0.4, 0.6])
    for step in (0, 7, count, 9 * count + 3):
        assert same(next(again.from_step(step)), stream[step])


def test_shares_by_size_are_no_mixing() -> None:
    lengths = random_lengths(200)
    mixed = batches_of(lengths, 120, parts=(150, 50), shares=mixing_shares((150, 50)).tolist())
    assert mixed.counts == (150, 50)
    rows = [row for batch in mixed.one_epoch() for row, *_ in rows_of(batch)]
    assert sorted(rows) == list(range(200))


# Curriculum


def longer_side(batch: Batch) -> int:
    return max(batch[0]["source_ids"].shape[1], batch[1].shape[1])


def test_a_curriculum_begins_with_short_batches() -> None:
    lengths = random_lengths(600)
    batches = batches_of(lengths, 120, curriculum_steps=300)
    plain = batches_of(lengths, 120)
    longest = np.array([longer_side(batch) for batch in islice(batches.from_step(0), 300)])
    in_order = sorted(map(longer_side, plain.one_epoch()))
    for step, found in enumerate(longest):
        share = (0.01 + 0.99 * step / 300) ** 0.5  # equation 8 of the paper
        assert found <= in_order[int(np.ceil(share * len(in_order))) - 1], step
    thirds = [part.mean() for part in np.split(longest, 3)]
    assert thirds[0] < thirds[1] < thirds[2]
    assert len(set(longest[:30])) > 1
    after, same_after = (list(islice(found.from_step(300), 20)) for found in (batches, plain))
    assert all(map(same, after, same_after))
    stream = list(islice(batches.from_step(0), 320))
    assert all(same(next(batches.from_step(step)), stream[step]) for step in (0, 1, 150, 299, 305))


# Other pieces in every epoch

PIECES = [b"", b"", b"", *(bytes([byte]) for byte in range(256)), b"ab", b"abc", b"abcd", b"cd"]
AB, ABC, ABCD, CD = range(259, 263)


class Texts(TokenStore):
    """A store of texts of the letters a to d, with their longest matches."""

    def __init__(self, texts: list[tuple[bytes, bytes]]):
        self.folder, self.parts, self.columns = Path("memory"), (len(texts),), {}
        for place, name in enumerate(("source", "target")):
            matches = [_matches(row[place]) for row in texts]
            pieces = [_greedy(row) for row in matches]
            for column, rows in ((name, pieces), (f"{name}_matches", matches)):
                ids = np.array([id for row in rows for id in row], np.int32)
                self.columns[column] = Ragged(ids, np.cumsum([0, *map(len, rows)]))


def _matches(text: bytes) -> list[int]:
    places = range(len(text))
    known = [[i for i, piece in enumerate(PIECES) if piece and text.startswith(piece, at)] for at in places]
    return [max(found, key=lambda i: len(PIECES[i])) for found in known]


def _greedy(matches: list[int]) -> list[int]:
    found, place = [], 0
    while place < len(matches):
        found.append(matches[place])
        place += len(PIECES[matches[place]])
    return found


def texts(count: int) -> list[tuple[bytes, bytes]]:
    random = np.random.default_rng(count)
    words = [b"abcd", b"abc", b"ab", b"cd", b"d", b"a"]

    def text() -> bytes:
        return b"".join(words[i] for i in random.integers(6, size=random.integers(1, 9)))

    return [(text(), text()) for _ in range(count)]


def dropped(rows: list[tuple[bytes, bytes]], rate: float = 0.3, **options: Any) -> Seq2SeqBatches:
    return Seq2SeqBatches(Texts(rows), 64, 0, **IDS, dropout=PieceDropout(PIECES, rate, 0), **options)


def decoded(batch: Batch) -> list[tuple[bytes, bytes]]:
    sides = (batch[0]["source_ids"], batch[1])
    return list(zip(*[[b"".join(PIECES[i] for i in row) for row in side.tolist()] for side in sides], strict=True))


@pytest.mark.parametrize("multiple", [1, 4])
def test_dropout_gives_every_text_in_other_pieces_each_epoch(multiple: int) -> None:
    rows = texts(120)
    batches = dropped(rows, length_multiple=multiple)
    count = batches.batches_per_epoch
    stream = list(islice(batches.from_step(0), 4 * count))
    sizes = []
    for epoch in range(4):
        part = stream[epoch * count : (epoch + 1) * count]
        assert sorted(row for batch in part for row in decoded(batch) if row != (b"", b"")) == sorted(rows)
        assert all(labels.size <= 64 and inputs["source_ids"].size <= 64 for inputs, labels in part)
        sizes.append(sum(int((labels > 2).sum()) for _, labels in part))
    assert len(set(sizes)) > 1
    assert min(sizes) > 1.1 * sum(Texts(rows).columns["target"].lengths)
    again = dropped(rows, length_multiple=multiple)
    assert all(same(next(again.from_step(step)), stream[step]) for step in (0, 3, count, 3 * count + 2))


def test_dropout_by_parts_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching_module, "DROPOUT_ROWS", 50)
    rows = texts(120)
    batches = dropped(rows)  # three rounds of 40
    found = [row for batch in islice(batches.from_step(0), batches.batches_per_epoch) for row in decoded(batch)]
    assert sorted(found) == sorted(rows)
    stream = list(islice(batches.from_step(0), 2 * batches.batches_per_epoch))
    middle = batches.batches_per_epoch + 5
    assert same(next(batches.from_step(middle)), stream[middle])


def test_dropout_without_stored_matches() -> None:
    with pytest.raises(UserError, match="it has no column 'source_matches'"):
        batches_of([(1, 1)], 16, dropout=PieceDropout(PIECES, 0.1, 0))
