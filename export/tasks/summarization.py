"""Summarization: document to summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_transformer.export.text_task import TextTask
from keras_transformer.summaries import SummaryScorer


def scores(outputs: Sequence[str], references: Sequence[str], tokenized: bool = False) -> dict[str, Any]:
    """Returns ROUGE against the first summary of each document; see `SummaryScorer`. No text is tokenised already."""
    return SummaryScorer([[reference] for reference in references]).scores(outputs)


TASK = TextTask(
    name="summarization",
    signature="summarize",
    does="sums up one document at a time",
    actor="Summarizer",
    headline="rougeL",
    shown={"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "exact_match": "exact match, %"},
    defaults={"max_source_bytes": 2048},
    score=scores,
    long_source="Better cut it: most texts say what matters at their beginning.",
)
