"""Summarization: document to summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_transformer.export.text_task import TextTask
from keras_transformer.summaries import SummaryScorer


def scores(outputs: Sequence[str], references: Sequence[str], tokenized: bool = False) -> dict[str, Any]:
    """Returns ROUGE against the first summary of each document; see `SummaryScorer`. No text is tokenised already."""
    return SummaryScorer([[reference] for reference in references]).scores(outputs)


class SummaryTask(TextTask):
    """See `TextTask`."""

    def read(self, spec: str, artifact: Any, columns: Sequence[str | int] | None = None) -> list[Any]:
        """Reads documents with a summary each; see `Task.read`."""
        from keras_transformer.data import check_data, read_fields, read_pairs

        if len(check_data(spec)) > 1:
            return [row.fields for row in read_pairs(spec, columns)]
        rows = read_fields(spec, ("document", "summary"), columns)
        return [row.fields for row in rows]


TASK = SummaryTask(
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
