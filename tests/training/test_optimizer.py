"""Schedule, clipping, the remembered norm and the averaged weights, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_transformer.training import Adam, InverseSquareRoot


def test_warm_up_and_decay() -> None:
    schedule = InverseSquareRoot(peak=1e-3, warmup_steps=100)
    # the first update, counted 0 by Keras, is step 1
    for step, expected in [(1, 1e-5), (50, 5e-4), (100, 1e-3), (400, 5e-4), (10_000, 1e-4)]:
        assert float(schedule(step - 1)) == pytest.approx(expected, rel=1e-5)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert again.get_config() == schedule.get_config()


def test_it_is_the_papers_schedule() -> None:
    """Equation 3: `w**-.5 * min(step**-.5, step * warmup**-1.5)`, whose peak is `(w * warmup)**-.5`."""
    schedule = InverseSquareRoot(peak=(512 * 4000) ** -0.5, warmup_steps=4000)
    for step in (1, 3999, 4000, 4001, 100_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert float(schedule(step - 1)) == pytest.approx(expected, rel=1e-5)


def adam(gradients: list[np.ndarray], clip_norm: float | None) -> np.ndarray:
    """Returns what Adam (https://arxiv.org/abs/1412.6980, algorithm 1) makes of zeros; all weights in one vector."""
    value = first = second = np.zeros_like(gradients[0])
    for step, gradient in enumerate(gradients, 1):
        norm = np.sqrt((gradient**2).sum())
        if clip_norm is not None and norm > clip_norm:
            gradient = gradient * clip_norm / norm
        first = 0.9 * first + 0.1 * gradient
        second = 0.98 * second + 0.02 * gradient**2
        value = value - 0.01 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.98**step)) + 1e-9)
    return value


@pytest.mark.parametrize("clip_norm", [None, 1.0, 100.0])
def test_updates_and_norm_equal_numpy(clip_norm: float | None) -> None:
    random = np.random.default_rng(0)
    gradients = [random.normal(size=6).astype("float32") * scale for scale in (0.1, 5.0, 1.0)]
    variables = [keras.Variable(np.zeros((2, 2), "float32")), keras.Variable(np.zeros(2, "float32"))]
    optimizer = Adam(0.01, beta_2=0.98, epsilon=1e-9, clip_norm=clip_norm)
    for gradient in gradients:
        optimizer.apply_gradients(
            zip([keras.ops.array(gradient[:4].reshape(2, 2)), keras.ops.array(gradient[4:])], variables, strict=True)
        )
        assert float(optimizer.gradient_norm) == pytest.approx(float(np.linalg.norm(gradient)), rel=1e-5)
    found = np.concatenate([np.asarray(variable).ravel() for variable in variables])
    np.testing.assert_allclose(found, adam(gradients, clip_norm), atol=1e-6)


def test_clipping_keeps_the_direction_over_all_weights() -> None:
    variables = [keras.Variable(np.zeros(2, "float32")), keras.Variable(np.zeros(1, "float32"))]
    optimizer = Adam(1.0, beta_1=0.0, beta_2=0.0, epsilon=1e6, clip_norm=1.0)  # epsilon makes it plain descent
    optimizer.apply_gradients(zip([keras.ops.array([3.0, 0.0]), keras.ops.array([4.0])], variables, strict=True))
    found = np.concatenate([np.asarray(variable) for variable in variables]) * -1e6
    np.testing.assert_allclose(found, [0.6, 0.0, 0.8], atol=1e-5)


def test_gradients_of_nothing() -> None:
    variables = [keras.Variable(np.ones(2, "float32")), keras.Variable(np.ones(2, "float32"))]
    optimizer = Adam(0.1, clip_norm=1.0)
    optimizer.apply_gradients(zip([keras.ops.zeros(2), keras.ops.zeros(2)], variables, strict=True))
    assert float(optimizer.gradient_norm) == 0
    np.testing.assert_array_equal(np.asarray(variables[0]), [1, 1])


def test_config_round_trip() -> None:
    optimizer = Adam(InverseSquareRoot(1e-3, 10), clip_norm=0.5, averaging=0.9, beta_2=0.98)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, Adam)
    assert again.get_config() == optimizer.get_config()
    assert (again.clip_norm, again.averaging) == (0.5, 0.9)


def test_averages_follow_the_weights() -> None:
    variable = keras.Variable(np.array([1.0, -2.0], "float32"))
    optimizer = Adam(0.1, averaging=0.3)
    expected = np.asarray(variable).copy()
    for step in range(1, 9):
        optimizer.apply_gradients([(keras.ops.array([1.0, -0.5]), variable)])
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * np.asarray(variable)
    np.testing.assert_allclose(np.asarray(optimizer.averages[0]), expected, rtol=1e-5)
