"""Rewrites a pre-norm model so that its normalisations are a few operators each, with the same answers.

`y = scale * (x - mean(x)) / sqrt(var(x) + epsilon) + offset` stands before a projection `y W + b`:

- Scale and offset go into the projection: `W' = diag(scale) W`, `b' = b + offset W`.
- Nothing reads the mean of the residual stream, since every normalisation takes it off. So whatever is added to the
  stream can lose its mean beforehand: kernels and biases of the projections that write to it, and the embeddings once,
  when they are looked up. Then `mean(x)` is zero and the variance is the mean square.

What is left is `x / sqrt(mean(x^2) + epsilon)`. The decoder's last normalisation keeps its weights: behind it stands
the embedding matrix, which is also looked up from and stays one matrix. In a step of the decoder this leaves half of
the operators that normalisations took, and operators, not arithmetic, are what a small model's step costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_transformer.generation import TextToText
from keras_transformer.models import Seq2SeqTransformer


def folded(model: Seq2SeqTransformer) -> Seq2SeqTransformer:
    """Returns a model with the same answers, float32, whose normalisations have no weights; see the module.

    A post-norm model, whose normalisations stand in the residual stream itself, is returned as it is, and so is one
    with layer normalisation whose last one, of another kind, would read the mean.

    Example:
        ```python
        folded(keras_transformer.load("runs/mine").model)
        ```
    """
    last = model.decoder_normalization or model.normalization
    centers = model.normalization == "layer_norm"
    if not model.normalize_first or model.normalization == "rms_scaling" or (centers and last != "layer_norm"):
        return model
    config = {
        **model.get_config(),
        "name": f"{model.name}_folded",
        "dtype": "float32",
        "use_bias": True,  # where the offsets go
        "normalization": "rms_scaling",
        "decoder_normalization": last,
        "center_embeddings": centers or model.center_embeddings,
    }
    new = Seq2SeqTransformer.from_config(config)
    fold = _Fold(center=centers)
    for name in ("token_embedding", "source_positions", "target_positions", "decoder_norm"):
        getattr(new, name).set_weights(getattr(model, name).get_weights())
    for old_block, new_block in zip(model.encoder_blocks, new.encoder_blocks, strict=True):
        fold.self_attention(old_block, new_block)
        fold.feed_forward(old_block, new_block)
    for old_block, new_block in zip(model.decoder_blocks, new.decoder_blocks, strict=True):
        fold.self_attention(old_block, new_block)
        fold.cross_attention(old_block, new_block, model.encoder_norm)
        fold.feed_forward(old_block, new_block)
    if model.copy:
        fold.copy_head(model.copy_head, new.copy_head, model.encoder_norm)
    return new


def lean(predictor: TextToText) -> TextToText:
    """Returns a `TextToText` around the folded model of another, with the same answers."""
    return TextToText(
        folded(predictor.model), predictor.tokenizer, predictor.max_source_length, predictor.max_target_length
    )


class _Fold:
    """Sets the projections of new blocks from those of old ones."""

    def __init__(self, center: bool):
        self.center = center

    def self_attention(self, old: Any, new: Any) -> None:
        before, after = old.self_attention, new.self_attention
        self._read(old.self_attention_norm, before.query_key_value, after.query_key_value)
        self._write(before.output_projection, after.output_projection)

    def cross_attention(self, old: Any, new: Any, encoder_norm: Any) -> None:
        before, after = old.cross_attention, new.cross_attention
        self._read(old.cross_attention_norm, before.query, after.query)
        self._read(encoder_norm, before.key_value, after.key_value)
        self._write(before.output_projection, after.output_projection)

    def copy_head(self, old: Any, new: Any, encoder_norm: Any) -> None:
        """Its query and gate read what keeps its normalisation."""
        self._read(encoder_norm, old.key, new.key)
        for before, after in ((old.query, new.query), (old.gate, new.gate)):
            after.set_weights(_kernel_and_bias(before))

    def feed_forward(self, old: Any, new: Any) -> None:
        self._read(old.feed_forward_norm, old.feed_forward.expand, new.feed_forward.expand)
        self._write(old.feed_forward.contract, new.feed_forward.contract)

    def _read(self, norm: Any, old: Any, new: Any) -> None:
        """A projection that reads a normalisation takes over its scale and offset."""
        scale, *offset = (weight.astype(np.float64) for weight in norm.get_weights())
        kernel, bias = _kernel_and_bias(old)
        new.set_weights([scale[:, None] * kernel, bias + offset[0] @ kernel if offset else bias])

    def _write(self, old: Any, new: Any) -> None:
        """A projection that writes to the residual stream writes nothing but what has a mean of zero."""
        kernel, bias = _kernel_and_bias(old)
        if self.center:
            kernel, bias = kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()
        new.set_weights([kernel, bias])


def _kernel_and_bias(dense: Any) -> tuple[np.ndarray, np.ndarray]:
    kernel, *bias = (weight.astype(np.float64) for weight in dense.get_weights())
    return kernel, bias[0] if bias else np.zeros(kernel.shape[1])
