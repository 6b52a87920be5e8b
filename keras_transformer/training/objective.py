"""What a model is trained for: how a batch goes through it, and the loss and metrics of what comes out.

Shapes: b batch, t target length, w width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_transformer.training.copy_loss import copy_cross_entropy
from keras_transformer.training.divergence import EXPLOSION_NATS
from keras_transformer.training.losses import linear_cross_entropy


class Sums(NamedTuple):
    """What a part of a batch adds up to: float32 scalars.

    Attributes:
        loss: what is to be as small as can be.
        weight: what the loss is of: so many tokens, examples or words. Divide by it for means.
        metrics: other sums by name, in the order of `Objective.metrics`.
    """

    loss: Any
    weight: Any
    metrics: dict[str, Any]

    def __add__(self, other: Any) -> Sums:
        metrics = {name: value + other.metrics[name] for name, value in self.metrics.items()}
        return Sums(self.loss + other.loss, self.weight + other.weight, metrics)


class Objective(ABC):
    """What `TrainingModel` has to know of a task.

    Sums, not means: those of the parts of a batch, of micro-batches and of devices are added before anything is divided
    by the weight, so that neither padding nor the shape of a batch changes the loss.

    Attributes:
        unit: what the weight counts, in the plural; names the rate of a training ("tokens" per second).
        metrics: names of the metrics besides `loss`.
        accuracy: that of them which is shown in the terminal.
        pad_id: what fills up the inputs.
        pad_label: what fills up the labels, and counts in no loss.
        explosion: how far above its running mean a loss must be to be an explosion; see `divergence`.
        usual_weight: about that of a batch. Sums are divided by it, so that gradients in float16 are about the size of
            means; the weight has no part in what is learned.
    """

    unit: str = "tokens"
    metrics: tuple[str, ...] = ()
    accuracy: str = ""
    pad_id: int = 0
    pad_label: float = 0
    explosion: float = EXPLOSION_NATS
    usual_weight: float = 4096.0

    @abstractmethod
    def outputs(self, model: keras.Model, inputs: dict[str, Any], training: bool | None) -> Any:
        """Returns what the model makes of a part of a batch, for `sums`; tensors in any nest."""

    @abstractmethod
    def sums(
        self, model: keras.Model, inputs: dict[str, Any], outputs: Any, labels: Any, consistency: float, training: bool
    ) -> Sums:
        """Returns the sums over a part of a batch.

        Args:
            model: that of `outputs`.
            inputs: of the part.
            outputs: what `outputs` gave; with `consistency`, of every row twice, the second time in the second half.
            labels: of the part, each row once.
            consistency: R-Drop's alpha (https://arxiv.org/abs/2106.14448), or 0.
            training: whether this is a training step.
        """

    def guess_loss(self, model: keras.Model) -> float:
        """Returns the loss of one that guesses, about where a training begins, in nats; infinite if not known."""
        return math.inf


class TokenObjective(Objective):
    """Cross-entropy of every real token against the embedding matrix, which is the output matrix too.

    For models with `hidden_states(inputs, training) -> [b, t, w]` and `token_embedding`; labels are int32 `[b, t]`.
    Logits are never held all at once, see `linear_cross_entropy`; and `copy_cross_entropy` for models that copy.

    Metrics, each a mean over real target tokens: `loss` (with label smoothing), `nll` (negative log-likelihood without
    it, in nats), `token_accuracy`.

    Args:
        label_smoothing: share of the target distribution spread over the whole vocabulary.
        pad_id: id that is padding, and label that does not count.
    """

    metrics = ("nll", "token_accuracy")
    accuracy = "token_accuracy"

    def __init__(self, label_smoothing: float = 0.0, pad_id: int = 0):
        self.label_smoothing = label_smoothing
        self.pad_id = pad_id
        self.pad_label = pad_id

    def outputs(self, model: keras.Model, inputs: dict[str, Any], training: bool | None) -> Any:
        states = model.copy_states if getattr(model, "copy", False) else model.hidden_states
        return states(inputs, training=training)

    def sums(
        self, model: keras.Model, inputs: dict[str, Any], outputs: Any, labels: Any, consistency: float, training: bool
    ) -> Sums:
        embeddings, smoothing = model.token_embedding.table(training), self.label_smoothing
        if getattr(model, "copy", False):
            if consistency:
                raise ValueError(
                    f"R-Drop compares what is written alone, and this model copies; received {consistency}"
                )
            found = copy_cross_entropy(outputs, embeddings, inputs["source_ids"], labels, self.pad_id, smoothing)
        else:
            labels = ops.reshape(labels, (-1,))
            hidden = ops.reshape(outputs, (-1, outputs.shape[-1]))
            weights = ops.cast(ops.not_equal(labels, self.pad_label), "float32")
            found = linear_cross_entropy(hidden, embeddings, labels, weights, smoothing, consistency=consistency)
        metrics = {"nll": found.negative_log_likelihood, "token_accuracy": found.correct}
        return Sums(found.loss, found.weight, metrics)

    def guess_loss(self, model: keras.Model) -> float:
        return math.log(model.token_embedding.vocabulary_size)
