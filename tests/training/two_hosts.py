"""A host of several, or one alone: `python two_hosts.py DATA RUN STEPS DIE_AT HOST [ADDRESS ...]`. See test_hosts.py.

Dies by SIGKILL after step DIE_AT, if it is not 0. Prints its curve and a digest of its weights as a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras

from keras_transformer.data import Seq2SeqBatches, TokenStore
from keras_transformer.errors import UserError
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.training import (
    Evaluation,
    RunDirectory,
    TokenObjective,
    TrainingConfig,
    compile_for_training,
    first_then_others,
    on_devices,
    together,
    train,
)
from keras_transformer.training.keeper import RunKeeper


def main(data: str, folder: str, steps: int, die_at: int, host: int, hosts: list[str]) -> dict[str, Any]:
    config = TrainingConfig(
        steps=steps,
        batch_tokens=64,
        warmup_steps=5,
        learning_rate=0.01,
        evaluate_every=10,
        checkpoint_every=5,
        averaging=0.9,
        hosts=hosts,
        host=host,
    )
    losses: list[float] = []
    count = RunKeeper.on_train_batch_end

    def on_train_batch_end(self: RunKeeper, batch: int, logs: Any = None) -> None:
        count(self, batch, logs)
        self.training_model.jax_state_sync()
        losses.append(self._totals()["loss"][0])
        if self.progress.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    RunKeeper.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign]
    with together(config):
        run = RunDirectory(folder)
        first_then_others(lambda: run.path.mkdir(exist_ok=True) or True, lambda: True)
        with on_devices(config):
            keras.utils.set_random_seed(config.seed)
            model = Seq2SeqTransformer(12, 1, 1, 8, 12, 2, dropout=0.1)
            training_model = compile_for_training(model, config, TokenObjective(config.label_smoothing))
            # two shapes, one of them with an odd number of rows
            batches = Seq2SeqBatches(TokenStore(Path(data)), 64, 0, 1, 2, 0, length_multiple=6)
            train(training_model, batches, config, run, lambda: Evaluation(float(len(losses)), {"bleu": 0.0}))
            found = {"losses": losses, "digest": digest(model)}
            if not hosts:
                model.load_weights(run.weights)
                found["best"] = digest(model)
    return found


def digest(model: keras.Model) -> str:
    """Tells weights apart by their last bit."""
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


if __name__ == "__main__":
    try:
        print(json.dumps(main(*sys.argv[1:3], *map(int, sys.argv[3:6]), sys.argv[6:])))  # type: ignore[arg-type]
    except UserError as error:
        sys.exit(f"error: {error}")
