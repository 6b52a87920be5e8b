"""Linear-chain conditional random field: labels in a row, each depending on the one before.

Shapes: b batch, n length, k labels.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_transformer")
class LinearChainCRF(keras.layers.Layer):
    """Scores of the labels of a chain: those of each place, and of each label behind another.

    Lafferty et al., "Conditional Random Fields" (2001); over a neural network as in Lample et al., "Neural
    Architectures for Named Entity Recognition" (2016), https://arxiv.org/abs/1603.01360. Places that do not count are
    passed over, as if they were not there: pieces inside words, and padding.

    Called, it gives back its input: it is in a model's graph for the sake of its weights.

    Args:
        num_labels: k.

    Attributes:
        transitions: `[k, k]`, the score of the second label behind the first.
        start, end: `[k]`, the score of a label at the beginning and at the end of a chain.

    Example:
        ```python
        crf = LinearChainCRF(9)
        logits = crf(logits)  # [b, n, 9], unchanged
        loss = -crf.log_likelihood(logits, labels, counted)  # [b]
        labels = crf.decode(logits, counted)  # [b, n]
        ```
    """

    def __init__(self, num_labels: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_labels = num_labels
        self.transitions = self.add_weight(shape=(num_labels, num_labels), initializer="zeros", name="transitions")
        self.start = self.add_weight(shape=(num_labels,), initializer="zeros", name="start")
        self.end = self.add_weight(shape=(num_labels,), initializer="zeros", name="end")
        self.built = True

    def call(self, logits: Any) -> Any:
        return logits

    def log_likelihood(self, logits: Any, labels: Any, counted: Any) -> Any:
        """Returns the logarithm of the probability of whole chains of labels, float32 `[b]`; 0 for an empty chain.

        Args:
            logits: `[b, n, k]`, the scores of each place.
            labels: int32 `[b, n]`; whatever they are where they do not count.
            counted: bool `[b, n]`.
        """
        transitions, start = ops.convert_to_tensor(self.transitions), ops.convert_to_tensor(self.start)
        logits = ops.cast(logits, "float32")
        counts = ops.cast(counted, "float32")
        gold = ops.one_hot(ops.maximum(labels, 0), self.num_labels, dtype="float32")
        nothing, rows = ops.zeros_like(logits[:, 0]), ops.zeros_like(counts[:, :1])

        def step(carry: tuple[Any, ...], now: tuple[Any, ...]) -> tuple[Any, ...]:
            totals, last, score, begun = carry
            scores, label, counts = now
            here = begun * ops.logsumexp(totals[:, :, None] + transitions, axis=1) + (1.0 - begun) * start + scores
            own = ops.sum(label * (begun * ops.matmul(last, transitions) + (1.0 - begun) * start + scores), axis=1)
            return (
                ops.where(counts > 0, here, totals),
                ops.where(counts > 0, label, last),
                score + counts * own[:, None],
                ops.maximum(begun, counts),
            )

        chains = (_by_place(logits), _by_place(gold), _by_place(counts[:, :, None]))
        totals, last, score, begun = _folded(step, (nothing, nothing, rows, rows), chains)
        total = ops.logsumexp(totals + self.end, axis=1)
        return begun[:, 0] * (score[:, 0] + ops.matmul(last, self.end) - total)

    def decode(self, logits: Any, counted: Any) -> Any:
        """Returns the most probable labels, by the Viterbi algorithm, int32 `[b, n]`; see `log_likelihood`.

        Where a place does not count, the label is that of the next that does.
        """
        transitions, start = ops.convert_to_tensor(self.transitions), ops.convert_to_tensor(self.start)
        logits = ops.cast(logits, "float32")
        counts = ops.cast(counted, "float32")
        nothing, rows = ops.zeros_like(logits[:, 0]), ops.zeros_like(counts[:, :1])
        same = ops.zeros_like(logits[:, 0], dtype="int32") + ops.arange(self.num_labels, dtype="int32")

        def step(carry: tuple[Any, ...], now: tuple[Any, ...]) -> tuple[Any, Any]:
            best, begun, _ = carry
            scores, counts = now
            paths = best[:, :, None] + transitions  # [b, from, to]
            here = ops.where(begun > 0, ops.max(paths, axis=1), start) + scores
            origin = ops.where((begun > 0) & (counts > 0), ops.cast(ops.argmax(paths, axis=1), "int32"), same)
            after = (ops.where(counts > 0, here, best), ops.maximum(begun, counts), origin)
            return after, after

        chains = (_by_place(logits), _by_place(counts[:, :, None]))
        (best, _, _), (_, _, origins) = ops.scan(step, (nothing, rows, same), chains)

        def back(label: Any, origin: Any) -> tuple[Any, Any]:
            return ops.take_along_axis(origin, label, axis=1), label

        last = ops.cast(ops.argmax(best + self.end, axis=1), "int32")[:, None]
        _, labels = ops.scan(back, last, origins, reverse=True)
        return ops.transpose(labels[:, :, 0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_labels": self.num_labels}


def _folded(step: Any, carry: tuple[Any, ...], chains: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns what `step(carry, now)` makes of the places of the chains, one after the other."""
    if chains[0].shape[0] is not None:
        return tuple(ops.scan(lambda before, now: (step(before, now), before), carry, chains)[0])
    # on TensorFlow, Keras 3.15's scan cannot take a length that is known at run time only
    places = ops.shape(chains[0])[0]

    def one(place: Any, *carry: Any) -> tuple[Any, ...]:
        return (place + 1, *step(carry, tuple(chain[place] for chain in chains)))

    return tuple(ops.while_loop(lambda place, *_: place < places, one, (0, *carry))[1:])


def _by_place(x: Any) -> Any:
    """`[b, n, ...]` as `[n, b, ...]`."""
    return ops.swapaxes(x, 0, 1)
