"""The weights of the best evaluation: written before the checkpoint that says they are the best, in place after it."""

from __future__ import annotations

from typing import Any

from keras_transformer._files import put_in_place, reserve, sha256_of
from keras_transformer.training.run_directory import RunDirectory

BYTES_AROUND_A_WEIGHT = 8192  # of HDF5's own


class BestWeights:
    """Keeps `model.weights.h5` and the last checkpoint of a run in agreement, whenever the process is killed.

    New best weights go to `next.weights.h5`; the checkpoint, which is one rename, names them by their SHA-256; then
    they are put in place. Killed before the checkpoint, a resumed training evaluates again, and the earlier weights
    are still there; killed after it, the resumed training puts them in place.

    Example:
        ```python
        best = BestWeights(run)
        progress.best_sha256 = best.write(model)
        save_checkpoint(run.checkpoints, training_model, progress.step, asdict(progress))
        best.settle(progress.best_sha256)
        ```
    """

    def __init__(self, run: RunDirectory):
        self.run = run

    def write(self, model: Any) -> str:
        """Writes the weights of a model beside the best ones and returns the SHA-256 of the file.

        Raises:
            OSError: the disk is full; there is nothing beside then.
        """
        beside = self.run.next_weights
        try:
            reserve(beside, 4 * model.count_params() + BYTES_AROUND_A_WEIGHT * len(model.variables))
            model.save_weights(beside, overwrite=True)
            return sha256_of(beside)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    def settle(self, sha256: str | None) -> None:
        """Puts the weights that were written in place, if they are those that the last checkpoint names.

        Raises:
            OSError: a file cannot be renamed or removed.
        """
        beside = self.run.next_weights
        if not beside.exists():
            return
        if sha256 is not None and sha256_of(beside) == sha256:
            put_in_place(beside, self.run.weights)
        else:
            beside.unlink()
