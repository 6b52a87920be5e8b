"""The model as it is trained: a Transformer with what it is trained for."""

from __future__ import annotations

import functools
import itertools
import operator
from typing import Any

import keras
from keras import ops

from keras_transformer.training.objective import Objective, Sums
from keras_transformer.training.updates import TOKEN_WEIGHT


class TokenWeight(keras.layers.Layer):
    """Holds the variable whose gradient is the weight of a batch; in a layer of its own, it comes after the model's."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.token_weight = self.add_weight(shape=(), initializer="zeros", name=TOKEN_WEIGHT)
        self.built = True


class TrainingModel(keras.Model):
    """Trains a model for an objective, such as cross-entropy per real target token.

    The loss is a sum over what counts (tokens, examples, words), divided by how many they are: neither padding nor the
    shape of a batch changes it. Train with `fit(x=inputs, y=labels)`; the weights are those of `model`.

    What `fit` minimises is the sum divided by a constant, and a variable, `token_weight`, has the
    weight (divided by the same constant) for its gradient: the optimizer divides by it, see
    `NormAndAverages`. So the mean is over all of an update, however it is parted into micro-batches and devices.

    Args:
        model: has what the objective asks of it, and `token_embedding`, a `TokenEmbedding`.
        objective: gives loss and metrics; each metric is a mean over what counts.
        parts: parts of a batch that are computed side by side. As many as there are processors, with operations that
            take one thread each: quicker than every operation on all of them (measured, see benchmarks/train.py).
        consistency: R-Drop's factor: every row is then computed twice, with other dropout, and what the two predict is
            drawn together.

    Example:
        ```python
        training_model = TrainingModel(model, TokenObjective(label_smoothing=0.1))
        training_model.compile(optimizer=Adam(learning_rate=1e-3))
        training_model.fit(feed, steps_per_epoch=100)
        ```
    """

    def __init__(
        self, model: keras.Model, objective: Objective, parts: int = 1, consistency: float = 0.0, **kwargs: Any
    ):
        super().__init__(name=kwargs.pop("name", "training"), **kwargs)
        self.model = model
        self.objective = objective
        self.parts = parts
        self.consistency = consistency
        self.means = {name: keras.metrics.Mean(name=name) for name in ("loss", *objective.metrics)}
        self.weighing = TokenWeight(dtype="float32", name="weighing")
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> list[Any]:
        """Returns the outputs of each part of the batch; of each row twice, if training is to be consistent."""
        parts = self._parted_inputs(inputs)
        if training and self.consistency:
            parts = [{name: ops.concatenate([x, x]) for name, x in part.items()} for part in parts]
        with self.model.token_embedding.one_table(training):
            return [self.objective.outputs(self.model, part, training) for part in parts]

    def _parted_inputs(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        parted = {name: self._parted(x) for name, x in inputs.items()}
        return [{name: parts[i] for name, parts in parted.items()} for i in range(self.parts)]

    def _parted(self, x: Any) -> list[Any]:
        if self.parts == 1:
            return [x]
        rows = ops.shape(x)[0]
        ends = [rows * i // self.parts for i in range(self.parts + 1)]
        return [x[start:end] for start, end in itertools.pairwise(ends)]

    def sums(self, inputs: dict[str, Any], outputs: list[Any], labels: Any, training: bool = False) -> Sums:
        """Returns the sums over a whole batch of what the model's call gave, against its labels."""
        consistency = self.consistency if training else 0.0
        parts = zip(self._parted_inputs(inputs), outputs, self._parted(labels), strict=True)
        return functools.reduce(
            operator.add,
            [self.objective.sums(self.model, *part, consistency=consistency, training=training) for part in parts],
        )

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        sums = self.sums(x, y_pred, y, training)
        weight = ops.maximum(sums.weight, 1.0)
        for name, total in {"loss": sums.loss, **sums.metrics}.items():
            self.means[name].update_state(total / weight, sample_weight=sums.weight)
        usual = self.objective.usual_weight
        return sums.loss / usual + self.weighing.token_weight * ops.stop_gradient(sums.weight / usual)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.means.values())
