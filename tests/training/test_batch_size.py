"""The size of batches that fits the memory: on machines made up, and once on this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keras_transformer.errors import UserError
from keras_transformer.training import batch_trial
from keras_transformer.training.batch_size import (
    GIB,
    MOST_TOKENS,
    Needed,
    Trial,
    available_memory,
    fitting_batch_tokens,
    in_a_process,
)
from keras_transformer.training.config import TrainingConfig

MODEL = {
    "vocabulary_size": 300,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "num_heads": 2,
}


def cpu(base: float, a_token: float) -> Callable[[Trial], Needed]:
    """A machine on which a step takes `base` GiB, and `a_token` KiB more for every token."""
    return lambda trial: Needed("cpu", int(base * GIB + trial.tokens * a_token * 1024))


def found(try_out: Callable[[Trial], Needed], memory: float, longest: int = 128) -> tuple[int, str]:
    said: list[str] = []
    tokens = fitting_batch_tokens(MODEL, TrainingConfig(), longest, said.append, try_out, int(memory * GIB))
    (line,) = said
    return tokens, line


def test_the_line_is_followed_to_the_memory_at_hand() -> None:
    tokens, said = found(cpu(1, 512), memory=10)  # (0.8 * 10 GiB - 1 GiB) / 512 KiB = 14,336 tokens
    assert tokens == 14_000
    assert said == "batches of up to 14,000 tokens: about 7.8 GiB of the 10.0 GiB of memory that are free"


def test_large_memory_is_not_filled() -> None:
    assert found(cpu(1, 512), memory=1000)[0] == MOST_TOKENS
    assert found(cpu(1, 0), memory=2)[0] == MOST_TOKENS  # so little that it cannot be measured


def test_memory_for_less_than_a_row() -> None:
    message = r"batch_tokens auto: a batch of one row of 500 tokens needs about 1.2 GiB, 1.4 are free; train a smaller"
    with pytest.raises(UserError, match=message):
        found(cpu(1, 512), memory=1.4, longest=500)


def test_an_accelerator_is_tried_from_the_top() -> None:
    tried: list[int] = []

    def gpu(trial: Trial) -> Needed:
        tried.append(trial.tokens)
        if trial.tokens > 13_000:
            raise UserError("out of memory")
        return Needed("gpu", 0)

    tokens, said = found(gpu, memory=1)
    assert tried == [1024, 25_000, 17_000, 11_000]
    assert tokens == 11_000
    assert said == "batches of up to 11,000 tokens fit the memory of the gpu"


def test_a_trial_in_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    training = {"optimizer": "lion", "batch_tokens": 64}
    needed = in_a_process(Trial(MODEL, training, longest=16, tokens=64))
    assert needed.device in ("cpu", "gpu")
    assert GIB / 10 < needed.peak < 20 * GIB
    with pytest.raises(UserError, match=r"batch_tokens auto: a step of 64 tokens failed \(.*num_heads.*\); give a num"):
        in_a_process(Trial({**MODEL, "num_heads": 3}, training, longest=16, tokens=64))
    assert capfd.readouterr() == ("", "")


def test_a_trial_of_a_classifier() -> None:
    model = {name: number for name, number in MODEL.items() if name != "num_decoder_layers"}
    trial = Trial({**model, "num_labels": 2, "pooling": "attention"}, {}, 16, 64, model_class="TextClassifier")
    assert batch_trial.run(trial).peak > GIB / 10


def test_a_trial_of_a_classifier_with_a_second_loss_needs_more() -> None:
    model = {**MODEL, "num_encoder_layers": 2, "hidden_dim": 64, "intermediate_dim": 256, "num_labels": 2}
    del model["num_decoder_layers"]
    plain = Trial({**model, "pooling": "mean"}, {}, 128, 8192, model_class="TextClassifier")
    needed = in_a_process(plain).peak, in_a_process(replace(plain, adversarial=1.0)).peak
    least = in_a_process(replace(plain, tokens=128)).peak
    assert needed[1] - least > 1.3 * (needed[0] - least)


def test_some_memory_is_free() -> None:
    assert 0 < available_memory() < 2**50


def test_what_is_refused() -> None:
    assert TrainingConfig(batch_tokens="auto").batch_tokens == "auto"
    with pytest.raises(UserError, match="batch_tokens is 0, expected 1 or more, or auto"):
        TrainingConfig(batch_tokens=0)
