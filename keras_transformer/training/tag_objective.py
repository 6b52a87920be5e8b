"""What a tagger is trained for: a label for every word.

Shapes: b batch, n length in pieces, k labels.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_transformer.data.encoder_batches import NO_LABEL
from keras_transformer.training.objective import Objective, Sums


class TagObjective(Objective):
    """The loss of a `TextTagger`, each word counting the same.

    Cross-entropy of each word, or with a CRF the negative log-likelihood of all labels of a text together. Labels are
    int32 `[b, n]`, `NO_LABEL` for padding and for pieces in which no word begins.

    Metrics, each a mean over words: `loss` (with label smoothing), `nll` (without it, in nats), and without a CRF
    `accuracy`.

    With `consistency` (R-Drop) every text is computed twice, and the loss is the mean of both and a quarter of
    `consistency` times the divergence of the two, both ways, of each word's labels; with a CRF of its logits alone.

    Args:
        label_smoothing: share of the target distribution spread over all labels; a CRF has none.
        crf: whether the model has one.
    """

    unit = "words"
    usual_weight = 1024.0
    pad_label = NO_LABEL

    def __init__(self, label_smoothing: float = 0.0, crf: bool = False):
        self.label_smoothing = label_smoothing
        self.crf = crf
        self.metrics = ("nll",) if crf else ("nll", "accuracy")
        self.accuracy = "" if crf else "accuracy"

    def outputs(self, model: keras.Model, inputs: dict[str, Any], training: bool | None) -> Any:
        return model.answer(inputs, training)

    def sums(
        self, model: keras.Model, inputs: dict[str, Any], outputs: Any, labels: Any, consistency: float, training: bool
    ) -> Sums:
        twice = ops.concatenate([labels, labels]) if consistency else labels
        share = 0.5 if consistency else 1.0
        weights = share * ops.cast(twice >= 0, "float32")
        if self.crf:
            nll = -share * ops.sum(model.crf.log_likelihood(outputs, twice, twice >= 0))
            loss, metrics = nll, {"nll": nll}
        else:
            loss, metrics = self._of_words(outputs, twice, weights)
        if consistency:
            loss = loss + consistency / 4 * self._divergence(outputs, ops.cast(labels >= 0, "float32"))
        return Sums(loss, ops.sum(weights), metrics)

    def guess_loss(self, model: keras.Model) -> float:
        return math.log(model.num_labels)

    def _of_words(self, logits: Any, labels: Any, weights: Any) -> tuple[Any, dict[str, Any]]:
        log_probabilities = ops.log_softmax(logits, axis=-1)
        right = ops.one_hot(ops.maximum(labels, 0), logits.shape[-1], dtype="float32")
        of_label = ops.sum(right * log_probabilities, axis=-1)
        nll = -ops.sum(weights * of_label)
        spread = -ops.sum(weights * ops.mean(log_probabilities, axis=-1))
        correct = ops.cast(of_label >= ops.max(log_probabilities, axis=-1), "float32")
        loss = (1.0 - self.label_smoothing) * nll + self.label_smoothing * spread
        return loss, {"nll": nll, "accuracy": ops.sum(weights * correct)}

    def _divergence(self, logits: Any, weights: Any) -> Any:
        """`KL(p || q) + KL(q || p)` of what is predicted for each word the one and the other time, summed."""
        first, second = ops.split(logits, 2, axis=0)
        return ops.sum(weights * ops.sum((ops.softmax(first) - ops.softmax(second)) * (first - second), axis=-1))
