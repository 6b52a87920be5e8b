"""Parts of batches for several devices, and the thread that reads ahead."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from keras_transformer.data.feed import Batch, parted, read_ahead


def batch(rows: int, start: int = 0) -> Batch:
    ids = np.arange(start + 1, start + 1 + rows * 2, dtype=np.int32).reshape(rows, 2)
    return {"source_ids": ids, "target_ids": ids + 100}, ids + 200


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read ahead"]


def test_parts_have_the_rows_in_order_and_padding_at_the_end() -> None:
    inputs, labels = batch(5)
    parts = parted((inputs, labels), 3, pad_id=7)
    assert [part.shape for _, part in parts] == [(2, 2)] * 3
    for name, ids in (*inputs.items(), ("labels", labels)):
        found = np.concatenate([part_labels if name == "labels" else part[name] for part, part_labels in parts])
        np.testing.assert_array_equal(found, [*ids.tolist(), [7, 7]])


def test_reading_ahead_gives_the_same_batches() -> None:
    found = [labels[0, 0] for _, labels in read_ahead(batch(1, start) for start in range(20))]
    assert found == [start + 201 for start in range(20)]
    assert not threads()


def test_no_more_is_read_ahead_than_asked_for() -> None:
    made: list[int] = []

    def endless() -> Iterator[Batch]:
        for start in itertools.count():
            made.append(start)
            yield batch(1, start)

    batches = read_ahead(endless(), count=2)
    next(batches)
    time.sleep(0.2)
    assert 3 <= len(made) <= 4
    assert len(threads()) == 1
    batches.close()  # type: ignore[attr-defined]
    assert not threads()


def test_what_reading_raises_arrives() -> None:
    def broken() -> Iterator[Batch]:
        yield batch(1)
        raise OSError("the disk is gone")

    batches = read_ahead(broken())
    next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not threads()
