"""The mean of the weights at the last checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_transformer.training.checkpoints import (
    KEEP,
    check_same_model,
    finite_values,
    numbered,
    read_arrays,
    write_arrays,
)
from keras_transformer.training.run_directory import numbered_files, step_of


class LastWeights:
    """Keeps the weights of the last checkpoints and gives the model their mean while it is evaluated.

    "Attention Is All You Need" (https://arxiv.org/abs/1706.03762, section 6.1) averages the last 5 or 20 checkpoints.
    The mean is over `count` points: the weights as they are, and those at the `count - 1` checkpoints before, all
    `checkpoint_every` steps apart. Checkpoints written in between, at an evaluation or an interrupt, do not count:
    the mean is the same whether the training was interrupted or not. Early on there are fewer than `count`.

    Files: `weights-00001000.npz`, the trained weights alone, a third of a checkpoint or less.

    Args:
        folder: of the checkpoints.
        count: points in the mean, this one included; 1 is no mean at all.

    Example:
        ```python
        last = LastWeights(run.checkpoints, count=10)
        last.keep(training_model, step=1000)
        with last.mean(training_model, step=1200):
            score = evaluate()
        ```
    """

    def __init__(self, folder: Path, count: int):
        self.folder = folder
        self.count = count

    def keep(self, training_model: Any, step: int) -> None:
        """Writes the weights at a step, and removes those that no checkpoint needs any more.

        Raises:
            Diverged: a weight is not finite; nothing is written.
            OSError: the file cannot be written.
        """
        self.forget_after(step)
        path = self.folder / f"weights-{step:08d}.npz"
        write_arrays(path, finite_values(numbered(training_model.model.trainable_variables)))
        # a training that is taken up at the oldest checkpoint needs as many before it
        for old in numbered_files(self.folder, "weights")[: -(self.count + KEEP - 1)]:
            old.unlink()

    def forget_after(self, step: int) -> None:
        """Removes weights of steps that lie ahead: a training has gone back to `step`."""
        for path in numbered_files(self.folder, "weights"):
            if step_of(path) > step:
                path.unlink()

    @contextmanager
    def mean(self, training_model: Any, step: int) -> Iterator[None]:
        """Inside the block the model has the mean of its last weights; after it, its own again.

        Args:
            training_model: after `step` updates.
            step: files of this step and later ones are left out.

        Raises:
            UserError: a file is damaged or of another model.
        """
        variables = training_model.model.trainable_variables
        own = [np.asarray(variable).copy() for variable in variables]
        earlier = [path for path in numbered_files(self.folder, "weights") if step_of(path) < step]
        earlier = earlier[max(0, len(earlier) - (self.count - 1)) :]
        sums = [value.astype("float64") for value in own]
        for path in earlier:
            arrays = read_arrays(path, "delete it, and it is left out of the mean")
            check_same_model(path, arrays, numbered(variables))
            for total, array in zip(sums, arrays.values(), strict=True):
                total += array
        try:
            for variable, total in zip(variables, sums, strict=True):
                variable.assign((total / (len(earlier) + 1)).astype("float32"))
            yield
        finally:
            for variable, value in zip(variables, own, strict=True):
                variable.assign(value)
