"""A training that is killed again and again, run by test_kill.py: `python mortal.py DATA RUN AVERAGE_LAST [POINT ...]`.

Each process is a fork of this one, which has imported what there is to import: it trains from the last checkpoint to
its POINT and dies by SIGKILL, as the kernel sends it when memory is short: nothing is saved on the way out. The last
trains to the end. A point is KIND:STEP:BYTES. KIND says where it strikes: `step`, after the step; `evaluation`, in the
evaluation; `write`, after so many bytes of a checkpoint or weights file; `before` or `after` such a file is renamed to
its place; each at the first chance once STEP steps are made.
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
import numpy as np

from keras_transformer.data import Seq2SeqBatches, TokenStore
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.training import (
    Evaluation,
    RunDirectory,
    TokenObjective,
    TrainingConfig,
    compile_for_training,
    train,
)
from keras_transformer.training.checkpoints import training_state
from keras_transformer.training.keeper import RunKeeper

STEPS = 40


def run_to_death(data: str, folder: str, average_last: int, kind: str, step: int, size: int) -> None:
    config = TrainingConfig(
        steps=STEPS,
        batch_tokens=64,
        warmup_steps=10,
        learning_rate=0.01,
        evaluate_every=12,
        checkpoint_every=5,
        averaging=None if average_last else 0.9,
        average_last=average_last or None,
    )
    keras.utils.set_random_seed(config.seed)
    model = Seq2SeqTransformer(12, 1, 1, 8, 12, 2, dropout=0.2)
    training_model = compile_for_training(model, config, TokenObjective(config.label_smoothing))
    batches = Seq2SeqBatches(TokenStore(Path(data)), 64, seed=0, start_id=1, end_id=2, pad_id=0)
    run = RunDirectory(folder)
    reached = strike_at(kind, step, size)

    def evaluate() -> Evaluation:
        if kind == "evaluation" and reached():
            die()
        weights = b"".join(weight.tobytes() for weight in model.get_weights())
        score = float(model.get_weights()[0][3, 0])
        return Evaluation(score, {"bleu": score, "digest": int(hashlib.sha256(weights).hexdigest()[:12], 16)})

    train(training_model, batches, config, run, evaluate)
    arrays = {name: np.asarray(variable) for name, variable in training_state(training_model)}
    model.load_weights(run.weights)
    best = {f"best {i}": weight for i, weight in enumerate(model.get_weights())}
    np.savez(run.path / "end.npz", **arrays, **best, metrics=np.array(json.dumps(evaluations(run))))


def evaluations(run: RunDirectory) -> Any:
    """What metrics.json holds, without the times."""
    metrics = run.read_json(run.metrics)
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in metrics["evaluations"]]
    return [rows, metrics["best_step"], metrics["best_score"]]


def strike_at(kind: str, step: int, size: int) -> Any:
    """Sets the trap and returns what says whether `step` is reached."""
    keepers: list[RunKeeper] = []
    count, savez, rename = RunKeeper.on_train_batch_end, np.savez, os.replace

    def reached() -> bool:
        return bool(keepers) and keepers[-1].progress.step >= step

    def on_train_batch_end(self: RunKeeper, batch: int, logs: Any = None) -> None:
        keepers.append(self)
        count(self, batch, logs)
        if kind == "step" and reached():
            die()

    def write(file: Any, **arrays: Any) -> None:
        savez(Mortal(file, size) if kind == "write" and reached() else file, **arrays)

    def replace(source: Any, target: Any) -> None:
        strikes = str(target).endswith(".npz") and reached()
        if kind == "before" and strikes:
            die()
        rename(source, target)
        if kind == "after" and strikes:
            die()

    RunKeeper.on_train_batch_end, np.savez, os.replace = on_train_batch_end, write, replace  # type: ignore[assignment]
    return reached


class Mortal:
    """A file whose writer does not live to see more than so many bytes of it on the disk."""

    def __init__(self, file: Any, size: int):
        self.file, self.size = file, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: Any) -> int:
        self.size -= len(data)
        if self.size < 0:
            self.file.flush()
            die()
        return int(self.file.write(data))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(data: str, folder: str, average_last: str, *points: str) -> None:
    for point in [*points, "none:0:0"]:
        kind, step, size = point.split(":")
        child = os.fork()
        if not child:
            run_to_death(data, folder, int(average_last), kind, int(step), int(size))
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(point, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
