"""Log-probabilities of single ids, without those of the whole vocabulary."""

from __future__ import annotations

from typing import Any

from keras import ops


def log_partition(logits: Any) -> Any:
    """Returns `log(sum(exp(logits)))` over the last axis, which is kept: float32 `[..., 1]`.

    From the softmax, which every runtime has in one quick pass: the largest logit less the log of its probability,
    which is never small enough to lose digits.
    """
    largest = ops.max(logits, axis=-1, keepdims=True)
    return largest - ops.log(ops.max(ops.softmax(logits, axis=-1), axis=-1, keepdims=True))
