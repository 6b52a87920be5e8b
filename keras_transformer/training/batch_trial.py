"""Trains a batch in a process of its own and prints what it took; see `keras_transformer.training.batch_size`."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import keras
import numpy as np

from keras_transformer import models
from keras_transformer.data.feed import feed
from keras_transformer.training.batch_size import Needed, Trial
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.label_objective import LabelObjective
from keras_transformer.training.objective import Objective, TokenObjective
from keras_transformer.training.trainer import compile_for_training

STEPS = 3  # the first makes the optimizer's variables and traces, the next show what a step needs


def run(trial: Trial) -> Needed:
    """Trains a model for a few steps on one batch of ids drawn at random."""
    config = TrainingConfig(**{**trial.training, "freeze": []})  # what is frozen needs less, not more
    model = getattr(models, trial.model_class)(**trial.model, dtype=config.dtype_policy)
    shape = (max(trial.tokens // trial.longest, 1), trial.longest)
    ids = np.random.default_rng(0).integers(1, trial.model["vocabulary_size"], shape, np.int32)
    objective: Objective
    if trial.adversarial:
        objective, labels = LabelObjective(adversarial=trial.adversarial), np.zeros((shape[0], 1), np.int32)
    else:
        objective, labels = TokenObjective(config.label_smoothing), ids
        for layer in getattr(model, "head_layers", ()):  # it has no use for them
            layer.trainable = False
    training_model = compile_for_training(model, config, objective)
    batch = (dict.fromkeys(model.input, ids), labels)
    training_model.fit(feed(lambda: iter([batch] * STEPS)), steps_per_epoch=STEPS, epochs=1, verbose=0, shuffle=False)
    device = keras.distribution.list_devices()[0].partition(":")[0].lower()
    return Needed(device, most_memory())


def most_memory() -> int:
    """Returns the most bytes that this process has had.

    What `getrusage` says is on Linux never less than what the process that started this one had when it did.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    print(json.dumps(vars(run(Trial(**json.load(sys.stdin))))))
