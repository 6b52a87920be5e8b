"""Cross-entropy over a vocabulary that never holds all the logits.

Shapes: n positions, w width, v vocabulary size.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from keras import ops

from keras_transformer._compiled import compiled
from keras_transformer._gradients import first_of

CHUNK = 512  # positions whose logits are held at once; measured, see benchmarks/loss.py


class TokenLoss(NamedTuple):
    """Sums over all positions, each weighted: float32 scalars.

    Attributes:
        loss: cross-entropy with label smoothing, the training objective.
        negative_log_likelihood: cross-entropy without smoothing.
        correct: weight of the positions whose label has the highest logit.
        weight: sum of the weights; divide by it for means.
    """

    loss: Any
    negative_log_likelihood: Any
    correct: Any
    weight: Any


def linear_cross_entropy(
    hidden: Any,
    embeddings: Any,
    labels: Any,
    weights: Any,
    label_smoothing: float = 0.0,
    chunk: int = CHUNK,
    consistency: float = 0.0,
) -> TokenLoss:
    """Cross-entropy of `softmax(hidden @ embeddings.T)` against `labels`, summed over positions.

    With smoothing e, the target distribution is `(1 - e) * onehot(label) + e / v` (https://arxiv.org/abs/1512.00567),
    so that the loss of a position with logits z is `logsumexp(z) - (1 - e) * z[label] - e * mean(z)`. Only the first
    term needs the logits of the whole vocabulary: it is computed in chunks, together with its gradient. The others
    are dot products of `hidden` with the label's embedding and with the mean embedding.

    Args:
        hidden: `[n, w]`, in the compute dtype.
        embeddings: `[v, w]`, cast to the dtype of `hidden`.
        labels: int32 `[n]`.
        weights: float32 `[n]`, 0 for padding.
        label_smoothing: e.
        chunk: positions whose logits are held at once.
        consistency: R-Drop (https://arxiv.org/abs/2106.14448): `hidden` is `[2n, w]`, each position computed twice with
            other dropout, the second time in the second half. The loss of a position is the mean of both, and this
            number (alpha in the paper) times a quarter of `KL(p || q) + KL(q || p)` of their distributions: half the
            paper's sum. Only `loss` has a gradient then.

    Example:
        ```python
        sums = linear_cross_entropy(hidden, embeddings, labels, weights, label_smoothing=0.1)
        loss = sums.loss / sums.weight
        ```
    """
    embeddings = ops.convert_to_tensor(embeddings)
    cast_embeddings = ops.cast(embeddings, hidden.dtype)
    if consistency:
        sums = _consistent_log_partition(chunk, consistency / 4)(hidden, cast_embeddings, labels, weights)
        objective, log_partition, correct = sums
        labels, weights = (ops.concatenate([x, x]) for x in (labels, weights / 2))
    else:
        log_partition, correct = _log_partition(chunk)(hidden, cast_embeddings, labels, weights)
        objective = log_partition
    hidden32 = ops.cast(hidden, "float32")
    label_embeddings = ops.cast(ops.take(embeddings, labels, axis=0), "float32")
    label_logits = ops.sum(hidden32 * label_embeddings, axis=-1)
    of_labels = ops.sum(weights * label_logits)
    loss = objective - of_labels
    if label_smoothing:
        mean_logits = ops.matmul(hidden32, ops.mean(ops.cast(embeddings, "float32"), axis=0)[:, None])[:, 0]
        loss = loss + label_smoothing * ops.sum(weights * (label_logits - mean_logits))
    return TokenLoss(loss, log_partition - of_labels, correct, ops.sum(weights))


def _log_partition(chunk: int) -> Any:
    """The weighted sum of `logsumexp(hidden @ embeddings.T)`, and of the positions whose label has the highest logit.

    The gradient is computed with the value, chunk by chunk, and kept: `[n, w]` and `[v, w]` instead of `[n, v]`.
    """

    @ops.custom_gradient
    def log_partition(hidden: Any, embeddings: Any, labels: Any, weights: Any) -> Any:
        positions = ops.shape(hidden)[0]
        missing = (-positions) % chunk
        hidden_, labels_, weights_ = (pad_rows(x, missing) for x in (hidden, labels, weights))
        vocabulary_size, width = embeddings.shape
        row_starts = ops.arange(chunk, dtype="int32") * vocabulary_size

        def add_chunk(start: Any, total: Any, correct: Any, d_hidden: Any, d_embeddings: Any) -> tuple[Any, ...]:
            h = ops.slice(hidden_, (start, 0), (chunk, width))
            y = ops.slice(labels_, (start,), (chunk,))
            w = ops.slice(weights_, (start,), (chunk,))
            logits = ops.matmul(h, ops.transpose(embeddings))  # [chunk, v]
            probabilities = ops.softmax(logits)  # one operator of TensorFlow's, in the compute dtype
            highest = ops.cast(ops.max(logits, axis=-1), "float32")
            most_probable = ops.cast(ops.max(probabilities, axis=-1), "float32")
            total = total + ops.sum(w * (highest - ops.log(most_probable)))
            label_logits = ops.cast(ops.take(ops.reshape(logits, (-1,)), row_starts + y), "float32")
            correct = correct + ops.sum(w * ops.cast(label_logits >= highest, "float32"))

            # d total / d logits = w * probabilities; the row factor w goes to the narrow side of each product
            factor = ops.cast(w, hidden.dtype)[:, None]
            d_hidden = ops.slice_update(d_hidden, (start, 0), ops.matmul(probabilities, embeddings) * factor)
            d_chunk = ops.matmul(ops.transpose(probabilities), h * factor)
            return start + chunk, total, correct, d_hidden, d_embeddings + ops.cast(d_chunk, "float32")

        zero = ops.zeros((), dtype="float32")
        _, total, correct, d_hidden, d_embeddings = ops.while_loop(
            lambda start, *_: start < positions,
            add_chunk,
            (
                ops.convert_to_tensor(0, dtype="int32"),
                zero,
                zero,
                ops.zeros_like(hidden_),
                ops.zeros((vocabulary_size, width), dtype="float32"),
            ),
        )

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            d_total = first_of(upstream)
            return (
                d_hidden[:positions] * ops.cast(d_total, d_hidden.dtype),
                ops.cast(d_embeddings * d_total, embeddings.dtype),
                None,
                None,
            )

        return (total, correct), gradient

    return log_partition


def _consistent_log_partition(chunk: int, factor: float) -> Any:
    """`_log_partition` of positions computed twice: the weighted sums over the n pairs of

    the mean of both `logsumexp` and `factor * (KL(p || q) + KL(q || p))`, the first of these alone, and the mean number
    of labels with the highest logit. Only the first sum has a gradient.
    """

    @ops.custom_gradient
    def log_partition(hidden: Any, embeddings: Any, labels: Any, weights: Any) -> Any:
        pairs = ops.shape(labels)[0]
        rows = chunk // 2
        missing = (-pairs) % rows
        first, second, labels_, weights_ = (
            pad_rows(x, missing) for x in (hidden[:pairs], hidden[pairs:], labels, weights)
        )
        vocabulary_size, width = embeddings.shape
        of_logits = compiled(partial(_consistent_softmax_of, factor=factor))

        def add_chunk(start: Any, sums: Any, d_first: Any, d_second: Any, d_embeddings: Any) -> tuple[Any, ...]:
            h = ops.concatenate([ops.slice(x, (start, 0), (rows, width)) for x in (first, second)])
            y = ops.tile(ops.slice(labels_, (start,), (rows,)), (2,))
            w = ops.tile(ops.slice(weights_, (start,), (rows,)), (2,))
            logits = ops.matmul(h, ops.transpose(embeddings))  # [2 * rows, v]
            gradient, partition, hit, divergence = of_logits(logits, y)
            objective = partition + factor * divergence
            sums = sums + ops.stack([0.5 * ops.sum(w * x) for x in (objective, partition, hit)])
            row_weights = ops.cast(w, hidden.dtype)[:, None]
            d_h = ops.matmul(gradient, embeddings) * row_weights
            d_first = ops.slice_update(d_first, (start, 0), d_h[:rows])
            d_second = ops.slice_update(d_second, (start, 0), d_h[rows:])
            d_chunk = ops.matmul(ops.transpose(gradient), h * row_weights)
            return start + rows, sums, d_first, d_second, d_embeddings + ops.cast(d_chunk, "float32")

        _, sums, d_first, d_second, d_embeddings = ops.while_loop(
            lambda start, *_: start < pairs,
            add_chunk,
            (
                ops.convert_to_tensor(0, dtype="int32"),
                ops.zeros((3,), dtype="float32"),
                ops.zeros_like(first),
                ops.zeros_like(second),
                ops.zeros((vocabulary_size, width), dtype="float32"),
            ),
        )
        d_hidden = ops.concatenate([d_first[:pairs], d_second[:pairs]])

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            d_total = first_of(upstream)
            return (
                d_hidden * ops.cast(d_total, d_hidden.dtype),
                ops.cast(d_embeddings * d_total, embeddings.dtype),
                None,
                None,
            )

        return (sums[0], sums[1], sums[2]), gradient

    return log_partition


def _consistent_softmax_of(logits: Any, labels: Any, factor: float) -> tuple[Any, Any, Any, Any]:
    """Of the logits of n positions computed twice, `[2n, v]`, what the loss and its gradient need.

    Many operations on each logit, which `compiled` makes a single pass over them.

    Returns the gradient of `logsumexp / 2 + factor * (KL(p || q) + KL(q || p))` in the dtype of `logits`, and for each
    row in float32 logsumexp, whether the label has the highest logit, and the sum of both KL, the same in both halves.
    """
    dtype, rows = logits.dtype, logits.shape[0] // 2
    logits = ops.cast(logits, "float32")
    highest = ops.max(logits, axis=-1, keepdims=True)
    exponentials = ops.exp(logits - highest)
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    hit = ops.cast(ops.take_along_axis(logits, labels[:, None], axis=-1) >= highest, "float32")
    p, q = ops.split(exponentials / total, 2)
    # KL(p || q) + KL(q || p) = sum((p - q) * (logits of p - logits of q)): both partitions cancel out
    apart = logits[:rows] - logits[rows:]
    p_apart = ops.sum(p * apart, axis=-1, keepdims=True)
    q_apart = ops.sum(q * apart, axis=-1, keepdims=True)
    d_p = p * (0.5 + factor * (1 + apart - p_apart)) - factor * q
    d_q = q * (0.5 + factor * (1 - apart + q_apart)) - factor * p
    gradient = ops.cast(ops.concatenate([d_p, d_q]), dtype)
    return gradient, (highest + ops.log(total))[:, 0], hit[:, 0], ops.tile((p_apart - q_apart)[:, 0], (2,))


def pad_rows(x: Any, missing: Any) -> Any:
    """Returns `x [n, ...]` with `missing` rows of zeros more."""
    return ops.concatenate([x, ops.zeros((missing, *x.shape[1:]), dtype=x.dtype)], axis=0)
