"""What the training benchmarks count and read; that a contender takes turns, and says why it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_transformer.errors import UserError

FOLDER = Path(__file__).parents[2] / "benchmarks"
SMALL = {"num_encoder_layers": 1, "num_decoder_layers": 1, "hidden_dim": 8, "intermediate_dim": 16, "num_heads": 2}


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture
def case() -> Any:
    from train_cases import Case

    return Case("tiny", "tiny", vocabulary_size=50, rows=3, length=5, model=SMALL)


def test_flops_are_those_of_every_matrix_product(case: Any) -> None:
    from train_cases import step_flops

    b, n, w, f, v, heads, d = 3, 5, 8, 16, 50, 2, 4
    products = [  # rows, inner, columns, how many
        (b * n, w, 3 * w, 2),  # queries, keys and values of self-attention, encoder and decoder
        (b * n, w, w, 1 + 1),  # its output
        (b * n, w, w, 1),  # queries of cross-attention
        (b * n, w, 2 * w, 1),  # its keys and values
        (b * n, w, w, 1),  # its output
        (n, d, n, 3 * b * heads),  # logits of the three attentions
        (n, n, d, 3 * b * heads),  # what they mix
        (b * n, w, f, 2),
        (b * n, f, w, 2),
        (b * n, w, v, 1),
    ]
    forward = sum(2 * rows * inner * columns * count for rows, inner, columns, count in products)
    assert step_flops(case) == 3 * forward


def test_fewer_key_value_heads_and_gates_count(case: Any) -> None:
    from train_cases import step_flops

    grouped = replace(case, model={**SMALL, "num_key_value_heads": 1})
    assert step_flops(case) - step_flops(grouped) == 6 * 15 * 3 * (8 * 8)  # keys and values of half the width
    gated = replace(case, model={**SMALL, "activation": "swiglu"})
    assert step_flops(gated) - step_flops(case) == 6 * 15 * 2 * (8 * 16)


def test_full_batches_have_no_padding_and_shifted_targets(case: Any) -> None:
    from train_cases import full_batches, over_and_over

    batches = full_batches(case, count=2)
    for inputs, labels in batches:
        assert inputs["source_ids"].shape == labels.shape == (3, 5)
        assert min(inputs["source_ids"].min(), labels.min()) >= 3
        np.testing.assert_array_equal(inputs["target_ids"][:, 1:], labels[:, :-1])
        assert (inputs["target_ids"][:, 0] == 1).all()
    again = over_and_over(batches, step=5)
    assert next(again)[1] is batches[1][1]
    assert next(again)[1] is batches[0][1]


def test_assignments_are_read_as_yaml() -> None:
    from train_cases import assignments

    words = ["dropout=0.3", "averaging=null", "activation=gelu", "normalize_first=true"]
    assert assignments(words) == {"dropout": 0.3, "averaging": None, "activation": "gelu", "normalize_first": True}
    with pytest.raises(UserError, match=r"^expected key=value, received 'dropout'$"):
        assignments(["dropout"])


def test_an_unknown_field_is_named_with_close_matches(case: Any) -> None:
    with pytest.raises(UserError, match=r"^ModelConfig has no 'dropuot'; it has .*Did you mean 'dropout'"):
        replace(case, model={"dropuot": 0.1}).model_arguments()


def test_a_contender_takes_turns_in_its_process(case: Any) -> None:
    from train_worker import Worker

    worker = Worker("train_keras:ours", case, threads=1, warm_up=0.0)
    try:
        assert worker.warm() == {}
        turn = worker.turn(0.0)
        assert turn.amount == 15  # one step besides the first
        assert turn.seconds > 0
        assert turn.processor_seconds > 0
    finally:
        worker.close()


def test_a_contender_that_does_not_run_says_why(case: Any) -> None:
    from train_worker import Worker

    worker = Worker("train_keras:absent", case, threads=1)
    with pytest.raises(RuntimeError, match=r"^AttributeError: module 'train_keras' has no attribute 'absent'"):
        worker.warm()
    worker.close()


def test_the_better_setting_of_a_peer_counts() -> None:
    from train_table import better_of_each

    rates = {"ours": [5.0], "PyTorch": [1.0, 9.0, 2.0], "PyTorch, compiled": [3.0, 3.0, 3.0]}
    assert better_of_each({"tokens_per_second": rates}) == {"ours", "PyTorch, compiled"}
