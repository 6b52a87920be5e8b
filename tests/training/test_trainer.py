"""Training into a run directory: what is kept, when it stops, and that a resumed training is the same training."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from keras_transformer._locks import locked
from keras_transformer.data import Seq2SeqBatches
from keras_transformer.errors import UserError
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.training import Evaluation, RunDirectory, TrainingConfig, TrainingModel, keeper, train
from keras_transformer.training import progress as progress_module
from keras_transformer.training.checkpoints import checkpoints, load_checkpoint, training_state
from keras_transformer.training.curve import read_curve
from keras_transformer.training.panels_config import TensorBoardConfig
from keras_transformer.training.trainer import Progress

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CONFIG = TrainingConfig(
    steps=55, batch_tokens=64, warmup_steps=10, learning_rate=0.01, evaluate_every=20, checkpoint_every=7, averaging=0.9
)
SIGNALS = [signal.SIGINT, signal.SIGTERM]
HANDLERS = [signal.getsignal(number) for number in SIGNALS]
SAMPLES = [("3 4", "4 3", "4 <b>|\n3")]


class Trained:
    """A training with scripted scores, and what was seen at each evaluation."""

    def __init__(
        self,
        training_model: TrainingModel,
        batches: Any,
        config: TrainingConfig,
        run: RunDirectory,
        scores: tuple[float, ...] = (1.0, 3.0, 2.0),
        on_evaluation: Callable[[], None] = lambda: None,
        prepare: Callable[[TrainingModel], None] = lambda model: None,
    ):
        prepare(training_model)
        self.model, self.run, self.output = training_model, run, io.StringIO()
        self.evaluated: list[list[np.ndarray]] = []

        def evaluate() -> Evaluation:
            on_evaluation()
            self.evaluated.append([weight.copy() for weight in training_model.model.get_weights()])
            score = scores[min(len(self.evaluated), len(scores)) - 1]
            return Evaluation(score, {"bleu": score, "chrf": 2 * score}, SAMPLES)

        console = Console(file=self.output, width=200)
        self.progress: Progress = train(training_model, batches, config, run, evaluate, console)

    def values(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(variable).copy() for name, variable in training_state(self.model)}


@pytest.fixture
def fresh(make_model: Callable[..., TrainingModel], make_batches: Callable[..., Seq2SeqBatches]) -> Callable[..., Any]:
    """Starts or resumes a training with new objects, as a new process would."""

    def start(folder: Path, config: TrainingConfig = CONFIG, batches: Any = None, **options: Any) -> Trained:
        run = RunDirectory(folder)
        run.path.mkdir(parents=True, exist_ok=True)
        return Trained(make_model(config), batches or make_batches(config.batch_tokens), config, run, **options)

    return start


@pytest.fixture(scope="module")
def trained(
    make_model: Callable[..., TrainingModel],
    make_batches: Callable[..., Seq2SeqBatches],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "mine")
    run.path.mkdir(parents=True, exist_ok=True)
    return Trained(make_model(CONFIG), make_batches(64), CONFIG, run)


def real_tokens(batches: Seq2SeqBatches, steps: int) -> int:
    stream = batches.from_step(0)
    return sum(int((next(stream)[1] != 0).sum()) for _ in range(steps))


def test_it_learns_and_ends_where_it_should(trained: Trained, make_batches: Callable[..., Seq2SeqBatches]) -> None:
    progress = trained.progress
    assert (progress.step, progress.best_step, progress.best_score, progress.evaluations_since_best) == (55, 40, 3.0, 1)
    assert progress.tokens == real_tokens(make_batches(64), 55)
    losses = [entry["train_loss"] for entry in trained.run.read_json(trained.run.metrics)["evaluations"]]
    assert losses[-1] < 0.95 * losses[0]


def test_the_metrics(trained: Trained) -> None:
    metrics = json.loads(trained.run.metrics.read_text())
    assert (metrics["best_step"], metrics["best_score"]) == (40, 3.0)
    assert metrics["tokens_per_second"] > 0
    assert 0 < metrics["padding_share"] < 0.9
    assert [(entry["step"], entry["bleu"], entry["chrf"]) for entry in metrics["evaluations"]] == [
        (20, 1, 2),
        (40, 3, 6),
        (55, 2, 4),
    ]
    assert {"train_loss", "train_nll", "train_token_accuracy", "seconds", "target_tokens"} <= set(
        metrics["evaluations"][0]
    )


def test_the_best_weights_are_kept_as_they_were_evaluated(trained: Trained) -> None:
    config = {**trained.model.model.get_config(), "name": "again"}
    model = Seq2SeqTransformer.from_config(config)
    model.load_weights(trained.run.weights)
    for found, best in zip(model.get_weights(), trained.evaluated[1], strict=True):
        np.testing.assert_array_equal(found, best)
    assert not (trained.run.path / "next.weights.h5").exists()


def test_evaluation_sees_the_averages_and_training_goes_on_with_its_own(trained: Trained) -> None:
    values = trained.values()
    last = dict(zip([w.path for w in trained.model.model.weights], trained.evaluated[-1], strict=True))
    name = "token_embedding/embeddings"
    (average,) = [value for key, value in values.items() if key.endswith("token_embedding_embeddings_average")]
    np.testing.assert_array_equal(last[name], average)
    (own,) = [value for key, value in values.items() if key.endswith(f"/{name}")]
    assert np.abs(own - average).max() > 1e-4


def test_samples_and_checkpoints(trained: Trained) -> None:
    assert trained.run.samples.read_text() == "step 55\n\nsource     3 4\nreference  4 3\nmodel      4 <b>|\n3\n\n"
    assert [path.name for path in checkpoints(trained.run.checkpoints)] == ["step-00000049.npz", "step-00000055.npz"]


def test_what_is_shown(trained: Trained) -> None:
    shown = trained.output.getvalue()
    assert "step 40" in shown
    assert "tokens/s  bleu 3  chrf 6  (best)" in shown


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
def test_tensorboard(trained: Trained) -> None:
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

    events = EventAccumulator(str(trained.run.logs), size_guidance={TENSORS: 0}).Reload()
    curves = {
        tag: {event.step: tf.make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
    }
    for name in ("loss", "nll", "token_accuracy", "learning_rate", "gradient_norm", "tokens_per_second"):
        points = curves[f"train/{name}"]
        assert set(points) == {25, 50}, name
        assert all(np.isfinite(value) and value > 0 for value in points.values()), name
    assert curves["train/learning_rate"][50] == pytest.approx(0.01 * (10 / 51) ** 0.5, rel=1e-3)
    assert {step: float(value) for step, value in curves["validation/bleu"].items()} == {20: 1, 40: 3, 55: 2}
    samples = curves["validation/samples"]
    assert set(samples) == {20, 40, 55}
    (table,) = samples[55].ravel()
    assert table.decode() == "| source | reference | model |\n|---|---|---|\n| 3 4 | 4 3 | 4 \\<b\\>\\| 3 |"


def test_a_finished_training_is_left_alone(trained: Trained, fresh: Callable[..., Trained]) -> None:
    again = fresh(trained.run.path)
    assert again.progress == trained.progress
    assert again.evaluated == []
    for name, value in again.values().items():
        np.testing.assert_array_equal(value, trained.values()[name], err_msg=name)


class Interrupting:
    """Batches during which somebody presses Ctrl-C, once."""

    def __init__(self, batches: Seq2SeqBatches, after: int, number: signal.Signals):
        self.batches, self.after, self.number = batches, after, number
        self.padding_share = batches.padding_share

    def from_step(self, step: int) -> Iterator[Any]:
        for count, batch in enumerate(self.batches.from_step(step), step):
            if count == self.after:
                os.kill(os.getpid(), self.number)
            yield batch


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_and_taken_up_again_it_is_the_same_training(
    trained: Trained,
    fresh: Callable[..., Trained],
    make_batches: Callable[..., Seq2SeqBatches],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fresh(tmp_path, batches=Interrupting(make_batches(64), 24, number), scores=(1.0,))
    (*_, last) = checkpoints(RunDirectory(tmp_path).checkpoints)
    assert 20 <= int(last.stem.partition("-")[2]) < 40
    resumed = fresh(tmp_path, scores=(3.0, 2.0))
    expected = trained.values()
    for name, value in resumed.values().items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    for weights, same in zip(resumed.evaluated, trained.evaluated[1:], strict=True):
        for weight, other in zip(weights, same, strict=True):
            np.testing.assert_array_equal(weight, other)
    progress = resumed.progress
    assert (progress.step, progress.best_step, progress.tokens) == (55, 40, trained.progress.tokens)
    steps = [entry["step"] for entry in resumed.run.read_json(resumed.run.metrics)["evaluations"]]
    assert steps == [20, 40, 55]
    assert "taking up" in resumed.output.getvalue()


class Killed(BaseException):
    """Stands for a kill: nothing is saved on the way out."""


def test_killed_and_taken_up_from_the_last_checkpoint(
    trained: Trained, fresh: Callable[..., Trained], tmp_path: Path
) -> None:
    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        fresh(tmp_path, on_evaluation=kill)
    assert [path.name for path in checkpoints(RunDirectory(tmp_path).checkpoints)] == [
        "step-00000007.npz",
        "step-00000014.npz",
    ]
    resumed = fresh(tmp_path)
    for name, value in resumed.values().items():
        np.testing.assert_array_equal(value, trained.values()[name], err_msg=name)
    assert resumed.progress.tokens == trained.progress.tokens


def test_three_and_three_steps_are_six(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    config = replace(CONFIG, steps=6, evaluate_every=3, warmup_steps=2)
    straight = fresh(tmp_path / "straight", config)
    fresh(tmp_path / "halves", replace(config, steps=3))
    halves = fresh(tmp_path / "halves", config)
    assert halves.progress.step == 6
    for name, value in halves.values().items():
        np.testing.assert_array_equal(value, straight.values()[name], err_msg=name)


def test_gradients_of_several_batches(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    """Six updates of two batches each, interrupted after three or not."""
    config = replace(CONFIG, accumulate=2, steps=6, warmup_steps=2, evaluate_every=3, checkpoint_every=3)
    whole = fresh(tmp_path / "whole", config)
    assert whole.progress.step == 6
    assert int(whole.model.optimizer.iterations) == 6
    fresh(tmp_path / "half", replace(config, steps=3))
    again = fresh(tmp_path / "half", config)
    for name, value in again.values().items():
        np.testing.assert_array_equal(value, whole.values()[name], err_msg=name)
    single = fresh(tmp_path / "single", replace(config, accumulate=1))
    assert 1.5 * single.progress.tokens < whole.progress.tokens < 2.5 * single.progress.tokens


def test_gradients_of_a_panel_are_of_the_batches_of_the_step(
    trained: Trained, make_batches: Callable[..., Seq2SeqBatches], tmp_path: Path
) -> None:
    batches, config, progress = make_batches(), replace(CONFIG, accumulate=2), Progress()
    kept = keeper.RunKeeper(
        trained.model, config, RunDirectory(tmp_path), lambda: Evaluation(0, {}), progress, Console(), batches
    )
    kept.close()
    for found, expected in zip(kept.panels.batches(3), batches.from_step(6), strict=False):
        np.testing.assert_array_equal(found[1], expected[1])
        break
    assert not np.array_equal(found[1], next(batches.from_step(3))[1])


def test_files_of_a_run_that_are_not_its_own(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    run = fresh(tmp_path, replace(CONFIG, steps=10)).run
    run.metrics.write_text("{}")
    with pytest.raises(UserError, match=rf"^{run.metrics} is damaged: expected evaluations, each with its step and s"):
        fresh(tmp_path)
    run.metrics.unlink()
    (saved,) = checkpoints(run.checkpoints)[-1:]
    with np.load(saved) as arrays:
        other = dict(arrays)
    other["state.json"] = np.array(json.dumps({**json.loads(str(other["state.json"])), "epoch": 3}))
    np.savez(saved, **other)
    message = rf"^{saved}: its state is of another version \(.*'epoch'\), expected step, seconds, "
    with pytest.raises(UserError, match=message):
        fresh(tmp_path)


def test_a_score_that_is_no_number_is_null(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    run = fresh(tmp_path, replace(CONFIG, steps=10), scores=(float("nan"),)).run
    text = run.metrics.read_text()
    assert "NaN" not in text
    metrics = json.loads(text)
    assert (metrics["best_score"], metrics["evaluations"][0]["bleu"]) == (None, None)


def test_one_process_trains_a_run(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    message = r"is being trained by another process: wait for its end, or end it"
    with locked(RunDirectory(tmp_path).lock), pytest.raises(UserError, match=message):
        fresh(tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert fresh(tmp_path, replace(CONFIG, steps=10)).progress.step == 10
    with locked(RunDirectory(tmp_path).lock, wait=False):
        pass  # it is let go of


def test_patience(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    config = replace(CONFIG, evaluate_every=2, patience=2)
    stopped = fresh(tmp_path, config, scores=(1.0, 3.0, 2.0, 3.0, 9.0))
    assert (stopped.progress.step, stopped.progress.best_step) == (8, 4)  # equal is not better
    assert "stopping: no better score in 2 evaluations" in stopped.output.getvalue()


def test_the_limit_of_time(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    stopped = fresh(tmp_path, replace(CONFIG, minutes=1e-9))
    assert stopped.progress.step == 1
    assert len(stopped.evaluated) == 1  # it is scored and kept all the same
    assert stopped.run.weights.exists()
    assert load_checkpoint(checkpoints(stopped.run.checkpoints)[-1], stopped.model)["step"] == 1


def test_float16_has_norm_averages_and_resumes(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    config = replace(CONFIG, steps=4, evaluate_every=2, warmup_steps=2, dtype_policy="mixed_float16")
    straight = fresh(tmp_path / "straight", config)
    fresh(tmp_path / "halves", replace(config, steps=2))
    halves = fresh(tmp_path / "halves", config)
    for name, value in halves.values().items():
        np.testing.assert_array_equal(value, straight.values()[name], err_msg=name)
    values = straight.values()
    (average,) = [value for key, value in values.items() if key.endswith("token_embedding_embeddings_average")]
    paths = [weight.path for weight in straight.model.model.weights]
    np.testing.assert_array_equal(straight.evaluated[-1][paths.index("token_embedding/embeddings")], average)


def test_a_full_disk(fresh: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = keeper.save_checkpoint

    def full(folder: Path, model: Any, step: int, state: dict[str, Any]) -> Path:
        if step > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(folder, model, step, state)

    monkeypatch.setattr(keeper, "save_checkpoint", full)
    message = (
        r"the checkpoint of step 4 cannot be written: No space left on device; "
        r"what was saved before is intact, make room and take the training up with --resume"
    )
    with pytest.raises(UserError, match=message):
        fresh(tmp_path, replace(CONFIG, checkpoint_every=2))
    assert [path.name for path in checkpoints(RunDirectory(tmp_path).checkpoints)] == ["step-00000002.npz"]


def test_a_disk_that_fills_while_the_best_weights_are_written(
    fresh: Callable[..., Trained], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = replace(CONFIG, tensorboard=TensorBoardConfig(histograms=False))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:  # from here on no file grows beyond this
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    message = r"the best weights of step 20 cannot be written: File too large; what was saved before is intact, make r"
    try:
        with pytest.raises(UserError, match=message):
            fresh(tmp_path, config, on_evaluation=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    run = RunDirectory(tmp_path)
    assert [path.name for path in checkpoints(run.checkpoints)] == ["step-00000007.npz", "step-00000014.npz"]
    assert not run.weights.exists()
    assert not run.next_weights.exists()
    assert "Traceback" not in capfd.readouterr().err


def poison(monkeypatch: pytest.MonkeyPatch, after: int, times: int) -> None:
    """Has a weight become something that is no number after a step, the first so many times that it is made."""
    left = [times]
    on_train_batch_end = keeper.RunKeeper.on_train_batch_end

    def poisoned(self: keeper.RunKeeper, batch: int, logs: Any = None) -> None:
        on_train_batch_end(self, batch, logs)
        if self.progress.step == after and left[0]:
            left[0] -= 1
            weight = self.training_model.trainable_variables[0]
            weight.assign(np.full(weight.shape, np.nan))

    monkeypatch.setattr(keeper.RunKeeper, "on_train_batch_end", poisoned)


def weights_are_finite(model: TrainingModel) -> bool:
    return all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (22, "between steps 21 and 25: the loss is nan; step-00000021.npz"),
        (20, "at step 20: 0000/token_embedding/embeddings has values that are not finite; step-00000014.npz"),
    ],
    ids=["in the loss", "in a weight"],
)
def test_a_training_that_diverges_ends_with_advice(
    fresh: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, found: str
) -> None:
    poison(monkeypatch, after, times=1)
    with pytest.raises(UserError) as caught:
        fresh(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: training diverged {found} is intact: go on with --resume --training.step_back 3, which lowers "
        "the rate, or begin another run with a lower training.learning_rate (now 0.01), a longer training.warmup_steps "
        "(now 10)"
    )


def test_a_training_that_diverges_steps_back(
    fresh: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, steps=30, step_back=2)
    with monkeypatch.context() as patch:
        poison(patch, after=3, times=2)
        shown = fresh(tmp_path / "mended", config)
    assert (shown.progress.step, shown.progress.steps_back) == (30, 2)
    assert weights_are_finite(shown.model)
    assert [entry["step"] for entry in shown.run.read_json(shown.run.metrics)["evaluations"]] == [20, 30]
    told = "training diverged between steps 0 and 7: the loss is nan; back to step 0 with a learning rate of"
    assert f"{told} 0.005 at its highest (1 of 2 times)" in shown.output.getvalue()
    assert f"{told} 0.0025 at its highest (2 of 2 times)" in shown.output.getvalue()
    lowered = 0.0025 * (10 / 31) ** 0.5  # of the 31st update
    assert float(shown.model.optimizer.learning_rate) == pytest.approx(lowered, rel=1e-5)
    resumed = fresh(tmp_path / "mended", config)  # a new process knows the lower rate
    assert float(resumed.model.optimizer.learning_rate) == pytest.approx(lowered, rel=1e-5)

    poison(monkeypatch, after=3, times=2)
    with pytest.raises(UserError, match=r"the loss is nan, after it went back 1 of 1 times; step-00000000.npz is i"):
        fresh(tmp_path / "lost", replace(config, step_back=1))


def test_a_training_that_diverges_again_at_once_steps_further_back(
    fresh: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice between the checkpoint of step 14 and the next look, so that of step 7 is tried, and that of 14 is gone."""
    poison(monkeypatch, after=16, times=2)
    shown = fresh(tmp_path, replace(CONFIG, steps=30, step_back=2))
    assert (shown.progress.step, shown.progress.steps_back) == (30, 2)
    assert "back to step 14 with a learning rate of 0.005 at its highest (1 of 2 times)" in shown.output.getvalue()
    assert "back to step 7 with a learning rate of 0.0025 at its highest (2 of 2 times)" in shown.output.getvalue()
    assert weights_are_finite(shown.model)

    poison(monkeypatch, after=16, times=2)
    with pytest.raises(UserError, match=r"after it went back 1 of 1 times; step-00000007.npz is intact"):
        fresh(tmp_path / "lost", replace(CONFIG, steps=30, step_back=1))


def test_a_training_that_explodes_at_once_ends(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    config = replace(CONFIG, learning_rate=3000.0, warmup_steps=1, clip_norm=None, schedule="constant", averaging=None)
    message = r"training diverged between steps 0 and 7: the loss is .*, where guessing has 2\.48; there is "
    message += (
        r"no checkpoint yet: begin again with --resume and a lower training\.learning_rate \(now 3000\), a longer "
    )
    with pytest.raises(UserError, match=message):
        fresh(tmp_path, config)


def test_float16_recovers_from_overflow_and_counts_what_it_skipped(
    fresh: Callable[..., Trained], tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=30, evaluate_every=6, dtype_policy="mixed_float16")

    def overflow(model: TrainingModel) -> None:
        model.optimizer.dynamic_scale.assign(2.0**30)

    trained = fresh(tmp_path, config, prepare=overflow)
    initial = fresh(tmp_path / "nothing", replace(config, steps=10, minutes=1e-9), prepare=overflow)
    for weight, other in zip(trained.evaluated[0], initial.evaluated[0], strict=True):
        np.testing.assert_array_equal(weight, other)  # neither weights nor averages moved in six skipped steps
    evaluations = trained.run.read_json(trained.run.metrics)["evaluations"]
    skipped = [entry["skipped_steps"] for entry in evaluations]
    assert skipped[0] == 6
    assert 6 < skipped[-1] == skipped[-2] < 20
    assert int(trained.model.optimizer.iterations) == 30 - skipped[-1]  # the schedule stood still as well
    assert evaluations[-1]["train_loss"] < evaluations[0]["train_loss"]
    assert f"(best)  {skipped[1]} steps skipped" in trained.output.getvalue()
    assert read_curve(trained.run.curve)[0]["train/skipped_steps"] == skipped[-1]


def test_the_last_checkpoints_are_averaged(fresh: Callable[..., Trained], tmp_path: Path) -> None:
    config = replace(CONFIG, steps=22, evaluate_every=20, checkpoint_every=5, averaging=None, average_last=3)
    trained = fresh(tmp_path, config)
    folder = trained.run.checkpoints
    kept = {path.name for path in folder.iterdir()}
    assert kept == {
        *("weights-00000005.npz", "weights-00000010.npz", "weights-00000015.npz", "weights-00000020.npz"),
        *("step-00000020.npz", "step-00000022.npz"),
    }
    saved = [dict(np.load(folder / f"weights-{step:08d}.npz")) for step in (10, 15, 20)]
    names = [variable.path for variable in trained.model.model.weights]
    found = dict(zip(names, trained.evaluated[0], strict=True))
    for name in saved[0]:
        mean = np.mean([arrays[name].astype("float64") for arrays in saved], axis=0).astype("float32")
        np.testing.assert_array_equal(found[name.partition("/")[2]], mean, err_msg=name)


def test_a_warm_up_that_the_minutes_do_not_reach_is_told(
    trained: Trained, make_batches: Callable[..., Seq2SeqBatches], tmp_path: Path
) -> None:
    config = replace(CONFIG, minutes=1, steps=1000, warmup_steps=100)
    run = RunDirectory(tmp_path)
    progress = Progress(step=50, seconds=30, point=keeper.Point(step=25, seconds=10))
    output = io.StringIO()
    console = Console(file=output, width=200)
    kept = keeper.RunKeeper(trained.model, config, run, lambda: Evaluation(0, {}), progress, console, make_batches())
    kept.started = 0  # so that the stretch from step 25 on does not hold the start of the process
    for _ in range(2):
        kept._tell_endless_warm_up()
    assert output.getvalue() == (
        "warning: at this speed 1 minutes end at about step 88, before training.warmup_steps 100 are over: set fewer, "
        "or more training.minutes\n"
    )


def test_the_terminal_is_let_go_of_after_an_error(
    fresh: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(progress_module.Bar, "stop", lambda self: stopped.append(True))

    def fail() -> None:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        fresh(tmp_path, replace(CONFIG, steps=1, warmup_steps=1), on_evaluation=fail)
    assert stopped


def test_signals_are_as_before(trained: Trained) -> None:
    assert [signal.getsignal(number) for number in SIGNALS] == HANDLERS
