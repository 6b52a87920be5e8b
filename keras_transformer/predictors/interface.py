"""What the command line asks of a predictor, whatever its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Predictor(Protocol):
    """A trained model that takes strings.

    Attributes:
        model: an ordinary `keras.Model`.
        tokenizer: the tokenizer it was trained with.
        batch_tokens: the most pieces, padding included, that go through the model at once.
    """

    model: Any
    tokenizer: Any
    batch_tokens: int

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns for each text its answer as one text: what `predict` prints.

        Args:
            texts: strings.
            cut: whether a text of more pieces than the model was trained on is cut there.
        """

    def answers(self, texts: Sequence[str], cut: bool = False) -> list[dict[str, Any]]:
        """Returns for each text all that is known of its answer, as JSON has it: what `predict --json` prints."""
