"""The convolution of neighbours, against its sum written out."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_transformer.layers import LocalConvolution


@pytest.mark.parametrize("window", [3, 5])
def test_the_sum_over_neighbours(window: int) -> None:
    keras.utils.set_random_seed(1)
    layer = LocalConvolution(window)
    x = np.random.default_rng(2).normal(size=(2, 6, 4)).astype("float32")
    mask = np.array([[True] * 6, [True] * 4 + [False] * 2])
    layer.build(x.shape)
    layer.bias.assign(np.linspace(-1, 1, 4))
    found = np.asarray(layer(x, padding_mask=mask))
    kernel, bias = np.asarray(layer.kernel).reshape(window, 4, 4), np.asarray(layer.bias)
    for row in range(2):
        for place in range(6):
            made = bias.copy()
            for offset in range(window):
                neighbour = place + offset - window // 2
                if 0 <= neighbour < 6 and mask[row, neighbour]:
                    made += x[row, neighbour] @ kernel[offset]
            np.testing.assert_allclose(found[row, place], x[row, place] + np.maximum(made, 0), atol=1e-5)


@pytest.mark.parametrize("window", [0, 1, 4])
def test_windows_without_a_middle(window: int) -> None:
    with pytest.raises(ValueError, match=f"window must be an odd number of 3 or more; received {window}"):
        LocalConvolution(window)
