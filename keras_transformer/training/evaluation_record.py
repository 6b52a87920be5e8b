"""What an evaluation leaves: a line in the terminal, an entry in metrics.json, samples.txt, TensorBoard."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console

from keras_transformer._files import replacing, write_json
from keras_transformer.training.run_directory import RunDirectory
from keras_transformer.training.standing import Evaluation, Progress
from keras_transformer.training.tensorboard import TensorBoardLog, sample_table


class EvaluationRecord:
    """Writes the evaluations of one training.

    Args:
        run: whose files they are.
        log: TensorBoard's.
        console: where a line is shown.
        unit: what is trained on, as the objective counts it: "tokens".
        padding_share: of the training batches.
    """

    def __init__(self, run: RunDirectory, log: TensorBoardLog, console: Console, unit: str, padding_share: float):
        self.run = run
        self.log = log
        self.console = console
        self.unit = unit
        self.padding_share = padding_share

    def add(
        self,
        progress: Progress,
        evaluation: Evaluation,
        trained: dict[str, float],
        better: bool,
        skipped: int | None,
    ) -> None:
        """Enters an evaluation in `progress`, and shows it everywhere but in metrics.json.

        Args:
            progress: where the training stands.
            evaluation: what was found.
            trained: means of the training's own metrics since the last evaluation.
            better: whether it is the best so far.
            skipped: steps that overflowed float16; None where nothing can.

        Raises:
            OSError: a file cannot be written.
        """
        entry = self._entry(progress, evaluation, trained, skipped)
        earlier = [one for one in progress.evaluations or [] if one["step"] != progress.step]  # made anew
        progress.evaluations = [*earlier, entry]
        with replacing(self.run.samples, "w") as file:
            file.write(f"step {progress.step}\n\n")
            for source, reference, output in evaluation.samples:
                file.write(f"source     {source}\nreference  {reference}\nmodel      {output}\n\n")
        self._log(progress.step, evaluation)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in evaluation.metrics.items())
        self.console.print(
            f"step {progress.step}  {progress.seconds / 60:.1f} min  {self._rate(progress):,.0f} {self.unit}/s  {shown}"
            f"{'  (best)' if better else ''}{f'  {skipped} steps skipped' if skipped else ''}",
            highlight=False,
            soft_wrap=True,
        )

    def publish(self, progress: Progress) -> None:
        """Writes metrics.json, unless it has these evaluations already.

        Raises:
            OSError: it cannot be written.
            UserError: the one that is there is damaged.
        """
        state = {
            "best_step": progress.best_step,
            "best_score": _rounded(progress.best_score),
            "evaluations": progress.evaluations or [],
        }
        before = self.run.read_metrics()
        if all(before.get(name) == value for name, value in state.items()):
            return
        if not (progress.evaluations or before["evaluations"]):
            return
        speed = {
            "padding_share": round(self.padding_share, 4),
            f"{self.unit}_per_second": round(self._rate(progress), 1),
        }
        order = ("best_step", "best_score", *speed, "evaluations")
        write_json(self.run.metrics, {name: {**state, **speed}[name] for name in order})

    def _rate(self, progress: Progress) -> float:
        return progress.tokens / max(progress.seconds - progress.evaluation_seconds, 1e-9)

    def _entry(
        self, progress: Progress, evaluation: Evaluation, trained: dict[str, float], skipped: int | None
    ) -> dict[str, Any]:
        return {
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "target_tokens" if self.unit == "tokens" else self.unit: int(progress.tokens),
            **({} if skipped is None else {"skipped_steps": skipped}),
            **{f"train_{name}": round(value, 5) for name, value in trained.items() if math.isfinite(value)},
            **{name: _rounded(value, 5) for name, value in evaluation.metrics.items()},
        }

    def _log(self, step: int, evaluation: Evaluation) -> None:
        self.log.scalars({f"validation/{name}": value for name, value in evaluation.metrics.items()}, step)
        self.log.text("validation/samples", sample_table(evaluation.samples), step)
        for name, (png, size) in evaluation.pictures.items():
            self.log.image(f"validation/{name}", png, size, step)


def _rounded(value: float | None, digits: int = 15) -> float | None:
    """Returns a number as JSON can hold it: None if it is not finite."""
    return round(value, digits) if value is not None and math.isfinite(value) else None
