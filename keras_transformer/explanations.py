"""Which words of a text carried a classifier's decision, as far as its gradients or its attention tell.

Shapes: n pieces, w width, h heads.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_transformer._files import replacing
from keras_transformer._gradients import gradient
from keras_transformer.errors import UserError

METHODS = ("gradient", "attention")
LIMITS = {
    "gradient": (
        "Gradient times input: above 0 speaks for the label, below 0 against it. It says by how much the output would "
        "fall if the embedding of a word shrank a little, all others staying as they are. It is not what happens "
        "without the word, and words that work together share by chance."
    ),
    "attention": (
        "Attention rollout says from which words information could have come, not what was made of it: it has no sign, "
        "is the same for every label, and two models that decide alike can differ in it."
    ),
}
LEVELS = 10  # shades of a colour
STYLE = "body{font:16px/1.8 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}mark{border-radius:3px}"


class Word(NamedTuple):
    """A word of a text and what it weighs.

    Attributes:
        text: with the white space before it: the words joined are the text.
        weight: above 0 for what speaks for the label, below for what speaks against it; attention has no sign.
    """

    text: str
    weight: float


class Explanation(NamedTuple):
    """What carried a decision.

    Attributes:
        label: the label, or the number of a regression, that is explained.
        probability: what the classifier gave it.
        words: of the text, in order; those behind `max_length` pieces are not looked at and not here.
        method: "gradient" or "attention".
    """

    label: str
    probability: float
    words: list[Word]
    method: str


def explain(classifier: Any, text: str, method: str = "gradient", label: str | None = None) -> Explanation:
    """Returns which words of a text carried the decision for a label.

    - "gradient": gradient times input (Shrikumar et al. (2016), https://arxiv.org/abs/1605.01713): the gradient of the
      label's output in each piece's embedding, times that embedding. Where one label is chosen, of that output less
      the mean of all.
    - "attention": attention rollout (Abnar and Zuidema (2020), https://arxiv.org/abs/2005.00928): the attention of all
      blocks multiplied, the mean of their heads and half of it the residual stream, from the pooled vector down.

    Args:
        classifier: a `TextToLabels`.
        text: that is explained; of a long one its first `max_length` pieces.
        method: "gradient" or "attention".
        label: that is explained; default the most probable one, or the first number of a regression.

    Raises:
        UserError: the text is empty; there is no such label.

    Example:
        ```python
        explain(keras_transformer.load("runs/mine"), "My card was charged twice.").words
        ```
    """
    (ids,) = classifier.tokenizer.encode_batch([text])
    ids = ids[: classifier.max_length].astype(np.int32)
    if not len(ids):
        raise UserError("an empty text has no explanation")
    probabilities = classifier.probabilities_of(classifier.logits([ids]))[0]
    best = 0 if classifier.kind == "regression" else int(probabilities.argmax())
    if label is not None and label not in classifier.labels:
        raise UserError(f"no label {label!r}; there are {', '.join(classifier.labels)}")
    place = best if label is None else classifier.labels.index(label)
    if method == "gradient":
        weights = gradient_times_input(classifier.model, ids, place, contrast=classifier.kind == "single")
    else:
        weights = attention_rollout(classifier.model, ids)
    words = words_of([classifier.tokenizer.pieces[i] for i in ids], weights)
    return Explanation(classifier.labels[place], float(probabilities[place]), words, method)


def gradient_times_input(model: Any, ids: np.ndarray, label: int, contrast: bool = False) -> np.ndarray:
    """Returns for each piece the product of its embedding with the gradient of a label's output, float64 `[n]`.

    Args:
        model: a `TextClassifier`.
        ids: int32 `[n]`.
        label: its number.
        contrast: whether the mean of all outputs is taken off: what raises all of them alike decides nothing where one
            label is chosen.
    """
    inputs = {"ids": ids[None]}

    def output(x: Any) -> Any:
        outputs = model.answer(inputs, embedded=x)[0]
        return outputs[label] - ops.mean(outputs) if contrast else outputs[label]

    embedded = model.embedded(inputs["ids"])  # [1, n, w]; one more before them if the head adds a start
    found = gradient(output, embedded)
    products = ops.convert_to_numpy(ops.sum(ops.cast(found * embedded, "float32"), axis=-1))[0]
    return products[len(products) - len(ids) :].astype(np.float64)


def attention_rollout(model: Any, ids: np.ndarray) -> np.ndarray:
    """Returns for each piece the share of the pooled vector that attention leads to, float64 `[n]`, which sum to 1."""
    maps = ops.convert_to_numpy(model.attention_maps(ids[None])["encoder"])[0].astype(np.float64)  # [blocks, h, n, n]
    length = maps.shape[-1]
    reached = np.eye(length)
    for attention in maps.mean(axis=1):
        reached = (0.5 * attention + 0.5 * np.eye(length)) @ reached
    shares = _pooling_shares(model, ids, length) @ reached
    own = shares[length - len(ids) :]
    return np.asarray(own / own.sum())


def _pooling_shares(model: Any, ids: np.ndarray, length: int) -> np.ndarray:
    """Of which positions the pooled vector is made, `[n]`: all alike with "mean", and with "max" for want of better."""
    if model.pooling == "first":
        return np.eye(length)[0]
    if model.pooling == "attention":
        encoded, _ = model.encode(model.read_ids(ids[None]))
        logits = ops.convert_to_numpy(ops.matmul(ops.cast(encoded, "float32"), model.pooling_layer.query))[0, :, 0]
        powers = np.exp(logits.astype(np.float64) - logits.max())
        return np.asarray(powers / powers.sum())
    return np.full(length, 1 / length)


def words_of(pieces: Sequence[bytes], weights: np.ndarray) -> list[Word]:
    """Joins pieces to words; the weight of a word is the sum over its pieces.

    Where a piece goes from one word on into the next, its weight goes to the first of them.
    """
    text = b"".join(pieces)
    ends = [found.end() for found in re.finditer(rb"\s*\S+", text)]
    ends = [*ends[:-1], len(text)] if ends else [len(text)]  # what is behind the last word belongs to it
    starts = np.cumsum([0, *map(len, pieces)])[:-1]
    first_letters = [start + len(piece) - len(piece.lstrip()) for start, piece in zip(starts, pieces, strict=True)]
    places = np.minimum(np.searchsorted(ends, first_letters, side="right"), len(ends) - 1)
    sums = np.bincount(places, weights=weights, minlength=len(ends))
    begins = [0, *ends[:-1]]
    return [
        Word(text[begin:end].decode("utf-8", "replace"), float(weight))
        for begin, end, weight in zip(begins, ends, sums, strict=True)
    ]


# To be looked at


def as_json(found: Explanation) -> dict[str, Any]:
    """Returns an explanation as JSON has it."""
    words = [{"text": word.text, "weight": round(word.weight, 6)} for word in found.words]
    return {"label": found.label, "probability": round(found.probability, 6), "method": found.method, "words": words}


def colored(found: Explanation) -> str:
    """Returns the text for a terminal: green behind what speaks for the label, red behind what speaks against it."""
    parts = [f"{found.label} {found.probability:.3f}: "]
    for word, level in zip(found.words, _levels(found.words), strict=True):
        lead = word.text[: len(word.text) - len(word.text.lstrip())]
        bare = word.text[len(lead) :]
        shade = 255 - 155 * abs(level) // LEVELS
        back = f"{shade};255;{shade}" if level > 0 else f"255;{shade};{shade}"
        parts.append(f"{lead}\x1b[48;2;{back}m\x1b[38;2;0;0;0m{bare}\x1b[0m" if level else word.text)
    return "".join(parts)


def plain(found: Explanation, most: int = 8) -> str:
    """Returns the heaviest words with their weights, where colours cannot be shown."""
    heaviest = sorted(found.words, key=lambda word: -abs(word.weight))[:most]
    return "\t".join(
        [f"{found.label} {found.probability:.3f}", *(f"{w.text.strip()} {w.weight:+.3f}" for w in heaviest)]
    )


def write_page(path: str, explanations: Iterable[Explanation], mark: str = "") -> None:
    """Writes explanations as one HTML file that needs no other, with what the method cannot tell.

    Args:
        path: of the file.
        explanations: in order.
        mark: a comment for the file's first lines, by which it is known.
    """
    found = list(explanations)
    parts = [f"<p><b>{html.escape(one.label)}</b> {one.probability:.3f}<br>{_marked(one)}</p>" for one in found]
    parts += [
        f"<p><small>{html.escape(LIMITS[name])}</small></p>" for name in dict.fromkeys(one.method for one in found)
    ]
    head = f"<meta charset='utf-8'><title>Explanations</title><style>{STYLE}</style>"
    page = f"<!DOCTYPE html>\n{mark}\n<html lang='en'><head>{head}"
    with replacing(path, "w") as file:
        file.write("\n".join([f"{page}</head><body>", *parts, "</body></html>\n"]))


def _marked(found: Explanation) -> str:
    spans = []
    for word, level in zip(found.words, _levels(found.words), strict=True):
        color = f"rgba({'0,160,0' if level > 0 else '220,0,0'},{abs(level) / LEVELS:.1f})"
        style = f" style='background:{color}' title='{word.weight:+.4f}'"
        spans.append(f"<mark{style}>{html.escape(word.text)}</mark>" if level else html.escape(word.text))
    return "".join(spans)


def _levels(words: Sequence[Word]) -> list[int]:
    """Returns the shade of each word, from -`LEVELS` to `LEVELS`, that of the heaviest the deepest."""
    heaviest = max((abs(word.weight) for word in words), default=0.0) or 1.0
    return [round(LEVELS * word.weight / heaviest) for word in words]
