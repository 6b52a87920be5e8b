"""Scores of labels against references, and how far probabilities can be believed.

Shapes: n texts, k labels of the model, u labels that it does not know.
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
    """Returns scores of predictions, 0 to 100, counted text by text and label by label.

    - F1 is 2 TP / (2 TP + FP + FN), over all labels together (`micro_f1`), or the mean of each label's over those that
      occur in references or predictions (`macro_f1`); 0 where there is nothing to divide by. A label that is not in
      `labels` is never found: its texts are misses.
    - "single": the label chosen is that of the strictly largest probability. Where several have the largest, or it is
      not a number, one of them that is wrong counts as chosen: a tie is never a hit. So `accuracy` is `micro_f1`.
    - "multi": the labels of probability 1/2 or more are chosen.

    Args:
        probabilities: `[n, k]`; for a regression the numbers themselves.
        references: see `reference_array`: for "single" int `[n, 1]`, the number of each text's label, from k on for
            those that are not among `labels` (or -1, which is one label); for "multi" 0 or 1 `[n, k + u]`; for
            "regression" `[n, k]`.
        labels: what the columns stand for.
        kind: "single", "multi" or "regression".

    Returns: for "single" `accuracy`, `macro_f1`, `micro_f1`, `nll`, `calibration_error`, `labels` (precision, recall,
        f1 and texts of each) and `confusion` (rows are references, columns predictions, in the order of `labels`; one
        row more if there are others). `nll`, in nats, is of the texts with a label of the model; if there is none it is
        None, and `nll_undefined` says why. For "multi" `accuracy` is the share of texts with all labels right, and
        there is no confusion. For "regression" `r2` (in percent; by scikit-learn), `mean_absolute_error` and
        `root_mean_square_error`, and each number's of these. Always `texts`.

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
    found = (_single_scores if kind == "single" else _multi_scores)(probabilities, references, labels)
    return {**found, "texts": len(references)}


def _single_scores(probabilities: np.ndarray, references: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    right = np.where(references[:, 0] < 0, len(labels), references[:, 0])
    known = right < len(labels)
    chosen = chosen_labels(probabilities, right)
    correct = chosen == right
    count = max(len(labels), int(right.max()) + 1)
    hits, predicted, given = (np.bincount(one, minlength=count) for one in (right[correct], chosen, right))
    return {
        "accuracy": _percent(correct.mean()),
        **_f1(hits, predicted, given),
        **_nll(np.take_along_axis(probabilities[known], right[known, None], axis=1)),
        "calibration_error": _percent(calibration_error(probabilities.max(axis=1), correct)),
        "labels": _by_label(hits, predicted, given, labels),
        "confusion": confusion(right, chosen, len(labels)).tolist(),
    }


def _multi_scores(probabilities: np.ndarray, references: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    right = references.astype(bool)
    chosen = np.zeros(right.shape, bool)  # labels that the model does not know are never chosen
    chosen[:, : len(labels)] = probabilities >= THRESHOLD
    hits, predicted, given = (one.sum(axis=0) for one in (right & chosen, chosen, right))
    known = (slice(None), slice(len(labels)))
    confidence = np.maximum(probabilities, 1 - probabilities)
    return {
        "accuracy": _percent((chosen == right).all(axis=1).mean()),
        **_f1(hits, predicted, given),
        **_nll(np.where(right[known], probabilities, 1 - probabilities)),
        "calibration_error": _percent(calibration_error(confidence.ravel(), (chosen == right)[known].ravel())),
        "labels": _by_label(hits, predicted, given, labels),
    }


def chosen_labels(probabilities: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the number of the label that each text is taken to be answered with, int `[n]`.

    The right one if its probability is larger than every other, else the first of the largest others.

    Args:
        probabilities: `[n, k]`.
        right: int `[n]`, the number of each text's label; from k on for one that the model does not know.
    """
    count = probabilities.shape[1]
    others = probabilities.astype(np.float64)
    own = np.full(len(others), -np.inf)
    known = np.flatnonzero(right < count)
    own[known] = others[known, right[known]]
    others[known, right[known]] = -np.inf
    return np.where(own > others.max(axis=1), right, others.argmax(axis=1))


def confusion(right: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """Returns how often each label was taken for each: int `[count, count]`, one row more for other references."""
    others = int((right >= count).any())
    found = np.zeros((count + others, count), int)
    np.add.at(found, (np.minimum(right, count), chosen), 1)
    return found


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Returns the expected calibration error, 0 to 1 (Guo et al. (2017), https://arxiv.org/abs/1706.04599, 2).

    Args:
        confidence: `[n]`, the probability of what was chosen; one that is not a number counts as 0.
        correct: bool `[n]`, whether it was right.
        bins: of equal width that the confidences are parted into.
    """
    confidence = np.nan_to_num(confidence)
    places = np.minimum((confidence * bins).astype(int), bins - 1)
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
        known = (references[:, 0] >= 0) & (references[:, 0] < logits.shape[1])
        logits, references = logits[known], references[known]
    if kind == "regression" or not len(logits):
        return 1.0
    doubt = 1 / (len(logits) + 2)

    def loss(log_temperature: float) -> float:
        probabilities = probabilities_of(logits, kind, math.exp(log_temperature))
        if kind == "single":
            of_truth = np.take_along_axis(probabilities, references[:, :1], axis=1)
        else:
            of_truth = np.where(references[:, : logits.shape[1]] == 1, probabilities, 1 - probabilities)
        return -float(np.mean((1 - doubt) * _safe_log(of_truth) + doubt * _safe_log(1 - of_truth)))

    low, high = (math.log(limit) for limit in TEMPERATURES)
    while high - low > 1e-4:
        one, other = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, other) if loss(one) < loss(other) else (one, high)
    return math.exp((low + high) / 2)


def _safe_log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-12))


def _f1(hits: np.ndarray, predicted: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """Macro and micro F1 of counts `[k + u]`: of texts that have a label and were given it, were given it, have it."""
    occurs = (predicted + given) > 0
    of_each = 2 * hits[occurs] / (predicted + given)[occurs]
    both = predicted.sum() + given.sum()
    macro, micro = (of_each.mean(), 2 * hits.sum() / both) if both else (0.0, 0.0)
    return {"macro_f1": _percent(macro), "micro_f1": _percent(micro)}


def _by_label(
    hits: np.ndarray, predicted: np.ndarray, given: np.ndarray, labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    shares = [hits / np.maximum(count, 1) for count in (predicted, given)] + [
        2 * hits / np.maximum(predicted + given, 1)
    ]
    rows = zip(*shares, given, strict=True)
    return {
        label: {"precision": _percent(p), "recall": _percent(r), "f1": _percent(f), "texts": int(count)}
        for label, (p, r, f, count) in zip(labels, rows, strict=False)  # those that the model does not know are last
    }


def _nll(of_truth: np.ndarray) -> dict[str, Any]:
    """The mean negative log-likelihood, in nats, of the probabilities that a model gives to what is right."""
    if not of_truth.size:
        return {"nll": None, "nll_undefined": "no text has a label that was trained on"}
    return {"nll": round(float(-_safe_log(of_truth).mean()), 4)}


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
