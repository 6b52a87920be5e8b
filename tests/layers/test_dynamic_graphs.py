"""Every way to attend gives in a TensorFlow graph of dynamic length what it gives eagerly.

TensorFlow's graph optimiser can make a product and the bias added to it an operation that returns an empty tensor, see
`layers.masks.add_bias`; it does so inside conditions and loops. Each route is traced once and run at lengths 1 to 20.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import LocalConvolution, MultiHeadAttention, Pooling, TransformerEncoderBlock
from keras_transformer.layers.masks import add_bias, combined_bias
from keras_transformer.models import TextClassifier
from keras_transformer.models.copying import CopyHead

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's graphs")

WIDTH, HEADS, BATCH = 16, 2, 2
LENGTHS = range(1, 21)
Route = Callable[[Any, Any], Any]  # x [b, n, w] and a mask [b, n] or None


def attention(**options: Any) -> MultiHeadAttention:
    return MultiHeadAttention(num_heads=HEADS, key_dim=WIDTH // HEADS, **options)


def full(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups)
    return lambda x, mask: layer(x, padding_mask=mask)


def causal(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups)
    return lambda x, mask: layer(x, padding_mask=mask, use_causal_mask=True, return_attention_scores=True)[1]


def added(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups)
    return lambda x, mask: layer(x, padding_mask=mask, attention_bias=ops.ones((1, 1, 1, 1)))


def chunked(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups, attention_chunk=4)
    return lambda x, mask: layer(x, padding_mask=mask, use_causal_mask=True)


def windowed(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups, attention_window=4)
    return lambda x, mask: layer(x, padding_mask=mask)


def windowed_and_chunked(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups, attention_window=4, attention_chunk=3)
    return lambda x, mask: layer(x, padding_mask=mask)


def windowed_and_masked(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups, attention_window=4)
    return lambda x, mask: layer(x, padding_mask=mask, attention_mask=ops.ones((1, 1)), use_causal_mask=True)


def cross(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups)
    return lambda x, mask: layer(x, x * 2.0, padding_mask=mask)


def cross_with_cache(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups)
    layer.build((None, None, WIDTH), (None, None, WIDTH))
    return lambda x, mask: layer(x, cache=layer.project_key_value(x * 2.0), padding_mask=mask)[0]


def cached(groups: int) -> Route:
    layer = attention(num_key_value_heads=groups)
    layer.build((None, None, WIDTH))
    cache = layer.empty_cache(BATCH, 20)
    return lambda x, mask: layer(x, cache=cache, cache_update_index=0, use_causal_mask=True)[0]


def block(groups: int) -> Route:
    layer = TransformerEncoderBlock(HEADS, 2 * WIDTH, num_key_value_heads=groups, attention_window=4)
    return lambda x, mask: layer(x, padding_mask=mask)


def pooling(groups: int) -> Route:
    layer = Pooling("attention")
    return lambda x, mask: layer(x, padding_mask=mask)


def convolution(groups: int) -> Route:
    layer = LocalConvolution(3)
    return lambda x, mask: layer(x, padding_mask=mask)


def copying(groups: int) -> Route:
    head = CopyHead()
    head.build((None, None, WIDTH), (None, None, WIDTH))

    def look(x: Any, mask: Any) -> Any:
        bias = combined_bias(ops.ones_like(x[..., 0]) if mask is None else mask)
        return head.look(x, head.key(x), bias[:, 0])[1]

    return look


ROUTES = [
    full,
    causal,
    added,
    chunked,
    windowed,
    windowed_and_chunked,
    windowed_and_masked,
    cross,
    cross_with_cache,
    cached,
    block,
    pooling,
    convolution,
    copying,
]


def inputs(length: int) -> tuple[Any, Any]:
    random = np.random.default_rng(length)
    mask = np.arange(length)[None] < np.array([[length], [max(1, length // 2)]])
    return tf.constant(random.normal(size=(BATCH, length, WIDTH)), tf.float32), tf.constant(mask)


def plainly(route: Route, x: Any, mask: Any) -> Any:
    return route(x, mask)


def in_a_condition(route: Route, x: Any, mask: Any) -> Any:
    return ops.cond(ops.shape(x)[1] > 0, lambda: route(x, mask), lambda: route(x * 0.0, mask))


def in_a_loop(route: Route, x: Any, mask: Any) -> Any:
    first = route(x, mask)
    return ops.fori_loop(0, 2, lambda i, _: route(x, mask), ops.zeros_like(first))


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
@pytest.mark.parametrize(
    ("made", "groups"),
    [(made, HEADS) for made in ROUTES] + [(made, 1) for made in ROUTES if made not in (pooling, convolution, copying)],
    ids=lambda value: value if isinstance(value, int) else value.__name__,
)
def test_a_route_gives_the_same_in_a_graph(made: Callable[[int], Route], groups: int, masked: bool) -> None:
    route = made(groups)
    expected = {}
    for length in LENGTHS:
        x, mask = inputs(length)
        expected[length] = np.asarray(route(x, mask if masked else None))
    signature = [tf.TensorSpec([None, None, WIDTH]), tf.TensorSpec([None, None], tf.bool)]

    @tf.function(input_signature=signature)
    def graph(x: Any, mask: Any) -> Any:
        return [run(route, x, mask if masked else None) for run in (plainly, in_a_condition, in_a_loop)]

    for length in LENGTHS:
        for found in graph(*inputs(length)):
            np.testing.assert_allclose(found, expected[length], atol=2e-6, err_msg=f"length {length}")


def test_predict_of_a_classifier_with_a_window() -> None:
    model = TextClassifier(
        50, 3, num_encoder_layers=1, hidden_dim=16, intermediate_dim=32, num_heads=2, attention_window=4
    )
    for length in (6, 5, 4, 2, 1, 9):  # from the second on, the graph is of dynamic length
        ids = np.random.default_rng(length).integers(1, 50, (2, length), np.int32)
        found = model.predict({"ids": ids}, verbose=0)
        assert found.shape == (2, 3)
        np.testing.assert_allclose(found, ops.convert_to_numpy(model({"ids": ids})), atol=1e-6)


def test_a_bias_is_added() -> None:
    logits, bias = np.array([[1.5, -2.0]], np.float32), np.array([[0.25, -1e9]], np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(add_bias(ops.convert_to_tensor(logits), bias)), logits + bias)
