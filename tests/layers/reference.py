"""The equations of the papers in plain NumPy, one sentence at a time: what the layers are held equal to.

Shapes: q query length, k key length, h heads, g key-value heads, d width per head, w width of the model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def attention_weights(layer: Any) -> dict[str, tuple[Array, Array]]:
    """Returns kernel `[w, heads, d]` and bias `[heads, d]` of query, key and value, and those of the output."""
    h, g, d = layer.num_heads, layer.num_key_value_heads, layer.key_dim
    parts = [layer.query_key_value] if layer.is_self_attention else [layer.query, layer.key_value]
    heads = [  # of every part of the projections, one after the other
        (np.asarray(part.kernel)[:, i : i + d], np.asarray(part.bias)[i : i + d])
        for part in parts
        for i in range(0, part.units, d)
    ]
    weights = {}
    for name, place in (("query", slice(h)), ("key", slice(h, h + g)), ("value", slice(h + g, h + 2 * g))):
        kernels, biases = zip(*heads[place], strict=True)
        weights[name] = (np.stack(kernels, axis=1), np.stack(biases))
    weights["output"] = (np.asarray(layer.output_projection.kernel), np.asarray(layer.output_projection.bias))
    return weights


def attention(layer: Any, query: Array, value: Array, allowed: Array) -> tuple[Array, Array]:
    """ "Attention Is All You Need", 3.2: `query [q, w]` over `value [k, w]` where `allowed [q, k]`.

    Returns: output `[q, w]` and scores `[h, q, k]`.
    """
    weights = attention_weights(layer)
    shared = layer.num_heads // layer.num_key_value_heads
    heads, scores = [], []
    for head in range(layer.num_heads):
        q, k, v = (
            x @ weights[name][0][:, i] + weights[name][1][i]
            for name, x, i in (("query", query, head), ("key", value, head // shared), ("value", value, head // shared))
        )
        logits = np.where(allowed, q @ k.T / math.sqrt(layer.key_dim), -np.inf)
        logits[~allowed.any(axis=-1)] = 0.0  # nothing may be attended to: the mean of all values
        scores.append(softmax(logits))
        heads.append(scores[-1] @ v)
    kernel, bias = weights["output"]
    return np.concatenate(heads, axis=-1) @ kernel + bias, np.stack(scores)


def dense(layer: Any, x: Array) -> Array:
    return x @ np.asarray(layer.kernel) + np.asarray(layer.bias)


def feed_forward(layer: Any, x: Array) -> Array:
    """relu and gelu (tanh form): equation 2 of the paper; swiglu: https://arxiv.org/abs/2002.05202."""
    x = dense(layer.expand, x)
    if layer.activation == "relu":
        x = np.maximum(x, 0.0)
    elif layer.activation == "gelu":
        x = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    else:
        gate, up = np.split(x, 2, axis=-1)
        x = gate / (1 + np.exp(-gate)) * up
    return dense(layer.contract, x)


def norm(layer: Any, x: Array) -> Array:
    """https://arxiv.org/abs/1607.06450, and without centring and shift https://arxiv.org/abs/1910.07467."""
    if hasattr(layer, "scale") and not hasattr(layer, "gamma"):  # RMSNormalization
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + layer.epsilon) * np.asarray(layer.scale)
    deviation = x - x.mean(axis=-1, keepdims=True)
    variance = (deviation**2).mean(axis=-1, keepdims=True)
    return deviation / np.sqrt(variance + layer.epsilon) * np.asarray(layer.gamma) + np.asarray(layer.beta)


def joined(x: Array, norm_layer: Any, normalize_first: bool, sublayer: Any) -> Array:
    """Post-norm: `norm(x + f(x))`. Pre-norm: `x + f(norm(x))`."""
    if normalize_first:
        return x + sublayer(norm(norm_layer, x))
    return norm(norm_layer, x + sublayer(x))


def encoder_block(block: Any, x: Array, allowed: Array) -> Array:
    first = block.normalize_first
    x = joined(x, block.self_attention_norm, first, lambda y: attention(block.self_attention, y, y, allowed)[0])
    return joined(x, block.feed_forward_norm, first, lambda y: feed_forward(block.feed_forward, y))


def decoder_block(block: Any, x: Array, allowed: Array, encoded: Array, encoded_allowed: Array) -> Array:
    first = block.normalize_first
    x = joined(x, block.self_attention_norm, first, lambda y: attention(block.self_attention, y, y, allowed)[0])
    x = joined(
        x,
        block.cross_attention_norm,
        first,
        lambda y: attention(block.cross_attention, y, encoded, encoded_allowed)[0],
    )
    return joined(x, block.feed_forward_norm, first, lambda y: feed_forward(block.feed_forward, y))


def causal(length: int) -> Array:
    return np.tril(np.ones((length, length), dtype=bool))


def sine_positions(length: int, width: int, start: int = 0) -> Array:
    """Section 3.5, the sines before the cosines, wavelengths from 2 pi to 10,000 * 2 pi."""
    half = (width + 1) // 2
    table = np.zeros((length, 2 * half))
    for row in range(length):
        for i in range(half):
            angle = (start + row) / 10_000.0 ** (i / max(half - 1, 1))
            table[row, i], table[row, half + i] = math.sin(angle), math.cos(angle)
    return table[:, :width]


def randomize(layer: Any, seed: int = 0, scale: float = 0.3) -> None:
    """Gives every weight random values, so that biases and norms count in what is compared."""
    random = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        weight.assign(random.normal(size=weight.shape) * scale + np.asarray(weight) * 0.5)
