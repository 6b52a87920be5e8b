"""What a classifier is trained for: one label a text, several, or numbers.

Shapes: b batch, k labels (or numbers), w width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_transformer._gradients import gradient
from keras_transformer.data.encoder_batches import NO_LABEL
from keras_transformer.label_scores import KINDS
from keras_transformer.layers.dropout import shared_noise
from keras_transformer.training.divergence import EXPLOSION_NATS
from keras_transformer.training.objective import Objective, Sums

FAR_SQUARES = 1000.0  # above the mean of a squared error: one text far from all others is no divergence


class LabelObjective(Objective):
    """The loss of a `TextClassifier`, each text counting the same.

    - "single": cross-entropy; labels are int32 `[b, 1]`, the number of the label, `NO_LABEL` for padding.
    - "multi": the mean over the labels of each one's binary cross-entropy; labels are int32 `[b, k]`, 0 or 1.
    - "regression": half the mean squared error, in units of the model's `scale`; labels are float32 `[b, k]`, NaN for
      padding.

    Metrics, each a mean over texts: `loss`; `nll` (without label smoothing, weights and focus, in nats) and
    `accuracy` (for "multi" the share of texts with all labels right); for a regression `absolute_error`, in units of
    `scale`.

    Args:
        kind: "single", "multi" or "regression".
        label_smoothing: share of the target distribution spread over all labels; with "multi" over yes and no.
        class_weights: what each label counts; with "multi", where it is true. Default 1.
        focal: gamma of the focal loss (https://arxiv.org/abs/1708.02002): what is predicted with probability p counts
            `(1 - p) ** gamma`.
        mixup: alpha of the Beta distribution that two texts' vectors are mixed by before the last layer, and their
            losses with them: senMixup of Guo et al. (2019), https://arxiv.org/abs/1905.08941. One share for
            a part of a batch.
        adversarial: epsilon of the fast gradient method (Miyato et al. (2017), https://arxiv.org/abs/1605.07725): every
            text is computed again with its embeddings moved that far (Euclidean norm over the text) to where the loss
            rises fastest, and the loss is the mean of both. A step takes about three times as long.

    With `consistency` (R-Drop) every text is computed twice, and the loss is the mean of both and a quarter of
    `consistency` times the divergence of the two, both ways: half the paper's sum, as in `linear_cross_entropy`. For a
    regression the divergence is the squared difference.
    """

    unit = "examples"
    usual_weight = 64.0

    def __init__(
        self,
        kind: str = "single",
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        focal: float = 0.0,
        mixup: float = 0.0,
        adversarial: float = 0.0,
    ):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; received {kind!r}")
        self.kind = kind
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        self.focal = focal
        self.mixup = mixup
        self.adversarial = adversarial
        self.pad_label = float("nan") if kind == "regression" else NO_LABEL
        self.metrics = ("absolute_error",) if kind == "regression" else ("nll", "accuracy")
        self.accuracy = "" if kind == "regression" else "accuracy"
        # a text of a rare label may count as much as hundreds of others
        heaviest = max([1.0, *(self.class_weights or ())])
        self.explosion = FAR_SQUARES if kind == "regression" else EXPLOSION_NATS * heaviest

    def outputs(self, model: keras.Model, inputs: dict[str, Any], training: bool | None) -> Any:
        """Returns the model's outputs `[b, k]`; with mixup also the share of each text's own vector, a scalar."""
        if not (training and self.mixup):
            return model.answer(inputs, training)
        with shared_noise(model.noise_seed):
            pooled = model.pooled(*model.encode(model.read_ids(inputs["ids"]), training), training)
        share = keras.random.beta((), self.mixup, self.mixup, seed=model.noise_seed)
        share = ops.maximum(share, 1.0 - share)  # the greater part is the text's own
        return model.outputs_of(share * pooled + (1.0 - share) * ops.flip(pooled, axis=0)), share

    def sums(
        self, model: keras.Model, inputs: dict[str, Any], outputs: Any, labels: Any, consistency: float, training: bool
    ) -> Sums:
        mixed = training and self.mixup
        outputs, share = outputs if mixed else (outputs, 1.0)
        twice = ops.concatenate([labels, labels]) if consistency else labels
        weights = self._weights(twice) * (0.5 if consistency else 1.0)
        losses = self._losses(model, outputs, twice)
        if mixed:
            others = ops.flip(twice, axis=0)
            losses = ops.where(
                self._weights(others) > 0, share * losses + (1.0 - share) * self._losses(model, outputs, others), losses
            )
        loss = ops.sum(weights * losses)
        if consistency:
            loss = loss + consistency / 4 * self._divergence(model, outputs, self._weights(labels))
        if training and self.adversarial:
            loss = 0.5 * (loss + self._adversarial_loss(model, inputs, labels))
        metrics = {name: ops.sum(weights * value) for name, value in self._measures(model, outputs, twice).items()}
        return Sums(loss, ops.sum(weights), metrics)

    def guess_loss(self, model: keras.Model) -> float:
        if self.kind == "regression":
            return math.inf
        return math.log(2 if self.kind == "multi" else model.num_labels) * max(self.class_weights or [1.0])

    def _weights(self, labels: Any) -> Any:
        """1 for a text, 0 for padding: `[b]`."""
        first = labels[:, 0]
        return ops.cast(ops.equal(first, first) if self.kind == "regression" else first >= 0, "float32")

    def _losses(self, model: keras.Model, outputs: Any, labels: Any) -> Any:
        """The loss of each text, whatever it is for padding: `[b]`."""
        if self.kind == "regression":
            return 0.5 * ops.mean(ops.square(self._errors(model, outputs, labels)), axis=-1)
        if self.kind == "multi":
            return self._binary_losses(outputs, ops.cast(ops.maximum(labels, 0), "float32"))
        log_probabilities = ops.log_softmax(outputs, axis=-1)
        right = self._one_hot(labels, outputs)
        goal = (1.0 - self.label_smoothing) * right + self.label_smoothing / outputs.shape[-1]
        losses = -ops.sum(goal * log_probabilities, axis=-1)
        if self.focal:
            of_label = ops.exp(ops.sum(right * log_probabilities, axis=-1))
            losses = losses * (1.0 - of_label) ** self.focal
        if self.class_weights is not None:
            losses = losses * ops.sum(right * ops.convert_to_tensor(self.class_weights, dtype="float32"), axis=-1)
        return losses

    def _binary_losses(self, outputs: Any, right: Any) -> Any:
        goal = (1.0 - self.label_smoothing) * right + 0.5 * self.label_smoothing
        losses = ops.softplus(outputs) - goal * outputs
        if self.focal:
            of_label = ops.sigmoid((2.0 * right - 1.0) * outputs)
            losses = losses * (1.0 - of_label) ** self.focal
        if self.class_weights is not None:
            counted = ops.convert_to_tensor(self.class_weights, dtype="float32")
            losses = losses * (1.0 + right * (counted - 1.0))
        return ops.mean(losses, axis=-1)

    def _one_hot(self, labels: Any, outputs: Any) -> Any:
        return ops.one_hot(ops.maximum(labels[:, 0], 0), outputs.shape[-1], dtype="float32")

    def _errors(self, model: keras.Model, outputs: Any, labels: Any) -> Any:
        scale = ops.convert_to_tensor(model.scale or [1.0] * outputs.shape[-1], dtype="float32")
        return (outputs - ops.where(ops.equal(labels, labels), labels, 0.0)) / scale

    def _measures(self, model: keras.Model, outputs: Any, labels: Any) -> dict[str, Any]:
        """What is shown of each text besides the loss, in the order of `metrics`."""
        if self.kind == "regression":
            return {"absolute_error": ops.mean(ops.abs(self._errors(model, outputs, labels)), axis=-1)}
        if self.kind == "multi":
            right = ops.cast(ops.maximum(labels, 0), "float32")
            nll = ops.mean(ops.softplus(outputs) - right * outputs, axis=-1)
            correct = ops.all(ops.equal(outputs > 0, right > 0.5), axis=-1)
        else:
            right = self._one_hot(labels, outputs)
            nll = -ops.sum(right * ops.log_softmax(outputs, axis=-1), axis=-1)
            correct = ops.sum(right * outputs, axis=-1) >= ops.max(outputs, axis=-1)
        return {"nll": nll, "accuracy": ops.cast(correct, "float32")}

    def _divergence(self, model: keras.Model, outputs: Any, weights: Any) -> Any:
        """`KL(p || q) + KL(q || p)` of what is predicted for each text the one and the other time, summed."""
        first, second = ops.split(outputs, 2, axis=0)
        if self.kind == "regression":
            found = ops.mean(ops.square(self._errors(model, first, second)), axis=-1)
        elif self.kind == "multi":
            found = ops.mean((ops.sigmoid(first) - ops.sigmoid(second)) * (first - second), axis=-1)
        else:
            found = ops.sum((ops.softmax(first) - ops.softmax(second)) * (first - second), axis=-1)
        return ops.sum(weights * found)

    def _adversarial_loss(self, model: keras.Model, inputs: dict[str, Any], labels: Any) -> Any:
        """The loss with the embeddings moved by `adversarial` to where it rises fastest, summed."""
        weights = self._weights(labels)
        embedded = model.embedded(inputs["ids"])

        def loss(x: Any, training: bool) -> Any:
            return ops.sum(weights * self._losses(model, model.answer(inputs, training, embedded=x), labels))

        uphill = ops.cast(gradient(lambda x: loss(x, False), ops.stop_gradient(embedded)), "float32")
        norm = ops.sqrt(ops.sum(ops.square(uphill), axis=(1, 2), keepdims=True))
        moved = self.adversarial * uphill / ops.maximum(norm, 1e-12)
        return loss(embedded + ops.cast(ops.stop_gradient(moved), embedded.dtype), True)
