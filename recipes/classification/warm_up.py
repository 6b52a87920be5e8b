"""Masked language modelling on the training texts, before they are classified: the encoder learns the language first.

Dai and Le, "Semi-supervised Sequence Learning" (2015), https://arxiv.org/abs/1511.01432, with the masks of BERT.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from keras_transformer import data, training
from keras_transformer.recipe_kit import say
from keras_transformer.text import BytePieceTokenizer

FOLDER = "warm_up"  # in the run; a run of its own, to be resumed like one
SCORED = 10  # batches, masked anew, that the warm-up is scored on
FAR = 10**6  # a step that no training reaches: its masks were not trained on


def warm_up(config: Any, run: training.RunDirectory, tokenizer: BytePieceTokenizer, model: Any) -> None:
    """Trains the encoder to guess hidden pieces, unless the training itself has begun; taken up where it was left."""
    from keras_transformer.training.checkpoints import checkpoints  # imports Keras

    if not config.warm_up_steps or checkpoints(run.checkpoints):
        return
    say(f"warm-up: {config.warm_up_steps:,} steps of guessing hidden pieces")
    options = replace(
        config.training,
        steps=config.warm_up_steps,
        evaluate_every=config.warm_up_steps,
        warmup_steps=min(config.training.warm_up(), config.warm_up_steps),
        minutes=None,
        patience=None,
        r_drop=0.0,
        label_smoothing=0.0,
        average_last=None,
        freeze=[],
    )
    folder = training.RunDirectory(run.path / FOLDER)
    folder.path.mkdir(exist_ok=True)
    batches = masked_batches(config, run, tokenizer)
    for layer in model.head_layers:
        layer.trainable = False
    training_model = training.compile_for_training(model, options, training.TokenObjective(0.0, tokenizer.pad_id))
    training.train(training_model, batches, options, folder, lambda: score(training_model, batches))
    model.load_weights(folder.weights)
    for layer in model.head_layers:
        layer.trainable = True


def masked_batches(config: Any, run: training.RunDirectory, tokenizer: BytePieceTokenizer) -> data.MaskedBatches:
    """Returns the training texts with pieces hidden; the end id, which an encoder has no other use for, hides them."""
    options, store = config.training, data.TokenStore(run.train_store)
    return data.MaskedBatches(
        store,
        int(options.batch_tokens),
        options.seed,
        mask_id=tokenizer.end_id,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        length_multiple=options.length_multiple or data.default_length_multiple(),
    )


def score(training_model: Any, batches: data.MaskedBatches) -> training.Evaluation:
    """Returns how many hidden pieces the model guesses, on masks that it was not trained on."""
    right, hidden = 0.0, 0.0
    for inputs, labels in islice(batches.from_step(FAR), SCORED):
        sums = training_model.sums(inputs, training_model(inputs, training=False), labels)
        right += float(np.asarray(sums.metrics["token_accuracy"]))
        hidden += float(np.asarray(sums.weight))
    accuracy = 100 * right / max(hidden, 1.0)
    return training.Evaluation(accuracy, {"masked_accuracy": accuracy})
