"""Tagging: what each word of a text is, and which words belong together."""

from __future__ import annotations

from keras_transformer.export.tag_task import TagTask

TASK = TagTask(
    name="tagging",
    signature="tag",
    does="tags the words of a text",
    actor="Tagger",
    headline="f1",
    shown={"f1": "F1 of entities, %", "accuracy": "accuracy of words, %"},
)
