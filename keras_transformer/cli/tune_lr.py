"""What `tune-lr` is asked, and how it shows the curve of a learning-rate range test."""

from __future__ import annotations

import argparse
from typing import Any

from keras_transformer._files import write_json
from keras_transformer.cli.outputs import check_output
from keras_transformer.cli.values import count, rate
from keras_transformer.errors import UserError
from keras_transformer.training.sweep import Sweep

ROWS = 24  # of the table
BAR = 40  # characters of the longest bar


def add_sweep_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the sweep."""
    first, last = (
        f"learning rate of the first step (default: {Sweep.lowest:g})",
        f"of the last (default: {Sweep.highest:g})",
    )
    parser.add_argument("--lowest", metavar="RATE", type=rate, default=Sweep.lowest, help=first)
    parser.add_argument("--highest", metavar="RATE", type=rate, default=Sweep.highest, help=last)
    steps = f"steps from one to the other (default: {Sweep.steps})"
    parser.add_argument("--sweep-steps", metavar="N", type=count, default=Sweep.steps, help=steps)
    parser.add_argument("--output", metavar="FILE", help="write the curve there as JSON")


def tune(recipe: Any, config: Any, options: argparse.Namespace) -> None:
    """Runs the test and prints the curve and a suggestion; nothing is left behind but `options.output`.

    Raises:
        UserError: an option makes no sense, or the recipe or the test refuses.
    """
    if options.output is not None:
        check_output("--output", options.output)
    found = recipe.tune_learning_rate(config, Sweep(options.lowest, options.highest, options.sweep_steps))
    print("\n".join(table(found.rates, found.smoothed)))
    print(f"\nThe loss was lowest at {found.rates[found.smoothed.index(min(found.smoothed))]:.2g}. Try a tenth of it:")
    print(f"  --training.learning_rate {found.suggestion:.2g}")
    if options.output is not None:
        try:
            write_json(options.output, vars(found))
        except OSError as error:
            raise UserError(f"--output: {options.output} cannot be written: {error.strerror}") from None


def table(rates: list[float], losses: list[float], rows: int = ROWS) -> list[str]:
    """Returns lines with rate, loss and a bar: the curve, lying on its side."""
    picks = sorted({round(row * (len(rates) - 1) / (rows - 1)) for row in range(rows)})
    lowest, highest = min(losses), max(losses)
    lines = ["learning rate   loss"]
    for i in picks:
        bar = round(BAR * (losses[i] - lowest) / max(highest - lowest, 1e-9))
        lines.append(f"{rates[i]:13.2e}  {losses[i]:5.2f}  {'▏' + '█' * bar}")
    return lines
