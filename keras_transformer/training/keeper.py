"""What is kept of a training: curves, checkpoints, evaluations, best weights; and when it stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
from keras import ops
from rich.console import Console

from keras_transformer._files import reason
from keras_transformer.data.batching import TokenBatches
from keras_transformer.errors import UserError
from keras_transformer.training.best_weights import BestWeights
from keras_transformer.training.checkpoints import (
    checkpoints,
    finite_values,
    forget_after,
    load_checkpoint,
    save_checkpoint,
    training_state,
)
from keras_transformer.training.checkpoints import numbered as numbered_variables
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.curve import Curve
from keras_transformer.training.divergence import STEP_BACK_FACTOR, Diverged, advice, check_loss
from keras_transformer.training.evaluation_record import EvaluationRecord
from keras_transformer.training.hosts import are_several, highest, of_first
from keras_transformer.training.input_watch import InputWatch
from keras_transformer.training.last_weights import LastWeights
from keras_transformer.training.model import TrainingModel
from keras_transformer.training.panels import Panels
from keras_transformer.training.run_directory import RunDirectory, step_of
from keras_transformer.training.schedules import make_schedule
from keras_transformer.training.standing import Evaluation, Point, Progress, Totals
from keras_transformer.training.tensorboard import TensorBoardLog
from keras_transformer.training.updates import averaged_weights, own_optimizer

LOG_EVERY = 25  # steps between the points of a TensorBoard curve


class RunKeeper(keras.callbacks.Callback):
    """Keeps the run directory: curves, checkpoints, evaluations, best weights, and when to stop.

    Raises out of `fit`:
        Diverged: see `step_back`.
        UserError: a file cannot be written.
    """

    def __init__(
        self,
        training_model: TrainingModel,
        config: TrainingConfig,
        run: RunDirectory,
        evaluate: Callable[[], Evaluation],
        progress: Progress,
        console: Console,
        batches: TokenBatches,
    ):
        super().__init__()
        self.training_model = training_model
        self.config = config
        self.run = run
        self.evaluate = evaluate
        self.progress = progress
        self.console = console
        self.watch = InputWatch(training_model.objective.pad_id)
        self.log = TensorBoardLog(run.logs)
        unit = training_model.objective.unit
        self.record = EvaluationRecord(run, self.log, console, unit, batches.padding_share)
        self.panels = Panels(
            self.log,
            config.tensorboard,
            training_model,
            run,
            lambda step: batches.from_step(step * config.accumulate),
            config.evaluate_every,
            config.steps,
        )
        self.best_weights = BestWeights(run)
        self.last_weights = LastWeights(run.checkpoints, config.average_last) if config.average_last else None
        self.stop_asked = self.interrupted = False
        self.finished = False
        self.warned_of_warm_up = False
        self.went_back_to: Path | None = None
        self._stand_at_checkpoint()

    def start(self) -> None:
        """Makes ready for the first step, of all or since a resume."""
        with self._writing("what the last process left unfinished"):
            self.run.remove_unfinished()
        self._publish()  # it may have been killed between a checkpoint and this
        self._miss_best_weights()
        if self.progress.steps_back:
            self._lower_learning_rate()
        if self.config.step_back and not checkpoints(self.run.checkpoints):
            self.checkpoint()  # somewhere to go back to
        self.finished = self.is_out_of_time() or self.is_out_of_patience()
        self.panels.at_start(self.progress.step)

    def close(self) -> None:
        """Makes what was logged visible."""
        self.log.close()

    def _stand_at_checkpoint(self) -> None:
        """Forgets what lies ahead of the step that the model was just set to."""
        progress = self.progress
        if progress.evaluations is None:  # there is no checkpoint, or an earlier version wrote it
            history = self.run.read_metrics()["evaluations"]
            progress.evaluations = [entry for entry in history if entry["step"] <= progress.step]
        with self._writing("what lies ahead"):
            forget_after(self.run.checkpoints, progress.step)
            if self.last_weights:
                self.last_weights.forget_after(progress.step)
        self.clock = time.monotonic()
        with self._writing("the curve"):
            self.curve = Curve(self.run.curve, progress.step)
        self.started = self.looked = progress.step  # looked: when the loss was last seen to be as it should
        self.loss_mean = progress.loss_mean
        self._restore_totals()

    def _restore_totals(self) -> None:
        """Sets the metrics to what they were: a resumed training shows the same curve."""
        for name, (total, count) in self.progress.totals.items():
            self._set_metric(name, total, count)
        _, counted = self.progress.totals.get("loss", (0.0, 0.0))
        self.tokens_before = self.progress.tokens - counted

    def _set_metric(self, name: str, total: float, count: float) -> None:
        metric = self.training_model.means[name]
        metric.total.assign(total)
        metric.count.assign(count)

    def _totals(self) -> Totals:
        metrics = self.training_model.means
        return {name: [_number(metric.total), _number(metric.count)] for name, metric in metrics.items()}

    def is_evaluated(self) -> bool:
        """Returns whether the weights as they are now have been evaluated."""
        progress = self.progress
        known = bool(progress.evaluations) and progress.best_score is not None
        return known and progress.evaluations[-1]["step"] == progress.step  # type: ignore[index]

    def is_out_of_time(self) -> bool:
        """Returns whether the training has had all its minutes."""
        return self.config.minutes is not None and self.progress.seconds >= 60 * self.config.minutes

    def is_out_of_patience(self) -> bool:
        """Returns whether too many evaluations in a row found no better score."""
        patience = self.config.patience
        return patience is not None and self.progress.evaluations_since_best >= patience

    def skipped_steps(self) -> int | None:
        """Returns how many steps changed no weight, a gradient having overflowed float16; None without loss scaling."""
        return self.progress.step - self._iterations() if self._scales_loss() else None

    def _scales_loss(self) -> bool:
        return own_optimizer(self.training_model) is not self.training_model.optimizer

    def _iterations(self) -> int:
        return int(_number(own_optimizer(self.training_model).iterations))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.clock = time.monotonic()
        self._restore_totals()  # Keras has set the metrics back

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.watch.training_begins()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.watch.step_begins()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Counts the step. What it took is read every `LOG_EVERY` steps and at checkpoints alone: reading waits."""
        if (batch + 1) % self.config.accumulate:  # more is to come before the update; an epoch begins with a step
            return
        progress = self.progress
        progress.step += 1
        now = time.monotonic()
        progress.seconds += now - self.clock
        self.clock = now
        is_point, is_checkpoint = progress.step % LOG_EVERY == 0, progress.step % self.config.checkpoint_every == 0
        if is_point or is_checkpoint:
            means = self._look()
            if is_point:
                self._log_point(means)
            if is_checkpoint:
                self.checkpoint()
        with self._aside():
            self.panels.at_step(progress.step)
        if self._is_to_stop():
            self.training_model.stop_training = True
            self.finished = True

    def ask_to_stop(self) -> None:
        """Asks for the end of the training after the step under way; several hosts have to agree first."""
        self.stop_asked = True
        self.interrupted = not are_several()

    def _is_to_stop(self) -> bool:
        wish = 2.0 if self.interrupted or self.stop_asked else 1.0 if self.is_out_of_time() else 0.0
        if are_several():
            if self.progress.step % LOG_EVERY:
                return False  # asking the others takes time
            wish = highest(wish)
            self.interrupted = wish == 2
        return wish > 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._look()
        finite_values(numbered_variables(self.training_model.model.trainable_variables))
        finite_values(training_state(self.training_model))  # or the checkpoint would refuse it after the evaluation
        if not self.interrupted:
            self._evaluate()
        self.checkpoint()
        self._publish()
        self.log.flush()

    def checkpoint(self) -> None:
        """Saves everything that training continues from.

        Raises:
            Diverged: a weight is not finite; nothing is written.
            UserError: the disk is full.
        """
        step = self.progress.step
        with self._writing("the checkpoint"):
            if self.last_weights and step and step % self.config.checkpoint_every == 0:
                self.last_weights.keep(self.training_model, step)  # before the checkpoint, which relies on it
            save_checkpoint(self.run.checkpoints, self.training_model, step, asdict(self.progress))

    def _publish(self) -> None:
        """Brings best weights and metrics.json up to what the last checkpoint says."""
        with self._writing("the best weights"):
            self.best_weights.settle(self.progress.best_sha256)
        with self._writing("the evaluation"):
            self.record.publish(self.progress)

    def _miss_best_weights(self) -> None:
        """Has the next evaluation's weights be the best, if the file of those that were is gone."""
        progress = self.progress
        if not of_first(float(progress.best_score is not None and not self.run.weights.exists())):
            return
        progress.best_score, progress.best_step, progress.best_sha256 = None, 0, None
        progress.evaluations_since_best = 0
        self.console.print(
            f"warning: {self.run.weights} is gone: the weights of the next evaluation are kept as the best",
            highlight=False,
            soft_wrap=True,
        )

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Counts the time of the block as that of evaluations, which the tokens per second leave out."""
        start = time.monotonic()
        yield
        spent = time.monotonic() - start
        self.progress.seconds += spent
        self.progress.evaluation_seconds += spent
        self.progress.point.seconds += spent
        self.clock += spent

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.run.path}: {what} of step {self.progress.step} cannot be written: {reason(error)}; "
                "what was saved before is intact, make room and take the training up with --resume"
            ) from None

    # Divergence

    def _look(self) -> dict[str, float]:
        """Returns the means over the target tokens since the last point of the curves, after a look at the loss.

        None where a batch overflowed float16: the mean of an infinite loss says nothing.

        Raises:
            Diverged: see `check_loss`; or the last gradient was not finite, or all steps since the point overflowed.
        """
        getattr(self.training_model, "jax_state_sync", lambda: None)()  # on JAX, variables lag behind inside `fit`
        progress, means, tokens = self.progress, {}, 0.0
        progress.totals = self._totals()
        for name, (total, count) in progress.totals.items():
            total_before, count_before = progress.point.totals.get(name, (0.0, 0.0))
            tokens = count - count_before
            means[name] = (total - total_before) / max(tokens, 1.0)
        progress.tokens = self.tokens_before + progress.totals["loss"][1]
        if not tokens or self._is_passing_overflow(means["loss"]):
            return {}
        model = self.training_model
        self.loss_mean = check_loss(
            means["loss"], progress.loss_mean, model.objective.guess_loss(model.model), model.objective.explosion
        )
        norm = _number(own_optimizer(self.training_model).gradient_norm)
        if not math.isfinite(norm):
            raise Diverged(f"the norm of the gradient is {norm}")
        self.looked = progress.step
        return means

    def _is_passing_overflow(self, loss: float) -> bool:
        """Returns whether a loss that is not finite is one of a batch that loss scaling skipped; it is counted out.

        Raises:
            Diverged: every step since the last point was skipped, however small the scale.
        """
        if not self._scales_loss():
            return False
        progress, point = self.progress, self.progress.point
        steps, taken = progress.step - point.step, self._iterations() - point.iterations
        scale = _number(self.training_model.optimizer.dynamic_scale)
        if steps >= LOG_EVERY and not taken and scale < 1:
            raise Diverged(f"the last {steps} gradients all overflowed float16, at a loss scale of {scale:.3g}")
        if math.isfinite(loss) or not taken:
            return False
        self.tokens_before += progress.totals["loss"][1] - point.totals.get("loss", [0.0, 0.0])[1]
        for name in progress.totals:
            progress.totals[name] = point.totals.get(name, [0.0, 0.0])
            self._set_metric(name, *progress.totals[name])
        return True

    def step_back(self, error: Diverged) -> None:
        """Returns to the last checkpoint, with a learning rate that is lower by `STEP_BACK_FACTOR` than before.

        To the one before it, if the training had gone back to the last and diverged at once: that was bad already. The
        time that was lost counts. The checkpoint is written again, so that a kill leaves the lower rate.

        Raises:
            UserError: the training went back `config.step_back` times already, or there is no checkpoint.
        """
        progress, saved = self.progress, checkpoints(self.run.checkpoints)
        between = f"between steps {self.looked} and {progress.step}"
        where = f"at step {progress.step}" if self.looked == progress.step else between
        what = f"training diverged {where}: {error}"
        if progress.steps_back >= self.config.step_back or not saved:
            times = f", after it went back {progress.steps_back} of {self.config.step_back} times"
            times = times if progress.steps_back else ""
            raise UserError(f"{self.run.path}: {what}{times}; {self._way_out(saved)}") from None
        spent = {"seconds": progress.seconds, "evaluation_seconds": progress.evaluation_seconds}
        steps_back = progress.steps_back + 1
        self.went_back_to = self._trusted(saved)
        state = {**load_checkpoint(self.went_back_to, self.training_model), **spent, "steps_back": steps_back}
        if progress.best_step > state["step"]:  # their file is there, and stays until there are better ones
            best = {name: getattr(progress, name) for name in ("best_score", "best_step", "best_sha256")}
            state.update(best, evaluations_since_best=0)
        vars(progress).update(vars(Progress(**state)))
        self.training_model.reset_metrics()
        rate = self._lower_learning_rate()
        self.checkpoint()  # from here on this is the last, see `last_checkpoint`
        self._stand_at_checkpoint()
        self._publish()
        self.console.print(
            f"{what}; back to step {progress.step} with a learning rate of {rate:.3g} at its highest "
            f"({steps_back} of {self.config.step_back} times)",
            highlight=False,
            soft_wrap=True,
        )

    def _way_out(self, saved: list[Path]) -> str:
        tries = advice(self.config)
        if not saved:
            return f"there is no checkpoint yet: begin again with --resume and {tries}"
        again = (
            "" if self.config.step_back else "go on with --resume --training.step_back 3, which lowers the rate, or "
        )
        return f"{self._trusted(saved).name} is intact: {again}begin another run with {tries}"

    def _trusted(self, saved: list[Path]) -> Path:
        """The last checkpoint; the one before it, if the training diverged from the last before its first good look."""
        again = self.went_back_to == saved[-1] and self.looked == step_of(saved[-1])
        return saved[-2] if again and len(saved) > 1 else saved[-1]

    def _lower_learning_rate(self) -> float:
        """Sets the schedule to what it is after `steps_back` and returns its peak."""
        rate = self.config.learning_rate * STEP_BACK_FACTOR**self.progress.steps_back
        self.training_model.optimizer.learning_rate = make_schedule(replace(self.config, learning_rate=rate))
        self.training_model.make_train_function(force=True)  # the rate is a constant in the one there is
        return rate

    # Curves and evaluations

    def _log_point(self, means: dict[str, float]) -> None:
        """Writes the curves of training: each point a mean over the target tokens since the last point."""
        progress, point = self.progress, self.progress.point
        optimizer = own_optimizer(self.training_model)
        values = {f"train/{name}": mean for name, mean in means.items()}
        values["train/learning_rate"] = _number(optimizer.learning_rate)
        values["train/gradient_norm"] = _number(optimizer.gradient_norm)
        if progress.seconds > point.seconds and progress.tokens > point.tokens:
            values[f"train/{self.training_model.objective.unit}_per_second"] = (progress.tokens - point.tokens) / (
                progress.seconds - point.seconds
            )
        if self._scales_loss():
            values["train/skipped_steps"] = self.skipped_steps() or 0
            values["train/loss_scale"] = _number(self.training_model.optimizer.dynamic_scale)
        values.update(self.watch.point(progress.seconds - point.seconds))
        self.log.scalars(values, progress.step)
        with self._writing("the curve"):
            self.curve.append(progress.step, values)
        self._tell_endless_warm_up()
        progress.loss_mean = self.loss_mean
        self._stand_at_point()

    def _stand_at_point(self) -> None:
        """Begins the next stretch of the curves here."""
        progress = self.progress
        totals = {name: list(pair) for name, pair in progress.totals.items()}
        progress.point = Point(progress.step, progress.seconds, progress.tokens, self._iterations(), totals)

    def _tell_endless_warm_up(self) -> None:
        """Warns once if, at the speed since the last point, the minutes end before the warm-up does."""
        progress, point = self.progress, self.progress.point
        if self.config.minutes is None or self.warned_of_warm_up or point.step <= self.started:
            return  # the first point holds the compilation
        left, seconds = 60 * self.config.minutes - progress.seconds, progress.seconds - point.seconds
        last = progress.step + left * (progress.step - point.step) / max(seconds, 1e-9)
        if last < self.config.warm_up():
            self.warned_of_warm_up = True
            self.console.print(
                f"warning: at this speed {self.config.minutes:g} minutes end at about step {last:,.0f}, before "
                f"training.warmup_steps {self.config.warm_up():,} are over: set fewer, or more training.minutes",
                highlight=False,
                soft_wrap=True,
            )

    def _evaluate(self) -> None:
        start = time.monotonic()
        with self._averaged_weights():
            self._score_weights(start)

    def _averaged_weights(self) -> AbstractContextManager[None]:
        if self.last_weights:
            return self.last_weights.mean(self.training_model, self.progress.step)
        return averaged_weights(self.training_model)

    def _score_weights(self, start: float) -> None:
        progress = self.progress
        trained = {name: total / count for name, (total, count) in progress.totals.items() if count}
        evaluation = self.evaluate()
        evaluation.score = of_first(evaluation.score)  # hosts of different kinds may find different last digits
        self.panels.at_evaluation(progress.step, evaluation.samples)
        progress.seconds += time.monotonic() - start
        progress.evaluation_seconds += time.monotonic() - start
        self.clock = time.monotonic()
        progress.totals = {}  # the next epoch of `fit` counts anew
        self._stand_at_point()
        best = progress.best_score
        better = best is None or math.isnan(best) or evaluation.score > best
        if better:
            with self._writing("the best weights"):
                progress.best_sha256 = self.best_weights.write(self.training_model.model)
            progress.best_score, progress.best_step, progress.evaluations_since_best = (
                evaluation.score,
                progress.step,
                0,
            )
        else:
            progress.evaluations_since_best += 1
        with self._writing("the evaluation"):
            skipped = self.skipped_steps()
            self.record.add(progress, evaluation, trained, better, skipped)
        if self.is_out_of_patience():
            self.console.print(
                f"stopping: no better score in {self.config.patience} evaluations", highlight=False, soft_wrap=True
            )
            self.training_model.stop_training = True
            self.finished = True


def _number(variable: Any) -> float:
    """Returns the value of a scalar variable: the sum over devices, if each has its own."""
    return float(ops.sum(variable))
