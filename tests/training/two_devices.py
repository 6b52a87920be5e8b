"""Trainings on one and on two devices, run by test_devices.py: `python two_devices.py DATA FOLDER`.

This process has two CPU devices, which must be said before TensorFlow starts. Without dropout, for devices draw random
numbers each for their own rows. Prints a line of JSON for each training: its curve, and what was evaluated.
"""

from __future__ import annotations

import json
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
    on_devices,
    train,
)
from keras_transformer.training.keeper import RunKeeper

STEPS = 20


def training(data: str, folder: str, devices: int, steps: int = STEPS, **options: Any) -> dict[str, Any]:
    """Trains from the last checkpoint, if there is one, and returns what there is to compare."""
    config = TrainingConfig(
        **{
            "steps": steps,
            "batch_tokens": 64,
            "warmup_steps": 5,
            "learning_rate": 0.01,
            "evaluate_every": 10,
            "checkpoint_every": 5,
            "averaging": 0.9,
            "devices": devices,
            **options,
        }
    )
    losses: list[float] = []
    count = RunKeeper.on_train_batch_end

    def on_train_batch_end(self: RunKeeper, batch: int, logs: Any = None) -> None:
        count(self, batch, logs)
        getattr(self.training_model, "jax_state_sync", lambda: None)()
        losses.append(self._totals()["loss"][0])

    RunKeeper.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign]
    try:
        with on_devices(config):
            keras.utils.set_random_seed(config.seed)
            model = Seq2SeqTransformer(12, 1, 1, 8, 12, 2, dropout=0.0)
            training_model = compile_for_training(model, config, TokenObjective(config.label_smoothing))
            # two shapes, one of them with an odd number of rows
            batches = Seq2SeqBatches(TokenStore(Path(data)), 64, 0, 1, 2, 0, length_multiple=6)
            run = RunDirectory(folder)

            def evaluate() -> Evaluation:
                score = float(np.abs(model.token_embedding.get_weights()[0]).sum())
                return Evaluation(score, {"bleu": score})

            run.path.mkdir(exist_ok=True)
            train(training_model, batches, config, run, evaluate)
            weights = [np.asarray(weight).tolist() for weight in training_model.get_weights()]
    finally:
        RunKeeper.on_train_batch_end = count  # type: ignore[method-assign]
    metrics = run.read_json(run.metrics)["evaluations"]
    return {"losses": losses, "weights": weights, "evaluations": metrics}


def main(data: str, folder: str) -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    found = {
        "one": training(data, f"{folder}/one", 1),
        "two": training(data, f"{folder}/two", 2),
        "half": training(data, f"{folder}/resumed", 2, steps=10),
        "resumed": training(data, f"{folder}/resumed", 2),
    }
    for devices in (1, 2) if keras.backend.backend() == "tensorflow" else ():  # other operations, and decay
        options = {"optimizer": "adafactor", "weight_decay": 0.1, "average_last": 2, "averaging": None}
        found[f"adafactor {devices}"] = training(data, f"{folder}/adafactor{devices}", devices, 10, **options)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
