"""Explanations: weights that mean what they say, words that join to the text, and what is shown of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer import explanations
from keras_transformer.errors import UserError
from keras_transformer.explanations import Explanation, Word, explain
from keras_transformer.models import TextClassifier
from keras_transformer.predictors import TextToLabels
from keras_transformer.text import BytePieceTokenizer

TEXT = "the  cat sat\n"


def classifier(pooling: str = "mean", **options: Any) -> TextToLabels:
    keras.utils.set_random_seed(3)
    tokenizer = BytePieceTokenizer([b"the", b" cat", b" s", b"at s"])
    numbers = {"num_encoder_layers": 2, "hidden_dim": 8, "intermediate_dim": 12, "num_heads": 2}
    model = TextClassifier(tokenizer.vocabulary_size, 2, pooling, **numbers)
    return TextToLabels(model, tokenizer, ["no", "yes"], max_length=32, **options)


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "attention"])
@pytest.mark.parametrize("method", explanations.METHODS)
def test_words_join_to_the_text(pooling: str, method: str) -> None:
    found = explain(classifier(pooling), TEXT, method)
    assert "".join(word.text for word in found.words) == TEXT
    assert [word.text.strip() for word in found.words] == ["the", "cat", "sat"]
    assert np.isfinite([word.weight for word in found.words]).all()
    if method == "attention":
        assert sum(word.weight for word in found.words) == pytest.approx(1)
        assert all(word.weight > 0 for word in found.words)


@pytest.mark.parametrize("contrast", [False, True])
def test_gradient_times_input_is_the_change_of_the_output(contrast: bool) -> None:
    """To first order: the embedding of one piece shrunk a little."""
    made = classifier("first")
    ids = made.tokenizer.encode(TEXT).astype("int32")
    weights = explanations.gradient_times_input(made.model, ids, 1, contrast)
    inputs = {"ids": ids[None]}
    embedded = np.asarray(made.model.embedded(inputs["ids"]))

    def output(x: np.ndarray) -> float:
        outputs = np.asarray(made.model.answer(inputs, embedded=x))[0].astype("float64")
        return float(outputs[1] - outputs.mean() if contrast else outputs[1])

    for place in range(len(ids)):
        less = embedded.copy()
        less[0, place + 1] *= 0.99  # the first is the start
        assert output(embedded) - output(less) == pytest.approx(0.01 * weights[place], abs=2e-4)


def test_what_is_explained() -> None:
    made = classifier()
    best = made.classify([TEXT])[0]
    found = explain(made, TEXT)
    assert (found.label, found.probability) == (best.labels[0], pytest.approx(best.probabilities[best.labels[0]]))
    other = "no" if found.label == "yes" else "yes"
    assert explain(made, TEXT, label=other).label == other
    with pytest.raises(UserError, match=r"^an empty text has no explanation$"):
        explain(made, "")
    with pytest.raises(UserError, match=r"^no label 'maybe'; there are no, yes$"):
        explain(made, TEXT, label="maybe")
    made.max_length = 4
    assert "".join(word.text for word in explain(made, TEXT).words) == "the  cat s"


def test_pieces_join_to_words() -> None:
    pieces = [b"  a", b"b", b" c", b"d e", b"f", b" "]
    words = explanations.words_of(pieces, np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]))
    assert words == [Word("  ab", 3.0), Word(" cd", 12.0), Word(" ef ", 48.0)]
    assert explanations.words_of([b" ", b" "], np.array([1.0, 2.0])) == [Word("  ", 3.0)]


def test_what_is_shown(tmp_path: Path) -> None:
    found = Explanation("a <b>", 0.75, [Word("good", 2.0), Word(" <i>", -1.0), Word(" x", 0.0)], "gradient")
    assert explanations.plain(found, most=2) == "a <b> 0.750\tgood +2.000\t<i> -1.000"
    shown = explanations.colored(found)
    assert "\x1b[48;2;100;255;100m\x1b[38;2;0;0;0mgood\x1b[0m" in shown
    assert "\x1b[48;2;255;178;178m\x1b[38;2;0;0;0m<i>\x1b[0m x" in shown
    assert explanations.as_json(found)["words"][1] == {"text": " <i>", "weight": -1.0}
    explanations.write_page(str(tmp_path / "page.html"), [found, found._replace(method="attention")])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>a &lt;b&gt;</b>" in page
    assert "rgba(0,160,0,1.0)" in page
    assert "rgba(220,0,0,0.5)" in page
    assert "<i>" not in page
    for limit in explanations.LIMITS.values():
        assert limit in page
