"""Translation: text to text."""

from __future__ import annotations

from keras_transformer.export.text_task import TextTask
from keras_transformer.scores import translation_scores

TASK = TextTask(
    name="translation",
    signature="translate",
    does="translates one text at a time",
    actor="Translator",
    headline="bleu",
    shown={"bleu": "BLEU", "chrf": "chrF", "exact_match": "exact match, %"},
    score=translation_scores,
    long_source="Better split it into sentences.",
)
