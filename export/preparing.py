"""A run made ready for few bits: a new run of the same model, to be trained a little more with rounded weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_transformer.config import load_config, save_config
from keras_transformer.errors import UserError, close_matches
from keras_transformer.export.folding import folded
from keras_transformer.export.precisions import TRAINED
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.predictors import load
from keras_transformer.recipe_kit.telling import say
from keras_transformer.training.run_directory import RunDirectory

STEPS = 1000
LEARNING_RATE = 2e-4
EVALUATIONS = 4

# What a short training of a trained model does without, whatever the first one had.
SIMPLE: Mapping[str, Any] = {
    "minutes": None,
    "schedule": "linear",
    "final_learning_rate": 0.0,
    "averaging": None,
    "average_last": None,
    "patience": None,
    "curriculum_steps": 0,
    "dtype_policy": "float32",
    "hosts": [],
    "host": 0,
}


def quantize_train(
    recipe: Any,
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    precision: str,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
) -> dict[str, Any] | None:
    """Trains the model of a run a little more with its weights rounded as a precision rounds them, in a new run.

    The new run's model has the weights that the exporter would round, where that folds normalisations: what is trained
    is what is exported. Its best weights are those with which the rounded model scores best on the validation split.
    One that was interrupted is taken up by `train --resume` with its own config.yaml.

    Args:
        recipe: module of the run's recipe.
        run: a trained run.
        output: the new run's directory.
        precision: one whose weights are whole numbers: int8, int8_static or int4.
        steps: updates.
        learning_rate: at first; it goes down to 0.

    Returns: the scores of the new run on its test split, with weights that are not rounded: export rounds them.

    Raises:
        UserError: no such precision, or one that nothing is trained for; the run cannot be used; `output` exists.
    """
    if precision not in TRAINED:
        known = ", ".join(TRAINED)
        raise UserError(
            f"precision is {precision!r}: no training is for that.{close_matches(precision, TRAINED)} "
            f"There are: {known}."
        )
    source, new = RunDirectory(run), RunDirectory(output)
    source.check_trained()
    new.check_free("give another --output")
    config = load_config(recipe.Config, source.config)
    options = replace(
        config.training,
        **SIMPLE,
        quantize=TRAINED[precision],
        steps=steps,
        learning_rate=learning_rate,
        warmup_steps=max(1, steps // 20),
        evaluate_every=max(1, steps // EVALUATIONS),
        checkpoint_every=max(1, steps // EVALUATIONS),
    )
    # words were masked before the training, if they were: not again
    own = {"warm_up_steps": 0} if hasattr(config, "warm_up_steps") else {}
    with new.create() as beside:
        _fill(source, beside)
        save_config(replace(config, run=str(new.path), resume=True, training=options, **own), beside.config)
    scores: dict[str, Any] | None = recipe.main(load_config(recipe.Config, new.config))
    now, before = (found.read_json(found.metrics).get("best_score") for found in (new, source))
    if now is not None and before is not None:
        say(
            f"best score on the validation split: {now:.2f} with weights of {precision}, {before:.2f} before in float32"
        )
    return scores


def _fill(source: RunDirectory, new: RunDirectory) -> None:
    """Copies what a training wants from a run, and writes its model as it is exported."""
    shutil.copytree(source.tokenizer, new.tokenizer)
    shutil.copytree(source.path / "data", new.path / "data")
    if source.labels.is_file():
        shutil.copy(source.labels, new.labels)
    model = load(source.path).model
    ready = folded(model) if isinstance(model, Seq2SeqTransformer) else model
    new.write_model(ready)
    ready.save_weights(new.weights)
    _keep_origin(RunDirectory(source.origin) if source.origin.is_dir() else source, RunDirectory(new.origin))


def _keep_origin(source: RunDirectory, kept: RunDirectory) -> None:
    """Copies what it takes to score a run, so that the gate can tell what was lost since."""
    shutil.copytree(source.tokenizer, kept.tokenizer)
    kept.examples("test").parent.mkdir()
    for name in ("config", "model", "weights", "labels"):
        if (path := getattr(source, name)).is_file():
            shutil.copy(path, getattr(kept, name))
    shutil.copy(source.examples("test"), kept.examples("test"))
