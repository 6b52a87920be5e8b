"""Which panels TensorBoard gets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keras_transformer.errors import UserError, refuse_unless


@dataclass
class TensorBoardConfig:
    """What TensorBoard shows besides curves and samples.

    Args:
        attention_maps: sentences of the validation set whose attention is drawn at every evaluation; 0 draws none.
        histograms: of weights, gradients and updates, at every evaluation.
        projector: the embeddings of the pieces, as of the last evaluation.
        profile_steps: the first and the last step of a profile, such as 100-110; none makes none.
    """

    attention_maps: int = 2
    histograms: bool = True
    projector: bool = True
    profile_steps: str | None = None

    def __post_init__(self) -> None:
        refuse_unless(self.attention_maps >= 0, "attention_maps", self.attention_maps, "0 or more")
        self.profiled()

    def profiled(self) -> tuple[int, int]:
        """Returns the first and the last step of the profile; steps that never come if there is to be none.

        Raises:
            UserError: `profile_steps` names no steps.
        """
        if self.profile_steps is None:
            return -1, -1
        found = re.fullmatch(r"([1-9]\d*)-([1-9]\d*)", self.profile_steps, re.ASCII)
        if found is None or int(found[1]) > int(found[2]):
            raise UserError(
                f"profile_steps is {self.profile_steps!r}, expected its first and last step, such as 100-110"
            )
        return int(found[1]), int(found[2])
