"""When a training has gone wrong, as seen from its loss.

The loss is looked at now and then (`LOG_EVERY` steps, checkpoints, evaluations), never at every step: reading a value
makes the host wait for the device.
"""

from __future__ import annotations

import math

from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig

EXPLOSION_SHARE = 1.5  # a loss is an explosion above this multiple of its running mean
FIRST_SHARE = 20.0  # the first loss is an explosion above this multiple of a guess's, which R-Drop has no part in
EXPLOSION_NATS = 2.0  # and only so far above it: a loss near 0 may double and mean nothing
MEMORY = 0.9  # of the running mean, per look: about the last ten
STEP_BACK_FACTOR = 0.5  # of the learning rate, each time that a training goes back to a checkpoint


class Diverged(UserError):
    """The loss, the gradient or a weight has left what training recovers from; the message says which."""


def check_loss(loss: float, mean: float | None, guess: float = math.inf, explosion: float = EXPLOSION_NATS) -> float:
    """Returns the running mean of the loss with `loss` in it.

    Args:
        loss: mean over the target tokens since the last look, in nats.
        mean: running mean until then; None at first.
        guess: loss of one that guesses, about where a training begins; see `Objective.guess_loss`.
        explosion: how far above the mean a loss must be, besides its share; see `Objective`.

    Raises:
        Diverged: the loss is not finite, or has exploded.

    Example:
        ```python
        mean = check_loss(9.1, None)
        mean = check_loss(8.4, mean)  # 9.03
        check_loss(15.0, mean)  # Diverged: the loss is 15, after a mean of 9.03
        ```
    """
    before = "" if mean is None else f", after a mean of {mean:.3g}"
    if not math.isfinite(loss):
        raise Diverged(f"the loss is {loss}{before}")
    if mean is None:
        if loss > max(FIRST_SHARE * guess, guess + explosion):
            raise Diverged(f"the loss is {loss:.3g}, where guessing has {guess:.3g}")
        return loss
    if loss > max(EXPLOSION_SHARE * mean, mean + explosion):
        raise Diverged(f"the loss is {loss:.3g}{before}")
    return MEMORY * mean + (1 - MEMORY) * loss


def advice(config: TrainingConfig) -> str:
    """Returns what to try after a divergence, with the values that did not do."""
    clip = "" if config.clip_norm else ", training.clip_norm 1.0 (now none)"
    return (
        f"a lower training.learning_rate (now {config.learning_rate:g}), a longer training.warmup_steps (now "
        f"{config.warm_up()}){clip}"
    )
