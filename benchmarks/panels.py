"""Measures what TensorBoard's panels cost: the share of a training's time at the default settings.

    .venv/bin/python benchmarks/panels.py

Trains a model on the generated data for `--steps` steps, lets the panels do what they do at an evaluation, and so on in
turns: their share is what they take over the `evaluate_every` steps between two evaluations. The time of writing the
curves, which there are with and without panels, is not in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_transformer import recipe_kit as kit
from keras_transformer import training
from keras_transformer.data.feed import feed
from keras_transformer.recipes import translation
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training.config import ModelConfig, TrainingConfig
from keras_transformer.training.panels import Panels
from keras_transformer.training.tensorboard import TensorBoardLog


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=20, help="training steps between two measurements")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.preset, arguments.steps, arguments.rounds, f"{folder}/run")


def measure(preset: str, steps: int, rounds: int, folder: str) -> None:
    """Prints the time of a step and of each panel, medians over the rounds, and the panels' share."""
    given = translation.Config(run=folder, model=ModelConfig(preset=preset), training=TrainingConfig())
    config = translation.settle(given)
    run = kit.make_run(config, translation.prepare_data)
    tokenizer = BytePieceTokenizer.load(run.tokenizer)
    batches = translation.make_batches(config, run, tokenizer)
    model = kit.build_model(config, run, lambda: translation.new_model(config, tokenizer))
    training_model = training.compile_for_training(model, config.training, translation.objective(config, tokenizer))
    samples = [(source, target, "") for source, target in run.read_examples("validation")[: translation.SAMPLES]]
    every = config.training.evaluate_every
    log = TensorBoardLog(run.logs)
    panels = Panels(log, config.training.tensorboard, training_model, run, batches.from_step, every)
    stream = feed(lambda: batches.from_step(0))
    times: dict[str, list[float]] = {"step": [], "histograms": [], "attention and embeddings": []}
    for round in range(rounds + 1):
        spent = seconds(lambda: training_model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False))
        panels.at_step(every - 1)  # takes the weights before the step
        found = {
            "step": spent / steps,
            "histograms": seconds(lambda: panels.at_step(every)) + seconds(lambda: panels.at_step(every - 1)),
            "attention and embeddings": seconds(lambda: panels.at_evaluation(every, samples)),
        }
        if round:  # the first holds compilation
            for name, value in found.items():
                times[name].append(value)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:26} {1e3 * medians[name]:9.1f} ms  ({1e3 * min(values):.1f} to {1e3 * max(values):.1f})")
    size = sum(path.stat().st_size for path in Path(run.logs).rglob("events*")) / (rounds + 1)
    panels_time = medians["histograms"] + medians["attention and embeddings"]
    share = panels_time / (panels_time + every * medians["step"])
    print(f"{'share of the training':26} {share:9.2%}     with an evaluation every {every} steps")
    print(f"{'event file':26} {size / 1e3:9.0f} kB  an evaluation")


def seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
