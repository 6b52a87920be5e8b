"""Masks, and what they become when they are added to logits."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from keras_transformer.layers.masks import MASKED, causal_mask, combined_bias, step_bias


@pytest.mark.parametrize("index", [0, 3, 6])
def test_the_bias_of_a_step_masks_what_is_behind_it(index: int) -> None:
    found = np.asarray(step_bias(7, ops.convert_to_tensor(index, dtype="int32")))
    causal = np.asarray(combined_bias(causal=causal_mask(1, 7, index)))
    assert found.shape == causal.shape == (1, 1, 1, 7)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found == 0, causal == 0)
    assert (found[causal != 0] <= MASKED).all()
    logits = np.random.default_rng(0).normal(size=(2, 3, 1, 7)).astype("float32") * 10
    np.testing.assert_array_equal(np.asarray(ops.softmax(logits + found)), np.asarray(ops.softmax(logits + causal)))


def test_the_bias_of_a_long_step_is_finite() -> None:
    found = np.asarray(step_bias(4096, 0))
    assert np.isfinite(found).all()
    assert np.isfinite(np.asarray(ops.softmax(found))).all()
