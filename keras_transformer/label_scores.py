"""Scores of labels against references, and how far probabilities can be believed.

Shapes: n texts, k labels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_transformer.errors import UserError

KINDS = ("single", "multi", "regression")  # one label a text, any number of them, or numbers
SEPARATOR = "|"  # of the labels of a text, where it may have several
THRESHOLD = 0.5  # with several labels, those of at least this probability are chosen
BINS = 15  # of the calibration error, as in the paper
TEMPERATURES = (0.05, 20.0)
GOLDEN = (math.sqrt(5) - 1) / 2


def probabilities_of(logits: np.ndarray, kind: str, temperature: float = 1.0) -> np.ndarray:
    """Returns probabilities of logits `[texts, k]` divided by a temperature; those of a regression as they are."""
    logits = np.asarray(logits, np.float64)
    if kind == "regression":
        return logits
    scaled = logits / temperature
    if kind == "multi":
        return 1.0 / (1.0 + np.exp(-scaled))
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def label_scores(probabilities: np.ndarray, references: np.ndarray, labels: Sequence[str], kind: str) -> dict[str, Any]:
    """Returns scores of predictions, 0 to 100, by scikit-learn.

    Args:
        probabilities: `[n, k]`; for a regression the numbers themselves.
        references: for "single" int `[n, 1]`, the number of each text's label, -1 for one that is not among `labels`
            and so always missed; for "multi" 0 or 1 `[n, k]`; for "regression" `[n, k]`.
        labels: what the columns stand for.
        kind: "single", "multi" or "regression".

    Returns: for "single" `accuracy`, `macro_f1`, `micro_f1`, `nll`, `calibration_error`, `labels` (precision, recall,
        f1 and texts of each) and `confusion` (rows are references, columns predictions, in the order of `labels`; one
        row more if there are others). For "multi" `accuracy` is the share of texts with all labels right, and there is
        no confusion. For "regression" `r2` (in percent), `mean_absolute_error` and `root_mean_square_error`, and each
        number's of these. Always `texts`.

    Raises:
        UserError: there is no text.

    Example:
        ```python
        label_scores(np.array([[0.9, 0.1]]), np.array([[0]]), ["yes", "no"], "single")["accuracy"]  # 100.0
        ```
    """
    if not len(references):
        raise UserError("scores want at least one text; received none")
    if kind == "regression":
        return _number_scores(probabilities, references, labels)
    if kind == "single":
        chosen, right = probabilities.argmax(axis=1), references[:, 0]
        found: dict[str, Any] = _f1(right, chosen, len(labels))
        found = {"accuracy": _percent((chosen == right).mean()), **found}
        found["nll"] = _nll(probabilities, right)
        found["calibration_error"] = _percent(calibration_error(probabilities.max(axis=1), chosen == right))
        found["labels"] = _by_label(right, chosen, labels)
        found["confusion"] = confusion(right, chosen, len(labels)).tolist()
        return {**found, "texts": len(references)}
    chosen, right = (probabilities >= THRESHOLD).astype(int), references
    found = {"accuracy": _percent((chosen == right).all(axis=1).mean()), **_f1(right, chosen, len(labels))}
    of_truth = np.where(right == 1, probabilities, 1 - probabilities)
    found["nll"] = round(float(-np.log(np.maximum(of_truth, 1e-12)).mean()), 4)
    confidence = np.maximum(probabilities, 1 - probabilities)
    found["calibration_error"] = _percent(calibration_error(confidence.ravel(), (chosen == right).ravel()))
    found["labels"] = _by_label(right, chosen, labels)
    return {**found, "texts": len(references)}


def confusion(right: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """Returns how often each label was taken for each: int `[count, count]`, a row more for references of -1."""
    others = int((right < 0).any())
    found = np.zeros((count + others, count), int)
    np.add.at(found, (np.where(right < 0, count, right), chosen), 1)
    return found


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Returns the expected calibration error, 0 to 1 (Guo et al. (2017), https://arxiv.org/abs/1706.04599, 2).

    Args:
        confidence: `[n]`, the probability of what was chosen.
        correct: bool `[n]`, whether it was right.
        bins: of equal width that the confidences are parted into.
    """
    places = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    gaps = np.bincount(places, weights=confidence, minlength=bins) - np.bincount(
        places, weights=np.asarray(correct, float), minlength=bins
    )
    return float(np.abs(gaps).sum() / counts.sum())


def fitted_temperature(logits: np.ndarray, references: np.ndarray, kind: str) -> float:
    """Returns the temperature with the lowest negative log-likelihood; 1 for a regression.

    Guo et al. (2017), 4.2. The likelihood has one minimum over the logarithm of the temperature, which a golden-section
    search finds between 1/20 and 20. Of n texts a label counts as right with 1 - 1 / (n + 2), as in Platt,
    "Probabilistic Outputs for Support Vector Machines" (1999): few texts without an error are no proof of certainty.

    Args:
        logits: `[n, k]`, of texts that were not trained on.
        references: see `label_scores`; texts with other labels are left out.
        kind: "single", "multi" or "regression".
    """
    if kind == "single":
        known = references[:, 0] >= 0
        logits, references = logits[known], references[known]
    if kind == "regression" or not len(logits):
        return 1.0
    doubt = 1 / (len(logits) + 2)

    def loss(log_temperature: float) -> float:
        probabilities = probabilities_of(logits, kind, math.exp(log_temperature))
        if kind == "single":
            of_truth = np.take_along_axis(probabilities, references[:, :1], axis=1)
        else:
            of_truth = np.where(references == 1, probabilities, 1 - probabilities)
        return -float(np.mean((1 - doubt) * _safe_log(of_truth) + doubt * _safe_log(1 - of_truth)))

    low, high = (math.log(limit) for limit in TEMPERATURES)
    while high - low > 1e-4:
        one, other = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, other) if loss(one) < loss(other) else (one, high)
    return math.exp((low + high) / 2)


def _safe_log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-12))


def _f1(right: np.ndarray, chosen: np.ndarray, count: int) -> dict[str, float]:
    from sklearn.metrics import f1_score

    def score(average: str) -> float:
        found = f1_score(right, chosen, labels=list(range(count)), average=average, zero_division=0)
        return _percent(found)

    return {"macro_f1": score("macro"), "micro_f1": score("micro")}


def _by_label(right: np.ndarray, chosen: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    from sklearn.metrics import precision_recall_fscore_support

    numbers = precision_recall_fscore_support(right, chosen, labels=list(range(len(labels))), zero_division=0)
    return {
        label: {"precision": _percent(p), "recall": _percent(r), "f1": _percent(f), "texts": int(count)}
        for label, p, r, f, count in zip(labels, *numbers, strict=True)
    }


def _nll(probabilities: np.ndarray, right: np.ndarray) -> float:
    """The mean negative log-likelihood of the right labels, in nats; those that no label stands for left out."""
    known = right >= 0
    if not known.any():
        return 0.0
    of_label = np.take_along_axis(probabilities[known], right[known, None], axis=1)
    return round(float(-_safe_log(of_label).mean()), 4)


def _number_scores(values: np.ndarray, references: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    def scores(found: np.ndarray, right: np.ndarray) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a single text, for which there is no r2
            r2 = r2_score(right, found)
        return {
            "r2": _percent(r2),
            "mean_absolute_error": round(float(mean_absolute_error(right, found)), 6),
            "root_mean_square_error": round(float(mean_squared_error(right, found)) ** 0.5, 6),
        }

    each = {name: scores(values[:, i], references[:, i]) for i, name in enumerate(names)}
    return {**scores(values, references), "numbers": each, "texts": len(references)}


def _percent(share: float) -> float:
    return round(100 * float(share), 2)
