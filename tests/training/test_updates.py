"""Weighing, clipping, the remembered norm and the averaged weights, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_transformer.training import Adam, InverseSquareRoot


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


def test_gradients_are_divided_by_that_of_the_token_weight() -> None:
    """Sums over 3 and 5 tokens become means; the weight itself stays."""
    plain, weighed = (
        [keras.Variable(np.ones(2, "float32"), name="kernel"), keras.Variable(0.0, name=name)]
        for name in ("bias", "token_weight")
    )
    random = np.random.default_rng(1)
    one, other = Adam(0.1, clip_norm=1.0), Adam(0.1, clip_norm=1.0)
    for tokens in (3.0, 5.0):
        total = random.normal(size=2).astype("float32")
        one.apply_gradients(zip([keras.ops.array(total / tokens), keras.ops.array(0.0)], plain, strict=True))
        other.apply_gradients(zip([keras.ops.array(total), keras.ops.array(tokens)], weighed, strict=True))
        assert float(one.gradient_norm) == pytest.approx(float(other.gradient_norm), rel=1e-6)
    np.testing.assert_allclose(np.asarray(plain[0]), np.asarray(weighed[0]), rtol=1e-6)
    assert float(weighed[1]) == 0


def test_a_schedule_goes_by_updates() -> None:
    """Whose rates are 0.1, 0.05, 0.025: with two micro-batches for an update too."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    gradients = np.random.default_rng(3).normal(size=(6, 2)).astype("float32")
    whole, parted = ([keras.Variable(np.ones(2, "float32"), name="kernel")] for _ in range(2))
    one, other = Adam(schedule), Adam(schedule, gradient_accumulation_steps=2)
    for update in range(3):
        assert float(one.learning_rate) == pytest.approx(0.1 * 0.5**update)
        one.apply_gradients([(keras.ops.array(gradients[2 * update : 2 * update + 2].mean(axis=0)), whole[0])])
        for gradient in gradients[2 * update : 2 * update + 2]:
            assert float(other.learning_rate) == pytest.approx(0.1 * 0.5**update)
            other.apply_gradients([(keras.ops.array(gradient), parted[0])])
        np.testing.assert_allclose(np.asarray(parted[0]), np.asarray(whole[0]), rtol=1e-5)


def test_accumulated_gradients_are_weighed_by_tokens() -> None:
    """Micro-batches of 3 and 5 tokens are one batch of 8, and only every second step is an update."""
    sums = np.random.default_rng(2).normal(size=(2, 2)).astype("float32")
    whole = [keras.Variable(np.ones(2, "float32"), name="kernel"), keras.Variable(0.0, name="token_weight")]
    parted = [keras.Variable(np.ones(2, "float32"), name="kernel"), keras.Variable(0.0, name="token_weight")]
    one = Adam(0.1, clip_norm=0.1, averaging=0.5)
    other = Adam(0.1, clip_norm=0.1, averaging=0.5, gradient_accumulation_steps=2)
    one.apply_gradients(zip([keras.ops.array(sums.sum(axis=0)), keras.ops.array(8.0)], whole, strict=True))
    for tokens, total in zip((3.0, 5.0), sums, strict=True):
        assert (np.asarray(parted[0]) == 1).all()
        other.apply_gradients(zip([keras.ops.array(total), keras.ops.array(tokens)], parted, strict=True))
    np.testing.assert_allclose(np.asarray(parted[0]), np.asarray(whole[0]), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(other.averages[0]), np.asarray(one.averages[0]), rtol=1e-6)
    assert int(other.iterations) == int(one.iterations) == 1
