"""The model as it is trained: a Transformer with its loss and metrics.

Shapes: b batch, t target length, w width.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_transformer.training.losses import TokenLoss, linear_cross_entropy


class TrainingModel(keras.Model):
    """Trains a model that gives hidden states, with cross-entropy per real target token.

    The loss is a sum over the labels that are not padding, divided by their number: neither padding nor the shape of
    a batch changes it. Logits are never held all at once, see `linear_cross_entropy`. Train with
    `fit(x={"source_ids", "target_ids"}, y=labels [b, t])`; the weights are those of `model`.

    Metrics, each a mean over real target tokens: `loss` (with label smoothing), `nll` (negative log-likelihood
    without it, in nats), `token_accuracy`.

    Args:
        model: has `hidden_states(inputs, training) -> [b, t, w]` and `token_embedding.embeddings [v, w]`.
        label_smoothing: share of the target distribution spread over the whole vocabulary.
        pad_id: label that does not count.

    Example:
        ```python
        training_model = TrainingModel(model, label_smoothing=0.1)
        training_model.compile(optimizer=Adam(learning_rate=1e-3))
        training_model.fit(feed, steps_per_epoch=100)
        ```
    """

    def __init__(self, model: keras.Model, label_smoothing: float = 0.0, pad_id: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.model = model
        self.label_smoothing = label_smoothing
        self.pad_id = pad_id
        self.token_means = {name: keras.metrics.Mean(name=name) for name in ("loss", "nll", "token_accuracy")}
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        return self.model.hidden_states(inputs, training=training)

    def token_loss(self, hidden: Any, labels: Any) -> TokenLoss:
        """Returns the sums over all real target tokens of `hidden [b, t, w]` against `labels [b, t]`."""
        labels = ops.reshape(labels, (-1,))
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        weights = ops.cast(ops.not_equal(labels, self.pad_id), "float32")
        embeddings = self.model.token_embedding.embeddings
        return linear_cross_entropy(hidden, embeddings, labels, weights, self.label_smoothing)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        sums = self.token_loss(y_pred, y)
        weight = ops.maximum(sums.weight, 1.0)
        means = {"loss": sums.loss, "nll": sums.negative_log_likelihood, "token_accuracy": sums.correct}
        for name, total in means.items():
            self.token_means[name].update_state(total / weight, sample_weight=sums.weight)
        return sums.loss / weight

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.token_means.values())
