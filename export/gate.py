"""The gate: a precision that loses too much of the task's score is not handed over, unless somebody insists."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_transformer.errors import UserError, refuse_unless
from keras_transformer.export.precisions import TRAINED

REFERENCE = "float32"


@dataclass(frozen=True)
class Gate:
    """What a precision may lose.

    Args:
        max_loss: points of the task's headline score (BLEU, ROUGE-L, accuracy, F1; 0 to 100) that a precision may have
            less than float32 on the same examples; of a run that was trained for few bits, less than the run that it
            came from.
        force_precision: whether one that loses more is handed over all the same; the report says so.

    Raises:
        UserError: `max_loss` is negative.

    Example:
        ```python
        Gate(max_loss=0.5).refused({"float32": {"bleu": 40.0}, "int4": {"bleu": 39.0}}, "bleu")  # {"int4": 1.0}
        ```
    """

    max_loss: float = 0.3
    force_precision: bool = False

    def __post_init__(self) -> None:
        refuse_unless(self.max_loss >= 0, "max_loss", self.max_loss, "0 or more")

    def refused(
        self, results: Mapping[str, Mapping[str, Any]], headline: str, origin: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """Returns the precisions that lose too much, with their loss; see `losses`."""
        return {name: loss for name, loss in losses(results, headline, origin).items() if loss > self.max_loss}


def losses(
    results: Mapping[str, Mapping[str, Any]], headline: str, origin: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Returns how many points each precision has less than float32; below zero if it has more.

    Args:
        results: scores of float32 and of others.
        headline: which of the scores.
        origin: scores of the run that this one was trained for few bits from, if it was. They are what all precisions
            are compared with, float32 among them, whose weights were never meant to be used as they are.
    """
    whole = (origin or results[REFERENCE])[headline]
    compared = {name: found for name, found in results.items() if origin or name != REFERENCE}
    return {name: round(whole - found[headline], 4) for name, found in compared.items()}


def raise_refusals(report: Mapping[str, Any], run: str, output: str) -> None:
    """Raises what a command says of precisions that were left out of a folder, whose report this is.

    Args:
        report: of the export.
        run: the run's directory.
        output: the folder.

    Raises:
        UserError: one line for each precision that was refused, and one with the mends; only if there are any.
    """
    if lines := refusals(report):
        raise UserError("\n".join([*(f"{line}: left out of {output}" for line in lines), mends(report, run)]))


def mends(report: Mapping[str, Any], run: str) -> str:
    """Returns in words what can be done about precisions that were refused."""
    forced = "to have it all the same, give --force-precision, or a larger --max-loss"
    trained = [name for name in report["gate"]["refused"] if name in TRAINED]
    if not trained:
        return forced
    if "origin" in report["gate"]:
        return f"{forced}; to have it lose less, give quantize-train more --steps, or train a larger model"
    new = f"{run.rstrip('/')}-{trained[0]}"
    return (
        f"{forced}; to have it lose less, train the model for it: "
        f"keras-transformer quantize-train {shlex.quote(run)} --output {shlex.quote(new)} --precision {trained[0]}"
    )


def refusals(report: Mapping[str, Any]) -> list[str]:
    """Returns a line for each precision that a report tells was refused, in words.

    Example:
        ["int4 has 39.00 bleu, 1.00 less than float32, more than the 0.3 allowed"]
    """
    return [_told(report, name, found) for name, found in report["gate"]["refused"].items()]


def forced(report: Mapping[str, Any]) -> Sequence[str]:
    """Returns a line for each precision that a report tells was forced, in words."""
    return [_told(report, name, report["results"][name]) for name in report["gate"]["forced"]]


def _told(report: Mapping[str, Any], name: str, found: Mapping[str, Any]) -> str:
    headline, gate = report["headline"], report["gate"]
    whole = "the run it was trained from" if "origin" in gate else "float32"
    return (
        f"{name} has {found[headline]:.2f} {headline}, {found['loss']:.2f} less than {whole}, more than the "
        f"{gate['max_loss']:g} allowed"
    )
