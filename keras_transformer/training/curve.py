"""The training curves in a run directory: one line of JSON for each point."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from keras_transformer._files import replacing
from keras_transformer.training.run_directory import is_count, is_number


class Curve:
    """Appends points to a file; a training that is taken up again goes on after the step that it is taken up at.

    Args:
        path: of the file; made with the first point.
        step: points after it are of a training that was killed, and are made again: they are taken out.

    Example:
        ```python
        curve = Curve("runs/mine/curve.jsonl", step=0)
        curve.append(25, {"train/loss": 6.1})
        read_curve("runs/mine/curve.jsonl")  # [{"step": 25, "train/loss": 6.1}]
        ```
    """

    def __init__(self, path: str | os.PathLike[str], step: int):
        self.path = Path(path)
        if self.path.exists():
            kept = [point for point in read_curve(self.path) if point["step"] <= step]
            with replacing(self.path, "w") as file:
                file.writelines(_line(point) for point in kept)

    def append(self, step: int, values: dict[str, float]) -> None:
        """Writes a point; what is no finite number is null.

        Raises:
            OSError: it cannot be written.
        """
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line({"step": step, **values}))


def read_curve(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the points of a curve, in order; none if there is no file. A line that a kill cut off is left out."""
    path = Path(path)
    points = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            point = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(point, dict) and is_count(point.get("step")):
            points.append({name: value for name, value in point.items() if value is None or is_number(value)})
    return points


def _line(point: dict[str, Any]) -> str:
    shown = {name: _number(value) for name, value in point.items()}
    return json.dumps(shown) + "\n"


def _number(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
