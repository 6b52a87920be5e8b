"""Where a training stands, and what an evaluation of it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Totals = dict[str, list[float]]


@dataclass
class Evaluation:
    """What a recipe's evaluation found.

    Attributes:
        score: the best weights are those with the highest.
        metrics: what to show and log, by name.
        samples: (source, reference, output) of a few sentences, the same ones at every evaluation.
        pictures: for TensorBoard, by name: a PNG, and its width and height in pixels.
    """

    score: float
    metrics: dict[str, float]
    samples: list[tuple[str, str, str]] = field(default_factory=list)
    pictures: dict[str, tuple[bytes, tuple[int, int]]] = field(default_factory=dict)


@dataclass
class Point:
    """What was counted at the last point of the curves; the next one shows what came since. See `Progress`."""

    step: int = 0
    seconds: float = 0.0
    tokens: float = 0.0
    iterations: int = 0
    totals: Totals = field(default_factory=dict)


@dataclass
class Progress:
    """Where a training stands; saved with every checkpoint.

    All that has to agree with the weights is in here, so that one rename, that of the checkpoint, makes it true:
    `metrics.json` and `model.weights.h5` are brought up to it afterwards.

    Attributes:
        step: batches trained on; with mixed_float16, skipped ones included.
        seconds: of training, those of the evaluations included.
        best_sha256: of the file with the best weights; None in checkpoints of earlier versions.
        evaluations: the entries of `metrics.json`; None in checkpoints of earlier versions.
        loss_mean: running mean of the loss, which tells an explosion.
        steps_back: times that the training went back to a checkpoint after it had diverged.
        tokens: what was trained on, in the objective's unit: target tokens, examples or words.
        totals: of each metric since the last evaluation: sum and number of these.
        point: where the last point of the curves stands.
        Others: what their names say.
    """

    step: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    tokens: float = 0.0
    best_score: float | None = None
    best_step: int = 0
    best_sha256: str | None = None
    evaluations_since_best: int = 0
    evaluations: list[dict[str, Any]] | None = None
    loss_mean: float | None = None
    steps_back: int = 0
    totals: Totals = field(default_factory=dict)
    point: Point = field(default_factory=lambda: Point())

    def __post_init__(self) -> None:
        if isinstance(self.point, dict):  # as it comes from a checkpoint
            self.point = Point(**self.point)
