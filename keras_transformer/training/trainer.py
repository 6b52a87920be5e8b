"""Trains a model into a run directory: checkpoints, evaluations, TensorBoard, resume."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
from rich.console import Console

from keras_transformer._files import replacing, write_json
from keras_transformer.data.batching import Seq2SeqBatches
from keras_transformer.data.feed import feed
from keras_transformer.errors import UserError
from keras_transformer.training.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.model import TrainingModel
from keras_transformer.training.optimizer import Adam, InverseSquareRoot, averaged_weights, own_optimizer
from keras_transformer.training.progress import ProgressBar
from keras_transformer.training.run_directory import RunDirectory
from keras_transformer.training.tensorboard import TensorBoardLog, sample_table

LOG_EVERY = 25  # steps between the points of a TensorBoard curve


@dataclass
class Evaluation:
    """What a recipe's evaluation found.

    Attributes:
        score: the best weights are those with the highest.
        metrics: what to show and log, by name.
        samples: (source, reference, output) of a few sentences, the same ones at every evaluation.
    """

    score: float
    metrics: dict[str, float]
    samples: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Progress:
    """Where a training stands; saved with every checkpoint. `seconds` hold those of the evaluations."""

    step: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    tokens: float = 0.0
    best_score: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0


def compile_for_training(model: keras.Model, config: TrainingConfig, pad_id: int) -> TrainingModel:
    """Returns the model with its loss and optimizer."""
    training_model = TrainingModel(model, config.label_smoothing, pad_id)
    optimizer = Adam(
        InverseSquareRoot(config.learning_rate, config.warmup_steps),
        beta_2=config.beta_2,
        epsilon=1e-9,
        clip_norm=config.clip_norm,
        averaging=config.averaging,
    )
    # XLA is slower than TensorFlow's own operators on a CPU in bfloat16 and no faster in float32 (measured)
    training_model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "tensorflow")
    # variables made while the first step is traced would have it traced twice: half the wait before training starts
    training_model.optimizer.build(training_model.trainable_variables)
    return training_model


def train(
    training_model: TrainingModel,
    batches: Seq2SeqBatches,
    config: TrainingConfig,
    run: RunDirectory,
    evaluate: Callable[[], Evaluation],
    console: Console | None = None,
) -> Progress:
    """Trains until `config.steps`, the limit of time, or the patience is reached; from the last checkpoint if any.

    Every `evaluate_every` steps, and at the end, `evaluate` is called, its metrics are logged, and the weights are
    kept if the score is the best so far. Ctrl-C or SIGTERM ends the training after the step under way with a
    checkpoint: to be taken up again from there.

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
        UserError: the last checkpoint is damaged or of another model; the disk is full.
    """
    console = console or Console(stderr=True)
    progress = resume(training_model, run)
    if progress.step:
        console.print(f"taking up {run.path} at step {progress.step}", highlight=False)
    keeper = RunKeeper(training_model, config, run, evaluate, progress, console, batches.padding_share)
    keeper.finished = keeper.is_out_of_time() or keeper.is_out_of_patience()
    at_an_end = progress.step >= config.steps or keeper.is_out_of_time()
    is_due = progress.step > 0 and (at_an_end or progress.step % config.evaluate_every == 0)
    if is_due and not keeper.is_evaluated():  # killed between a step's checkpoint and its evaluation
        keeper.on_epoch_end(0)
    callbacks = [ProgressBar(progress.step, config.steps, console), keeper]
    data = feed(lambda: batches.from_step(progress.step))
    every = config.evaluate_every
    with _stop_on_signal(keeper):
        while progress.step < config.steps and not keeper.finished:
            # one epoch of `fit` is the way to the next evaluation; the first after a resume may be shorter
            steps = min(every - progress.step % every, config.steps - progress.step)
            epochs = max(1, (config.steps - progress.step) // every) if steps == every else 1
            training_model.fit(
                data, steps_per_epoch=steps, epochs=epochs, callbacks=callbacks, verbose=0, shuffle=False
            )
            data = feed(lambda: batches.from_step(progress.step))
    keeper.log.close()
    if keeper.interrupted:
        console.print(f"saved at step {progress.step}; --resume takes the training up there", highlight=False)
        raise KeyboardInterrupt
    return progress


def resume(training_model: TrainingModel, run: RunDirectory) -> Progress:
    """Sets the model from the last checkpoint of a run, if there is one, and returns where the training stands."""
    saved = checkpoints(run.checkpoints)
    if not saved:
        return Progress()
    return Progress(**load_checkpoint(saved[-1], training_model))


class RunKeeper(keras.callbacks.Callback):
    """Keeps the run directory: curves, checkpoints, evaluations, best weights, and when to stop."""

    def __init__(
        self,
        training_model: TrainingModel,
        config: TrainingConfig,
        run: RunDirectory,
        evaluate: Callable[[], Evaluation],
        progress: Progress,
        console: Console,
        padding_share: float,
    ):
        super().__init__()
        self.training_model = training_model
        self.config = config
        self.run = run
        self.evaluate = evaluate
        self.progress = progress
        self.console = console
        self.padding_share = padding_share
        self.log = TensorBoardLog(run.logs)
        self.interrupted = False
        self.finished = False
        self.history = run.read_json(run.metrics)["evaluations"] if run.metrics.exists() else []
        self.history = [entry for entry in self.history if entry["step"] <= progress.step]
        self.clock = time.monotonic()
        self.point = (progress.step, progress.seconds, progress.tokens)
        self.tokens_before = progress.tokens
        self.sums: dict[str, tuple[float, float]] = {}  # of each metric at the last point of its curve

    def is_evaluated(self) -> bool:
        """Returns whether the weights as they are now have been evaluated."""
        return bool(self.history) and self.history[-1]["step"] == self.progress.step

    def is_out_of_time(self) -> bool:
        """Returns whether the training has had all its minutes."""
        return self.config.minutes is not None and self.progress.seconds >= 60 * self.config.minutes

    def is_out_of_patience(self) -> bool:
        """Returns whether too many evaluations in a row found no better score."""
        patience = self.config.patience
        return patience is not None and self.progress.evaluations_since_best >= patience

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.clock = time.monotonic()
        self.tokens_before = self.progress.tokens
        self.sums = {}  # Keras sets the metrics back

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        progress = self.progress
        progress.step += 1
        now = time.monotonic()
        progress.seconds += now - self.clock
        self.clock = now
        # the token means were reset at the start of the epoch: their weight is the number of tokens since then
        if progress.step % LOG_EVERY == 0 or progress.step % self.config.checkpoint_every == 0:
            progress.tokens = self.tokens_before + float(self.training_model.token_means["loss"].count)
        if progress.step % LOG_EVERY == 0:
            self._log_point()
        if progress.step % self.config.checkpoint_every == 0:
            self.checkpoint()
        if self.interrupted or self.is_out_of_time():
            self.training_model.stop_training = True
            self.finished = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.progress.tokens = self.tokens_before + float(self.training_model.token_means["loss"].count)
        if not self.interrupted:
            self._evaluate(logs or {})
        self.checkpoint()
        self.log.flush()

    def checkpoint(self) -> None:
        """Saves everything that training continues from."""
        with self._writing("the checkpoint"):
            save_checkpoint(self.run.checkpoints, self.training_model, self.progress.step, vars(self.progress))

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.run.path}: {what} of step {self.progress.step} cannot be written: {error.strerror or error}; "
                "what was saved before is intact, make room and take the training up with --resume"
            ) from None

    def _log_point(self) -> None:
        """Writes the curves of training: each point a mean over the target tokens since the last point."""
        progress, (step, seconds, tokens) = self.progress, self.point
        self.point = (progress.step, progress.seconds, progress.tokens)
        optimizer = own_optimizer(self.training_model)
        values = {}
        for name, metric in self.training_model.token_means.items():
            total, count = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = (float(metric.total), float(metric.count))
            values[f"train/{name}"] = (float(metric.total) - total) / max(float(metric.count) - count, 1.0)
        values["train/learning_rate"] = float(optimizer.learning_rate)
        values["train/gradient_norm"] = float(optimizer.gradient_norm)
        if progress.seconds > seconds and progress.tokens > tokens and progress.step > step:
            values["train/tokens_per_second"] = (progress.tokens - tokens) / (progress.seconds - seconds)
        self.log.scalars(values, progress.step)

    def _evaluate(self, logs: dict[str, float]) -> None:
        start = time.monotonic()
        with averaged_weights(self.training_model):
            self._score_weights(logs, start)

    def _score_weights(self, logs: dict[str, float], start: float) -> None:
        progress = self.progress
        evaluation = self.evaluate()
        progress.seconds += time.monotonic() - start
        progress.evaluation_seconds += time.monotonic() - start
        self.point = (progress.step, progress.seconds, progress.tokens)
        self.clock = time.monotonic()
        better = progress.best_score is None or evaluation.score > progress.best_score
        if better:
            with self._writing("the best weights"):
                self._keep_weights()
            progress.best_score, progress.best_step, progress.evaluations_since_best = (
                evaluation.score,
                progress.step,
                0,
            )
        else:
            progress.evaluations_since_best += 1
        with self._writing("the evaluation"):
            self._record(evaluation, logs, better)
        if self.is_out_of_patience():
            self.console.print(f"stopping: no better score in {self.config.patience} evaluations", highlight=False)
            self.training_model.stop_training = True
            self.finished = True

    def _keep_weights(self) -> None:
        beside = self.run.path / "next.weights.h5"
        try:
            self.training_model.model.save_weights(beside, overwrite=True)
            beside.replace(self.run.weights)
        finally:
            beside.unlink(missing_ok=True)

    def _record(self, evaluation: Evaluation, logs: dict[str, float], better: bool) -> None:
        """Writes an evaluation to metrics.json, samples.txt, TensorBoard and the terminal."""
        progress = self.progress
        rate = progress.tokens / max(progress.seconds - progress.evaluation_seconds, 1e-9)
        entry = {
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "target_tokens": int(progress.tokens),
            **{f"train_{name}": round(value, 5) for name, value in logs.items()},
            **{name: round(value, 5) for name, value in evaluation.metrics.items()},
        }
        self.history.append(entry)
        write_json(
            self.run.metrics,
            {
                "best_step": progress.best_step,
                "best_score": progress.best_score,
                "padding_share": round(self.padding_share, 4),
                "tokens_per_second": round(rate, 1),
                "evaluations": self.history,
            },
        )
        with replacing(self.run.samples, "w") as file:
            file.write(f"step {progress.step}\n\n")
            for source, reference, output in evaluation.samples:
                file.write(f"source     {source}\nreference  {reference}\nmodel      {output}\n\n")
        self.log.scalars({f"validation/{name}": value for name, value in evaluation.metrics.items()}, progress.step)
        self.log.text("validation/samples", sample_table(evaluation.samples), progress.step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in evaluation.metrics.items())
        self.console.print(
            f"step {progress.step}  {progress.seconds / 60:.1f} min  {rate:,.0f} tokens/s  {shown}"
            f"{'  (best)' if better else ''}",
            highlight=False,
        )


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
        if self.keeper.interrupted:
            raise KeyboardInterrupt
        self.keeper.interrupted = True
        self.keeper.console.print("stopping after this step; once more to stop at once", highlight=False)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
