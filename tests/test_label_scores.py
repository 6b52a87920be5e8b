"""Scores of labels against numbers worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from keras_transformer.errors import UserError
from keras_transformer.label_references import reference_array
from keras_transformer.label_scores import calibration_error, fitted_temperature, label_scores, probabilities_of

LABELS = ["a", "b c", "ö"]


def test_single() -> None:
    probabilities = np.array([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])
    found = label_scores(probabilities, np.array([[0], [1], [2], [-1]]), LABELS, "single")
    assert found["accuracy"] == 50.0
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert found["labels"]["a"] == {"precision": 33.33, "recall": 100.0, "f1": 50.0, "texts": 1}
    assert found["macro_f1"] == pytest.approx((50 + 100 + 0 + 0) / 4, abs=0.01)  # a label never trained on is missed
    assert found["micro_f1"] == 50.0
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


def sets_by_hand(given: list[set[str]], chosen: list[set[str]]) -> dict[str, float]:
    """Returns scores of sets of labels as their definitions read, with no array: an oracle for small cases."""

    def f1(names: set[str]) -> float:
        pairs = [(name in one, name in other) for one, other in zip(given, chosen, strict=True) for name in names]
        hits, all_of_both = sum(one and other for one, other in pairs), sum(one + other for one, other in pairs)
        return 200 * hits / all_of_both if all_of_both else 0.0

    names = set().union(*given, *chosen)
    macro = sum(f1({name}) for name in names) / len(names) if names else 0.0
    accuracy = 100 * sum(one == other for one, other in zip(given, chosen, strict=True)) / len(given)
    return {"accuracy": accuracy, "micro_f1": f1(names), "macro_f1": macro}


@pytest.mark.parametrize("count", [2, 3])
def test_every_small_case_of_single(count: int) -> None:
    """Three texts, every right label with two that the model does not know, every answer; by names alone."""
    names = ["a", "b", "c"][:count]
    for right in itertools.product([*names, "new", "next"], repeat=3):
        references = reference_array([("", name) for name in right], names, "single")
        for chosen in itertools.product(range(count), repeat=3):
            probabilities = np.full((3, count), 0.2) + 0.4 * np.eye(count)[list(chosen)]
            found = label_scores(probabilities, references, names, "single")
            expected = sets_by_hand([{name} for name in right], [{names[one]} for one in chosen])
            assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.0051)
            assert found["accuracy"] == found["micro_f1"]
            assert sum(map(sum, found["confusion"])) == 3


@pytest.mark.parametrize(("count", "texts"), [(1, 3), (2, 3), (3, 2)])
def test_every_small_case_of_multi(count: int, texts: int) -> None:
    """Every set of labels, with one that the model does not know, and every answer; one label is a case of its own."""
    names = ["a", "b", "c"][:count]
    right_and_chosen = itertools.product(
        itertools.product([0, 1], repeat=count + 1), itertools.product([0, 1], repeat=count)
    )
    for case in itertools.combinations_with_replacement(right_and_chosen, texts):
        given = [{name for name, bit in zip([*names, "new"], one, strict=True) if bit} for one, _ in case]
        answers = [{name for name, bit in zip(names, one, strict=True) if bit} for _, one in case]
        references = reference_array([("", "|".join(sorted(one))) for one in given], names, "multi")
        found = label_scores(0.2 + 0.6 * np.array([one for _, one in case]), references, names, "multi")
        expected = sets_by_hand(given, answers)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.0051)


def test_multi_with_one_label() -> None:
    """A model that never finds the label has no hit; scikit-learn reads one column as two classes."""
    right = np.array([[1], [0], [0], [0], [0]])
    never = label_scores(np.full((5, 1), 0.1), right, ["a"], "multi")
    assert (never["micro_f1"], never["macro_f1"], never["accuracy"]) == (0.0, 0.0, 80.0)
    assert never["labels"]["a"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "texts": 1}
    always = label_scores(np.full((5, 1), 0.9), right, ["a"], "multi")
    assert (always["micro_f1"], always["accuracy"]) == (33.33, 20.0)
    assert always["labels"]["a"] == {"precision": 20.0, "recall": 100.0, "f1": 33.33, "texts": 1}


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_as_scikit_learn_by_names(kind: str) -> None:
    """Where every label occurs both definitions are the same, of labels that are unknown to the model too."""
    from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

    random = np.random.default_rng(1)
    probabilities = random.random((200, 4))
    if kind == "single":
        references = random.integers(0, 6, (200, 1))
        right, chosen = references[:, 0], probabilities.argmax(axis=1)
    else:
        references = random.integers(0, 2, (200, 6))
        right, chosen = references, np.pad(probabilities >= 0.5, ((0, 0), (0, 2))).astype(int)
    found = label_scores(probabilities, references, ["a", "b", "c", "d"], kind)
    assert found["accuracy"] == pytest.approx(100 * accuracy_score(right, chosen), abs=0.0051)
    for average in ("macro", "micro"):
        theirs = 100 * f1_score(right, chosen, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(theirs, abs=0.0051)
    of_labels = precision_recall_fscore_support(right, chosen, labels=[0, 1, 2, 3], zero_division=0)
    for name, (precision, recall, f1, texts) in zip("abcd", zip(*of_labels, strict=True), strict=True):
        expected = {"precision": 100 * precision, "recall": 100 * recall, "f1": 100 * f1, "texts": texts}
        assert found["labels"][name] == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize("row", [[0.25, 0.25, 0.25], [0.4, 0.4, 0.2], [np.nan, np.nan, np.nan], [0.3, np.nan, 0.2]])
def test_a_tie_is_not_a_hit(row: list[float]) -> None:
    for right in (0, 1):
        found = label_scores(np.array([row]), np.array([[right]]), LABELS, "single")
        assert (found["accuracy"], found["micro_f1"], found["macro_f1"]) == (0.0, 0.0, 0.0)
        assert found["confusion"][right][right] == 0
    alone = label_scores(np.array([[0.2, 0.2, 0.6]]), np.array([[2]]), LABELS, "single")
    assert alone["accuracy"] == 100.0  # others may be equal


@pytest.mark.parametrize(("kind", "references"), [("single", np.array([[3], [4]])), ("single", np.array([[-1], [-1]]))])
def test_without_a_label_of_the_model_there_is_no_likelihood(kind: str, references: np.ndarray) -> None:
    found = label_scores(np.full((2, 3), 1 / 3), references, LABELS, kind)
    assert found["nll"] is None
    assert found["nll_undefined"] == "no text has a label that was trained on"
    assert (found["accuracy"], found["micro_f1"], found["macro_f1"]) == (0.0, 0.0, 0.0)
