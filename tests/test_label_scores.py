"""Scores of labels against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.label_scores import calibration_error, fitted_temperature, label_scores, probabilities_of

LABELS = ["a", "b c", "ö"]


def test_single() -> None:
    probabilities = np.array([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])
    found = label_scores(probabilities, np.array([[0], [1], [2], [-1]]), LABELS, "single")
    assert found["accuracy"] == 50.0
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert found["labels"]["a"] == {"precision": 33.33, "recall": 100.0, "f1": 50.0, "texts": 1}
    assert found["macro_f1"] == pytest.approx((50 + 100 + 0) / 3, abs=0.01)
    assert found["nll"] == pytest.approx(-np.log([0.6, 0.8, 0.2]).mean(), abs=1e-4)
    assert found["texts"] == 4


def test_multi() -> None:
    probabilities = np.array([[0.9, 0.2, 0.6], [0.4, 0.7, 0.1]])
    found = label_scores(probabilities, np.array([[1, 0, 0], [0, 1, 0]]), LABELS, "multi")
    assert found["accuracy"] == 50.0
    assert found["micro_f1"] == pytest.approx(100 * 2 * 2 / (2 * 2 + 1), abs=0.01)
    assert "confusion" not in found


def test_regression() -> None:
    values, right = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [2.0, 5.0]])
    found = label_scores(values, right, ["x", "y"], "regression")
    assert found["numbers"]["x"] == {"r2": -100.0, "mean_absolute_error": 0.5, "root_mean_square_error": 0.707107}
    assert found["mean_absolute_error"] == 0.75


def test_no_text() -> None:
    with pytest.raises(UserError, match="scores want at least one text; received none"):
        label_scores(np.zeros((0, 3)), np.zeros((0, 1), int), LABELS, "single")


def test_calibration_error() -> None:
    confidence, correct = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False])
    assert calibration_error(confidence, correct) == pytest.approx((2 * 0.05 + abs(2 * 0.55 - 1)) / 4)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0.0


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(kind: str, temperature: float) -> None:
    """Labels drawn with the probabilities of logits: a classifier that is as sure as it is right."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 3)) * 2
    probabilities = probabilities_of(logits, kind)
    if kind == "single":
        right = (random.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1, keepdims=True)
    else:
        right = (random.random(probabilities.shape) < probabilities).astype(int)
    assert fitted_temperature(temperature * logits, right, kind) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_few_texts_without_an_error_are_no_certainty(kind: str) -> None:
    """Of 8 texts, all right, a probability near 1 - 1 / (8 + 2) is what they show, however sure the classifier is."""
    right = np.arange(8) % 2
    references = right[:, None] if kind == "single" else np.eye(2, dtype=int)[right]
    logits = (2.0 * np.eye(2) - 1.0)[right] * 5
    found = probabilities_of(logits, kind, fitted_temperature(logits, references, kind))
    np.testing.assert_allclose(found[np.arange(8), right], 0.9, atol=1e-3)


def test_no_temperature_without_labels() -> None:
    assert fitted_temperature(np.zeros((2, 3)), np.array([[-1], [-1]]), "single") == 1.0
    assert fitted_temperature(np.zeros((2, 3)), np.zeros((2, 3)), "regression") == 1.0
