"""Cross-entropy of a model that copies from the source, which never holds all the logits.

Shapes: n positions, b batch, t target length, s source length, w width, v vocabulary size.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_transformer._gradients import first_of
from keras_transformer.models.copying import TINY, CopyStates
from keras_transformer.training.losses import CHUNK, TokenLoss, pad_rows


def copy_cross_entropy(
    states: CopyStates,
    embeddings: Any,
    source_ids: Any,
    labels: Any,
    pad_id: int = 0,
    label_smoothing: float = 0.0,
    chunk: int = CHUNK,
) -> TokenLoss:
    """Cross-entropy of `CopyHead`'s mixture of writing and copying against `labels`, summed over positions.

    Of the mixture only the label's probability is wanted: `g * exp(z[y] - logsumexp(z)) + (1 - g) * c`, where g is the
    gate, z the logits and c the attention on the places of the source where the label stands. So the logits of the
    whole vocabulary are needed for their logsumexp alone, which is computed in chunks as in `linear_cross_entropy`.

    The gradient is that of expectation maximisation: with r, the share of the label's probability that was written, it
    is r times the gradient of `-log(g * softmax(z)[y])` and 1 - r times that of `-log((1 - g) * c)`.

    With smoothing e the loss is `(1 - e)` times that, and e times the mean of `-log softmax(z)` over the vocabulary:
    what is written is smoothed, what is copied is not.

    Args:
        states: of a decoder, for `labels`.
        embeddings: `[v, w]`, cast to the dtype of the hidden states.
        source_ids: int32 `[b, s]`.
        labels: int32 `[b, t]`.
        pad_id: label that does not count.
        label_smoothing: e.
        chunk: positions whose logits are held at once.

    Returns: sums. A label counts as correct if neither a piece has more probability to be written, nor a place of the
        source more to be copied.

    Example:
        ```python
        sums = copy_cross_entropy(model.copy_states(inputs), model.token_embedding.embeddings, source_ids, labels)
        loss = sums.loss / sums.weight
        ```
    """
    stands_there = ops.equal(labels[:, :, None], source_ids[:, None, :])
    copied = ops.sum(ops.where(stands_there, states.attention, 0.0), axis=-1)  # c, [b, t]
    log_write, log_copy = (ops.log_sigmoid(gate) for gate in (states.gate, -states.gate))
    best_copy = ops.stop_gradient(log_copy + ops.log(ops.max(states.attention, axis=-1)))
    log_copied = log_copy + ops.log(copied + TINY)

    hidden = ops.reshape(states.hidden, (-1, states.hidden.shape[-1]))
    labels = ops.reshape(labels, (-1,))
    weights = ops.cast(ops.not_equal(labels, pad_id), "float32")
    embeddings = ops.convert_to_tensor(embeddings)
    rows = [ops.reshape(x, (-1,)) for x in (log_write, log_copied, best_copy)]
    loss, likelihood, correct, shares = _mixed_loss(chunk, label_smoothing)(
        hidden, ops.cast(embeddings, hidden.dtype), labels, weights, *rows
    )
    # the label's logit has no part in the value, which is whole, but in the gradient
    hidden32 = ops.cast(hidden, "float32")
    label_logits = ops.sum(hidden32 * ops.cast(ops.take(embeddings, labels, axis=0), "float32"), axis=-1)
    of_labels = (1 - label_smoothing) * ops.sum(weights * ops.stop_gradient(shares) * label_logits)
    loss = loss - (of_labels - ops.stop_gradient(of_labels))
    if label_smoothing:
        mean_logits = ops.matmul(hidden32, ops.mean(ops.cast(embeddings, "float32"), axis=0)[:, None])[:, 0]
        loss = loss - label_smoothing * ops.sum(weights * mean_logits)
    return TokenLoss(loss, likelihood, correct, ops.sum(weights))


def _mixed_loss(chunk: int, smoothing: float) -> Any:
    """Weighted sums of `-(1 - e) * log P(label) + e * logsumexp`, of `-log P(label)` and of labels that are the best,
    and for every position the share of the label's probability that was written.

    Only the first has a gradient, without the part of the label's logit. It is computed with the value, chunk by chunk,
    and kept: `[n, w]` and `[v, w]` instead of `[n, v]`.
    """

    @ops.custom_gradient
    def mixed_loss(
        hidden: Any, embeddings: Any, labels: Any, weights: Any, log_write: Any, log_copied: Any, best_copy: Any
    ) -> Any:
        positions = ops.shape(hidden)[0]
        missing = (-positions) % chunk
        padded = [pad_rows(x, missing) for x in (hidden, labels, weights, log_write, log_copied, best_copy)]
        vocabulary_size, width = embeddings.shape
        row_starts = ops.arange(chunk, dtype="int32") * vocabulary_size

        def add_chunk(start: Any, sums: Any, shares: Any, d_hidden: Any, d_embeddings: Any) -> tuple[Any, ...]:
            h = ops.slice(padded[0], (start, 0), (chunk, width))
            y, w, writes, copied, best_copied = (ops.slice(x, (start,), (chunk,)) for x in padded[1:])
            logits = ops.matmul(h, ops.transpose(embeddings))  # [chunk, v]
            probabilities = ops.softmax(logits)
            highest = ops.cast(ops.max(logits, axis=-1), "float32")
            partition = highest - ops.log(ops.cast(ops.max(probabilities, axis=-1), "float32"))
            label_logits = ops.cast(ops.take(ops.reshape(logits, (-1,)), row_starts + y), "float32")
            log_written = writes + (label_logits - partition)
            log_label = ops.logaddexp(log_written, copied)
            share = ops.exp(log_written - log_label)
            best = ops.maximum(writes + (highest - partition), best_copied)
            objective = smoothing * partition - (1 - smoothing) * log_label
            is_best = ops.cast(log_label >= best, "float32")
            sums = sums + ops.stack([ops.sum(w * x) for x in (objective, -log_label, is_best)])

            factor = ops.cast(w * ((1 - smoothing) * share + smoothing), hidden.dtype)[:, None]
            d_hidden = ops.slice_update(d_hidden, (start, 0), ops.matmul(probabilities, embeddings) * factor)
            d_chunk = ops.matmul(ops.transpose(probabilities), h * factor)
            shares = ops.slice_update(shares, (start,), share)
            return start + chunk, sums, shares, d_hidden, d_embeddings + ops.cast(d_chunk, "float32")

        _, sums, shares, d_hidden, d_embeddings = ops.while_loop(
            lambda start, *_: start < positions,
            add_chunk,
            (
                ops.convert_to_tensor(0, dtype="int32"),
                ops.zeros((3,), dtype="float32"),
                ops.zeros_like(padded[2]),
                ops.zeros_like(padded[0]),
                ops.zeros((vocabulary_size, width), dtype="float32"),
            ),
        )
        shares = shares[:positions]

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            d_loss = first_of(upstream)
            of_rows = -(1 - smoothing) * weights * d_loss
            return (
                d_hidden[:positions] * ops.cast(d_loss, d_hidden.dtype),
                ops.cast(d_embeddings * d_loss, embeddings.dtype),
                None,
                None,
                of_rows * shares,
                of_rows * (1.0 - shares),
                None,
            )

        return (sums[0], sums[1], sums[2], shares), gradient

    return mixed_loss
