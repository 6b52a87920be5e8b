"""What the training benchmarks train: models and batches of given sizes, and the arithmetic of a step.

Shapes: b rows, s source length, t target length, w width, f width inside the feed-forward networks, v vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import yaml

from keras_transformer.errors import UserError, close_matches
from keras_transformer.training.config import ModelConfig, TrainingConfig

PAD_ID, START_ID, FIRST_WORD = 0, 1, 3
BATCHES = 16  # different ones, over and over
POLICIES = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Case:
    """A model and its batches.

    Args:
        name: what it is called on the command line.
        preset: whose numbers the model has.
        vocabulary_size: v.
        rows: b.
        length: s and t.
        policy: float32 or mixed_bfloat16.
        model: arguments of `ModelConfig` that differ from the preset's.
        training: arguments of `TrainingConfig` that differ from the defaults.
    """

    name: str
    preset: str
    vocabulary_size: int
    rows: int
    length: int
    policy: str = "float32"
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def model_arguments(self) -> dict[str, Any]:
        """Returns the arguments of `Seq2SeqTransformer`, all but the vocabulary's size and the policy."""
        return configured(ModelConfig, {"preset": self.preset, **self.model}).arguments()

    def training_config(self) -> TrainingConfig:
        """Returns how `compile_for_training` is to be called."""
        config: TrainingConfig = configured(TrainingConfig, {"dtype_policy": self.policy, **self.training})
        return config

    def __str__(self) -> str:
        model = self.model_arguments()
        return (
            f"{model['num_encoder_layers']}+{model['num_decoder_layers']} layers, width {model['hidden_dim']}, "
            f"feed-forward {model['intermediate_dim']}, {model['num_heads']} heads, vocabulary "
            f"{self.vocabulary_size:,}, batch {self.rows} x {self.length}"
        )


# Post-norm and dropout 0.1, as in "Attention Is All You Need": what all the peers offer.
ORIGINAL = {"normalize_first": False, "dropout": 0.1}
CASES = {
    "a": Case("a", "small", 10_000, rows=64, length=32, model=ORIGINAL),
    "b": Case("b", "tiny", 9_504, rows=256, length=16, model=ORIGINAL),
}


def configured(kind: type, values: dict[str, Any]) -> Any:
    """Returns a config of a kind; an unknown name is one line."""
    names = [item.name for item in fields(kind)]
    for name in values:
        if name not in names:
            raise UserError(f"{kind.__name__} has no {name!r}; it has {', '.join(names)}.{close_matches(name, names)}")
    return kind(**values)


def assignments(words: Sequence[str]) -> dict[str, Any]:
    """Returns `key=value` words as values by name; a value is read as YAML: `0.1`, `true`, `null`, `relu`."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise UserError(f"expected key=value, received {word!r}")
        found[name] = yaml.safe_load(value)
    return found


def full_batches(case: Case, count: int = BATCHES) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Returns batches of random ids without padding, as `Seq2SeqBatches` gives them: inputs by name, and labels."""
    random, shape = np.random.default_rng(0), (case.rows, case.length)
    batches = []
    for _ in range(count):
        source, labels = (random.integers(FIRST_WORD, case.vocabulary_size, shape, np.int32) for _ in range(2))
        target = np.concatenate([np.full_like(labels[:, :1], START_ID), labels[:, :-1]], axis=1)
        batches.append(({"source_ids": source, "target_ids": target}, labels))
    return batches


def over_and_over(batches: Sequence[Any], step: int = 0) -> Iterator[Any]:
    """Yields the batches from that of a step on, without end."""
    while True:
        yield batches[step % len(batches)]
        step += 1


def step_flops(case: Case) -> int:
    """Returns the floating-point operations of the matrix products of one training step, the useful ones alone.

    Multiply-adds forward, for each position of the encoder: 4 w w (the projections of self-attention) + 2 s w (logits
    and mixing) + 2 w f; for each of the decoder 4 w w + 2 t w, 2 w w + 2 s w (cross-attention: query and output),
    2 w f, and v w at the output; cross-attention's keys and values 2 w w for each position of the encoder and block
    of the decoder. A multiply-add is two operations, and each product has two more of its size on the way back:
    times 6.
    The half of causal attention that is masked counts, since nobody here leaves it out; a product that is computed
    again, for want of memory, does not.
    """
    model, length = case.model_arguments(), case.length
    w, f = model["hidden_dim"], model["intermediate_dim"]
    share = (model["num_key_value_heads"] or model["num_heads"]) / model["num_heads"]  # of keys and values
    feed_forward = (3 if model["activation"] == "swiglu" else 2) * w * f
    self_attention = (2 + 2 * share) * w * w + 2 * length * w
    cross_attention = self_attention  # the lengths are equal
    encoder = model["num_encoder_layers"] * (self_attention + feed_forward)
    decoder = model["num_decoder_layers"] * (self_attention + cross_attention + feed_forward)
    return round(6 * case.rows * length * (encoder + decoder + case.vocabulary_size * w))
