"""Trains a model into a run directory: checkpoints, evaluations, TensorBoard, resume."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from rich.console import Console

from keras_transformer.data.batching import TokenBatches
from keras_transformer.data.feed import feed
from keras_transformer.errors import UserError
from keras_transformer.training.checkpoints import last_checkpoint, load_checkpoint
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.device import check_policy, make_deterministic, parts_of_a_batch
from keras_transformer.training.distribution import strategy_of
from keras_transformer.training.divergence import Diverged
from keras_transformer.training.hosts import is_first, own_run
from keras_transformer.training.keeper import RunKeeper
from keras_transformer.training.model import TrainingModel
from keras_transformer.training.objective import Objective
from keras_transformer.training.optimizers import check_undecayed, freeze, make_optimizer
from keras_transformer.training.progress import ProgressBar
from keras_transformer.training.rounding import round_in_training, with_rounded
from keras_transformer.training.run_directory import RunDirectory
from keras_transformer.training.standing import Evaluation as Evaluation
from keras_transformer.training.standing import Progress as Progress


def compile_for_training(model: keras.Model, config: TrainingConfig, objective: Objective) -> TrainingModel:
    """Returns the model with what it is trained for and its optimizer.

    Raises:
        UserError: the device cannot run the dtype policy; `config.freeze` matches nothing, or everything;
            `config.no_weight_decay` matches nothing.
    """
    if config.deterministic:
        make_deterministic()
    check_policy(config.dtype_policy)
    freeze(model, config.freeze)
    check_undecayed(model, config.no_weight_decay)
    round_in_training(model, config.quantize)
    # the policy of what is compiled decides whether Keras scales the loss, as mixed_float16 needs it
    training_model = TrainingModel(
        model, objective, parts=parts_of_a_batch(), consistency=config.r_drop, dtype=model.dtype_policy
    )
    optimizer = make_optimizer(config, training_model.trainable_variables)
    # XLA is slower than TensorFlow's own operators on a CPU in bfloat16 and no faster in float32 (measured)
    training_model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "tensorflow")
    # variables made while the first step is traced would have it traced twice: half the wait before training starts
    training_model.optimizer.build(training_model.trainable_variables)
    return training_model


def train(
    training_model: TrainingModel,
    batches: TokenBatches,
    config: TrainingConfig,
    run: RunDirectory,
    evaluate: Callable[[], Evaluation],
    console: Console | None = None,
) -> Progress:
    """Trains until `config.steps`, the limit of time, or the patience is reached; from the last checkpoint if any.

    Every `evaluate_every` steps, and at the end, `evaluate` is called, its metrics are logged, and the weights are
    kept if the score is the best so far. Ctrl-C or SIGTERM ends the training after the step under way with a
    checkpoint: to be taken up again from there. A training that is killed goes on from its last checkpoint and ends
    with the same weights, bit for bit, as one that was not (float32, the same machine).

    Args:
        training_model: from `compile_for_training`.
        batches: of the training data.
        config: how to train.
        run: its folder exists.
        evaluate: scores the model as it is now.
        console: where progress is shown; default standard error.

    Returns: where the training stands.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with everything saved.
        UserError: the training diverged; another process trains the run; the last checkpoint is damaged or of another
            model; the disk is full.
    """
    with own_run(run) as run:
        return _train(training_model, batches, config, run, evaluate, console or _console())


def _console() -> Console:
    return Console(stderr=True, quiet=not is_first())


def _train(
    training_model: TrainingModel,
    batches: TokenBatches,
    config: TrainingConfig,
    run: RunDirectory,
    evaluate: Callable[[], Evaluation],
    console: Console,
) -> Progress:
    progress = resume(training_model, run)
    if config.quantize is not None:
        evaluate = with_rounded(training_model.model, evaluate)
    if progress.step:
        console.print(f"taking up {run.path} at step {progress.step}", highlight=False)
    keeper = RunKeeper(training_model, config, run, evaluate, progress, console, batches)
    keeper.start()
    if progress.step and progress.step % config.evaluate_every == 0 and not keeper.is_evaluated():
        keeper.on_epoch_end(0)  # it was killed between a step's checkpoint and its evaluation
    bar = ProgressBar(progress, config.steps, console, training_model.objective.accuracy)
    callbacks = Callbacks([keeper, bar], add_history=True, model=training_model)
    try:
        with _stop_on_signal(keeper):
            while progress.step < config.steps and not keeper.finished:
                try:
                    _fit(training_model, keeper.watch.watched(batches.from_step), progress.step, config, callbacks)
                except Diverged as error:
                    keeper.step_back(error)
            if not keeper.interrupted and not keeper.is_evaluated():
                keeper.on_epoch_end(0)  # the time was over when it was killed, or when it went back to a checkpoint
    finally:
        bar.bar.stop()
        keeper.close()
    if keeper.interrupted:
        console.print(f"saved at step {progress.step}; --resume takes the training up there", highlight=False)
        raise KeyboardInterrupt
    return progress


def _fit(
    training_model: TrainingModel,
    batches: Callable[[int], Iterator[Any]],
    step: int,
    config: TrainingConfig,
    callbacks: keras.callbacks.CallbackList,
) -> None:
    """Trains from a step to the end; from between two evaluations, to the next."""
    every = config.evaluate_every
    steps = min(every - step % every, config.steps - step)
    # one epoch of `fit` is the way to the next evaluation; the first after a resume may be shorter
    epochs = max(1, (config.steps - step) // every) if steps == every else 1
    objective = training_model.objective
    strategy = strategy_of(training_model)
    data = feed(lambda: batches(step * config.accumulate), strategy, objective.pad_id, objective.pad_label)
    steps *= config.accumulate  # to Keras every batch is a step
    training_model.fit(data, steps_per_epoch=steps, epochs=epochs, callbacks=callbacks, verbose=0, shuffle=False)


def resume(training_model: TrainingModel, run: RunDirectory) -> Progress:
    """Sets the model from the last checkpoint of a run, if there is one, and returns where the training stands.

    Raises:
        UserError: the checkpoint is damaged, or of another model, or of another version of this package.
    """
    saved = last_checkpoint(run.checkpoints)
    if saved is None:
        return Progress()
    state = load_checkpoint(saved, training_model)
    try:
        return Progress(**state)
    except TypeError as error:
        known = ", ".join(vars(Progress()))
        raise UserError(f"{saved}: its state is of another version ({error}), expected {known}") from None


class Callbacks(keras.callbacks.CallbackList):
    """Callbacks that are handed the metrics of a batch as they are, still on the device.

    Keras turns them into numbers for every batch, and the host waits for the step to end before it begins the next.
    """

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs)


class _stop_on_signal:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after the step under way."""

    def __init__(self, keeper: RunKeeper):
        self.keeper = keeper
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        if self.keeper.stop_asked:
            raise KeyboardInterrupt
        self.keeper.ask_to_stop()
        self.keeper.console.print("stopping after this step; once more to stop at once", highlight=False)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
