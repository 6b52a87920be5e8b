"""The model as it is trained: a Transformer with its loss and metrics.

Shapes: b batch, t target length, w width.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
from keras import ops

from keras_transformer.training.copy_loss import copy_cross_entropy
from keras_transformer.training.losses import TokenLoss, linear_cross_entropy
from keras_transformer.training.updates import TOKEN_WEIGHT

USUAL_TOKENS = 4096.0  # what sums are divided by, so that gradients in float16 are about the size of means


class TokenWeight(keras.layers.Layer):
    """Holds the variable whose gradient is the weight of a batch; in a layer of its own, it comes after the model's."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.token_weight = self.add_weight(shape=(), initializer="zeros", name=TOKEN_WEIGHT)
        self.built = True


class TrainingModel(keras.Model):
    """Trains a model that gives hidden states, with cross-entropy per real target token.

    The loss is a sum over the labels that are not padding, divided by their number: neither padding nor the shape of
    a batch changes it. Logits are never held all at once, see `linear_cross_entropy`. Train with
    `fit(x={"source_ids", "target_ids"}, y=labels [b, t])`; the weights are those of `model`.

    What `fit` minimises is the sum divided by a constant, and a variable, `token_weight`, has the
    number of tokens (divided by the same constant) for its gradient: the optimizer divides by it, see
    `NormAndAverages`. So the mean is over all tokens of an update, however they are parted into micro-batches and
    devices.

    Metrics, each a mean over real target tokens: `loss` (with label smoothing), `nll` (negative log-likelihood
    without it, in nats), `token_accuracy`.

    Args:
        model: has `hidden_states(inputs, training) -> [b, t, w]` and `token_embedding`, a `TokenEmbedding`.
        label_smoothing: share of the target distribution spread over the whole vocabulary.
        pad_id: label that does not count.
        parts: parts of a batch that are computed side by side. As many as there are processors, with operations that
            take one thread each: quicker than every operation on all of them (measured, see benchmarks/train.py).
        consistency: R-Drop's factor: every row is then computed twice, with other dropout, and what the two predict is
            drawn together; see `linear_cross_entropy`.

    Example:
        ```python
        training_model = TrainingModel(model, label_smoothing=0.1)
        training_model.compile(optimizer=Adam(learning_rate=1e-3))
        training_model.fit(feed, steps_per_epoch=100)
        ```
    """

    def __init__(
        self,
        model: keras.Model,
        label_smoothing: float = 0.0,
        pad_id: int = 0,
        parts: int = 1,
        consistency: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(name=kwargs.pop("name", "training"), **kwargs)
        self.model = model
        self.label_smoothing = label_smoothing
        self.pad_id = pad_id
        self.parts = parts
        self.consistency = consistency
        self.token_means = {name: keras.metrics.Mean(name=name) for name in ("loss", "nll", "token_accuracy")}
        self.weighing = TokenWeight(dtype="float32", name="weighing")
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> list[Any]:
        """Returns the hidden states of each part of the batch; of each row twice, if training is to be consistent."""
        parted = {name: self._parted(ids) for name, ids in inputs.items()}
        if training and self.consistency:
            parted = {name: [ops.concatenate([part, part]) for part in parts] for name, parts in parted.items()}
        with self.model.token_embedding.one_table():
            states = self.model.copy_states if getattr(self.model, "copy", False) else self.model.hidden_states
            return [
                states({name: parts[i] for name, parts in parted.items()}, training=training) for i in range(self.parts)
            ]

    def _parted(self, x: Any) -> list[Any]:
        if self.parts == 1:
            return [x]
        rows = ops.shape(x)[0]
        ends = [rows * i // self.parts for i in range(self.parts + 1)]
        return [x[start:end] for start, end in itertools.pairwise(ends)]

    def token_loss(self, hidden: list[Any], labels: Any, consistency: float = 0.0, source_ids: Any = None) -> TokenLoss:
        """Returns the sums over all real target tokens of what the model's call gave, against `labels [b, t]`."""
        if getattr(self.model, "copy", False):
            sources = self._parted(source_ids)
            parts = [self._copy_loss(*each) for each in zip(hidden, self._parted(labels), sources, strict=True)]
        else:
            parts = [self._part_loss(*pair, consistency) for pair in zip(hidden, self._parted(labels), strict=True)]
        return TokenLoss(*(sum(terms[1:], terms[0]) for terms in zip(*parts, strict=True)))

    def _copy_loss(self, states: Any, labels: Any, source_ids: Any) -> TokenLoss:
        embeddings = self.model.token_embedding.embeddings
        return copy_cross_entropy(states, embeddings, source_ids, labels, self.pad_id, self.label_smoothing)

    def _part_loss(self, hidden: Any, labels: Any, consistency: float) -> TokenLoss:
        labels = ops.reshape(labels, (-1,))
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        weights = ops.cast(ops.not_equal(labels, self.pad_id), "float32")
        embeddings = self.model.token_embedding.embeddings
        return linear_cross_entropy(hidden, embeddings, labels, weights, self.label_smoothing, consistency=consistency)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        source_ids = x["source_ids"] if getattr(self.model, "copy", False) else None
        sums = self.token_loss(y_pred, y, self.consistency if training else 0.0, source_ids)
        weight = ops.maximum(sums.weight, 1.0)
        means = {"loss": sums.loss, "nll": sums.negative_log_likelihood, "token_accuracy": sums.correct}
        for name, total in means.items():
            self.token_means[name].update_state(total / weight, sample_weight=sums.weight)
        return sums.loss / USUAL_TOKENS + self.weighing.token_weight * ops.stop_gradient(sums.weight / USUAL_TOKENS)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.token_means.values())
