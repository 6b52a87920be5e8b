"""The run directory of a recipe: a new one, one to resume, one that another host has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from keras_transformer import training
from keras_transformer.config import load_config, save_config, saved_text, sections_last
from keras_transformer.errors import UserError
from keras_transformer.recipe_kit.config import RecipeConfig
from keras_transformer.recipe_kit.telling import say
from keras_transformer.text import DEFAULT_VOCABULARY_SIZE
from keras_transformer.training.config import BlocksConfig

Config = TypeVar("Config", bound=RecipeConfig)

MAY_CHANGE: tuple[str, ...] = (  # of a run that is resumed
    "run",
    "resume",
    "steps",
    "minutes",
    "patience",
    "evaluate_every",
    "checkpoint_every",
    "step_back",
    "devices",
    "hosts",
    "host",
    "tensorboard",
    "train_only_steps",
)
OF_A_HOST = ("host", "devices", "run", "resume", "data", "train_only", "validation", "test")  # may differ between hosts
OF_THE_STORE = ("piece_dropout", "quantize")  # of `training`: what a run's folder was filled for


def settle_training(
    config: Config,
    model: dict[str, Any],
    longest: int,
    model_class: str = "Seq2SeqTransformer",
    adversarial: float = 0.0,
) -> Config:
    """Returns the config with warm-up and size of the batches as numbers: of batches, what fits the memory.

    A run that is resumed keeps what it had where nothing is given.

    Args:
        config: as the user gave it.
        model: arguments of the model, without its vocabulary size.
        longest: tokens of the longest row that a batch may hold.
        model_class: the model, by its name in `keras_transformer.models`.
        adversarial: as `LabelObjective` has it.

    Raises:
        UserError: the run directory is in the way, or is not there, or is of another task; it is to be shorter than
            its warm-up; not even one row fits.
    """
    options, run, before = config.training, training.RunDirectory(config.run), None
    if config.resume:
        run.check_exists()
        task = saved_text(run.config, "task")
        if task != config.task:
            raise UserError(f"{run.path} is a run of {task}, not {config.task}: give another --run")
        before = load_config(type(config), run.config).training
    if before is not None and options.warmup_steps is None and options.steps < before.warm_up():
        wanted = f"at least the warm-up of {run.path}, which has {before.warm_up()} steps"
        raise UserError(f"training.steps is {options.steps}, expected {wanted}")
    if options.warmup_steps is None:
        options = replace(options, warmup_steps=(before or options).warm_up())
    if options.batch_tokens == "auto":
        if before is None:
            run.check_free()  # before anything is tried
            model = {"vocabulary_size": config.vocabulary_size or DEFAULT_VOCABULARY_SIZE, **model}
            fitting = training.fitting_batch_tokens(
                model, options, longest, say, model_class=model_class, adversarial=adversarial
            )
            options = replace(options, batch_tokens=fitting)
        else:
            options = replace(options, batch_tokens=before.batch_tokens)
    return replace(config, training=options)


def make_run(config: Config, prepare: Callable[[Config, training.RunDirectory], Any]) -> training.RunDirectory:
    """Returns the run's directory with all that a training needs: a new one, or one to resume.

    The first of several hosts makes it, the others wait and find it.

    Args:
        config: settled.
        prepare: fills a new run's directory, see `new_run`.

    Raises:
        UserError: there is a run already, or none to resume, or one of another config, or with more steps, or one that
            another process trains; a host differs from the first; the data cannot be used.
    """

    def make() -> training.RunDirectory:
        run = _open_run(config)
        if config.resume:
            training.check_device(config.training)
            run.hold()  # from here to the end of the training, whose config this is
            save_config(replace(config, resume=False), run.config)  # a new training can begin from it, too
        else:
            prepare(config, run)
            run.hold()
        return run

    return training.first_then_others(make, lambda: _find_run(config))


@contextmanager
def new_run(config: RecipeConfig, run: training.RunDirectory) -> Iterator[training.RunDirectory]:
    """Gives a new run's directory to fill, with its config in it; it takes its place when the block ends well.

    Raises:
        UserError: it cannot be made; the device cannot train as the config says.
    """
    training.check_device(config.training)
    with run.create() as new:
        save_config(config, new.config)
        yield new


@contextmanager
def trial_run(config: Config) -> Iterator[tuple[Config, training.RunDirectory]]:
    """Gives the config and the directory of a run that is gone afterwards: for finding a learning rate."""
    with TemporaryDirectory(prefix="keras-transformer-") as folder:
        options = replace(config.training, curriculum_steps=0, devices=1)
        run = training.RunDirectory(Path(folder) / "run")
        yield replace(config, run=str(run.path), resume=False, training=options), run


def check_patterns(config: RecipeConfig, new_model: Callable[[], Any]) -> None:
    """Raises a `UserError` where a pattern of weights, to freeze or not to decay, matches none of a new model's."""
    options = config.training
    if options.freeze or options.no_weight_decay != training.TrainingConfig().no_weight_decay:
        model = new_model()
        training.freeze(model, options.freeze)
        training.check_undecayed(model, options.no_weight_decay)


def build_model(config: RecipeConfig, run: training.RunDirectory, new_model: Callable[[], Any]) -> Any:
    """Returns a new, untrained model, its weights drawn by the seed, having written down what it is.

    One whose weights are to be rounded is that of the run's directory, where there is one already: a model that was
    trained before, see `keras-transformer quantize-train`.
    """
    model = seeded(config, new_model) if config.training.quantize is None else _made_ready(config, run, new_model)
    if config.training.host == 0:
        run.write_model(model)
    say(f"{model.count_params():,} weights")
    return model


def _made_ready(config: RecipeConfig, run: training.RunDirectory, new_model: Callable[[], Any]) -> Any:
    model = seeded(config, new_model)
    if not run.weights.is_file():
        return model
    from keras_transformer.predictors.loading import load_model

    return load_model(run.path, type(model).__name__).model


def seeded(config: RecipeConfig, new_model: Callable[[], Any]) -> Any:
    """Returns what `new_model` makes, its weights drawn by the seed."""
    import keras

    keras.utils.set_random_seed(config.training.seed)
    return new_model()


def _find_run(config: RecipeConfig) -> training.RunDirectory:
    """Returns the run's directory, which the first of several hosts has made, with the config of this one."""
    run = training.RunDirectory(config.run)
    if not run.config.is_file():
        raise UserError(
            f"host {config.training.host} does not find {run.path}, which host 0 has made; give a --run on a file "
            "system that all hosts share"
        )
    changed = _changed(load_config(type(config), run.config), config, OF_A_HOST)
    if changed:
        raise UserError(
            f"host {config.training.host} differs from host 0, which has {changed}; start all hosts with the same "
            f"config and flags, {' and '.join(OF_A_HOST[:2])} apart"
        )
    return run


def _open_run(config: RecipeConfig) -> training.RunDirectory:
    """Returns the run's directory: one to resume, whose config agrees, or one that does not exist yet."""
    run = training.RunDirectory(config.run)
    if not config.resume:
        run.check_free()
        return run
    run.check_exists()
    saved, may_change = load_config(type(config), run.config), MAY_CHANGE
    if not run.is_begun():  # it may begin with other settings
        may_change += tuple(item.name for item in fields(saved.training) if item.name not in OF_THE_STORE)
    changed = _changed(saved, config, may_change)
    if changed:
        raise UserError(
            f"{run.path} was trained with {changed}; to resume, leave it as it was "
            f"({', '.join(MAY_CHANGE[2:])} may change): --config {run.config} --run {run.path} --resume has it all"
        )
    if (made := run.last_checkpoint() or 0) > config.training.steps:
        raise UserError(
            f"training.steps is {config.training.steps}, but {run.path} stands at step {made} already: give more to "
            "train it further"
        )
    return run


def _changed(before: RecipeConfig, now: RecipeConfig, may_change: Sequence[str]) -> str:
    """Tells the fields that differ, those apart that may."""
    return ", and ".join(
        f"{name} {_told(old)}, not {_told(new)}"
        for name, old, new in _differences(before, now)
        if not set(name.split(".")) & set(may_change)
    )


def _told(value: Any) -> str:
    return "none" if value is None else str(value)


def _differences(saved: Any, now: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields the fields in which two configs differ: dotted name, and both values."""
    for item in sections_last(type(saved)):
        before, after = getattr(saved, item.name), getattr(now, item.name)
        if isinstance(before, BlocksConfig):  # that of an older run lacks the numbers that are new since
            before = before.resolved()
        if is_dataclass(before):
            yield from _differences(before, after, f"{prefix}{item.name}.")
        elif before != after:
            yield f"{prefix}{item.name}", before, after
