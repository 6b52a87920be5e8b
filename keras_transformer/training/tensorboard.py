"""Scalars and texts for TensorBoard."""

from __future__ import annotations

import os

import tensorflow as tf


class TensorBoardLog:
    """Writes TensorBoard event files.

    Args:
        folder: created if missing.

    Example:
        ```python
        log = TensorBoardLog("runs/mine/logs")
        log.scalars({"train/loss": 2.3}, step=100)
        log.close()
        ```
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.writer = tf.summary.create_file_writer(os.fspath(folder))

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Writes one point of each curve."""
        with self.writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def text(self, name: str, markdown: str, step: int) -> None:
        """Writes a panel of text."""
        with self.writer.as_default():
            tf.summary.text(name, markdown, step=step)

    def flush(self) -> None:
        """Makes what was written so far visible."""
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def sample_table(samples: list[tuple[str, str, str]]) -> str:
    """Returns a Markdown table of (source, reference, output); text stays text."""
    rows = ["| source | reference | model |", "|---|---|---|"]
    return "\n".join(rows + [f"| {' | '.join(_cell(text) for text in sample)} |" for sample in samples])


def _cell(text: str) -> str:
    for mark in "\\`*_{}[]<>#|":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
