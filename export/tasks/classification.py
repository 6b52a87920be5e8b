"""Classification: what a text is: one label of a set, several, or numbers."""

from __future__ import annotations

from keras_transformer.export.label_task import LabelTask

TASK = LabelTask(
    name="classification",
    signature="classify",
    does="says what a text is",
    actor="Classifier",
    headline="accuracy",
    shown={"accuracy": "accuracy, %", "macro_f1": "macro F1, %", "r2": "R², %"},
)
