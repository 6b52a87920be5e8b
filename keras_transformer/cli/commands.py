"""What each command does: from its parsed options to the exit status. The one place that knows recipes and export both.

What a command needs is imported when it runs: `--help`, a mistyped name or a wrong value never wait for TensorFlow.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import shlex
from collections.abc import Iterable
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from keras_transformer._memory import keep_memory
from keras_transformer._quiet import filtered_stderr
from keras_transformer._threads import use_one_thread_an_operation
from keras_transformer.cli.discovery import (
    check_exists,
    check_recipe,
    config_names,
    find_config,
    holds_artifact,
    is_artifact,
    listed,
    task_of,
)
from keras_transformer.cli.parser import Parser
from keras_transformer.cli.search_flags import align_of, named_as_given, search_of
from keras_transformer.cli.terminal import PROGRAM, print_result, say, standard_input, warn, write_lines
from keras_transformer.cli.tune_lr import add_sweep_flags, tune
from keras_transformer.errors import UserError, close_matches
from keras_transformer.export.gate import raise_refusals
from keras_transformer.export.precisions import DEFAULT as DEFAULT_PRECISIONS
from keras_transformer.training.run_directory import RunDirectory

BACKENDS = ("tensorflow", "jax")


def check_backend() -> None:
    """Raises a `UserError` if the environment asks Keras for a backend that is unknown here or not installed.

    Before Keras is imported, which would tell it in the middle of something else.
    """
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if backend not in BACKENDS:
        matches = close_matches(backend, BACKENDS)
        raise UserError(f"KERAS_BACKEND is {backend!r}, expected one of {', '.join(BACKENDS)}.{matches}")
    if backend == "jax" and find_spec("jax") is None:
        raise UserError("KERAS_BACKEND is 'jax', which is not installed: pip install '.[jax]', Python 3.11 or later")


def _prepare_machine() -> None:
    """What a command that trains or searches long does before TensorFlow is there."""
    check_backend()
    use_one_thread_an_operation()
    keep_memory()


def train(arguments: argparse.Namespace) -> int:
    _prepare_machine()
    given = _configured(arguments, _recipe_parser("train", arguments.recipe))
    if given is not None:
        recipe, config, _ = given
        result = recipe.main(config)
        print_result(result)
        if result is not None and os.isatty(2):
            run = shlex.quote(config.run)
            say(f"next: `{PROGRAM} predict {run}` to try it, `{PROGRAM} export {run} --output DIR` to ship it")
    return 0


def tune_lr(arguments: argparse.Namespace) -> int:
    _prepare_machine()
    parser = _recipe_parser("tune-lr", arguments.recipe)
    add_sweep_flags(parser)
    given = _configured(arguments, parser)
    if given is not None:
        tune(*given)
    return 0


def _recipe_parser(command: str, task: str) -> Parser:
    """Returns a parser of the options that a command has besides the fields of a recipe."""
    check_recipe(task)
    return Parser(prog=f"{PROGRAM} {command} {task}", add_help=False, usage=argparse.SUPPRESS)


def _configured(arguments: argparse.Namespace, parser: Parser) -> tuple[Any, Any, argparse.Namespace] | None:
    """Returns the recipe, its config, and what `parser` knows of the rest; None where help was asked for and given."""
    task = arguments.recipe
    parser.add_argument("--config", help=argparse.SUPPRESS)
    parser.add_argument("-h", "--help", action="store_true", help=argparse.SUPPRESS)
    options, overrides = parser.parse_known_args(arguments.fields)
    recipe = importlib.import_module(f"keras_transformer.recipes.{task}")
    if options.help:
        print(_train_help(task, recipe.Config, parser))
        return None
    from keras_transformer.config import parse_config

    path = None if options.config is None else find_config(task, options.config)
    return recipe, parse_config(recipe.Config, path, overrides), options


def evaluate(arguments: argparse.Namespace) -> int:
    from keras_transformer.cli.predict import refuse_search

    check_exists(arguments.run)
    if arguments.columns is not None and arguments.data is None:
        raise UserError("--columns is for --data FILE: leave it out, the run's own test split needs none")
    if holds_artifact(arguments.run):
        print_result(_evaluate_file(arguments))
        return 0
    if arguments.precision is not None:
        raise UserError(f"--precision: {arguments.run} is a run directory; only an artifact folder has several")
    _prepare_machine()
    recipe = importlib.import_module(f"keras_transformer.recipes.{task_of(arguments.run)}")
    names = ("data", "columns", "limit", "batch_tokens")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    searching = _search_option(arguments)
    if "search" in inspect.signature(recipe.evaluate).parameters:
        options.update(searching)
    else:
        refuse_search(searching.get("search"))
    with named_as_given():
        result = recipe.evaluate(arguments.run, **options)
    print_result(result)
    return 0


def _evaluate_file(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the scores of an exported file."""
    from keras_transformer.cli.predict import refuse_search

    refuse_search(search_of(arguments), ": a file searches as it was exported; export the run with this option")
    if arguments.batch_tokens is not None:
        raise UserError("--batch-tokens: an exported file takes one text at a time; leave it out")
    if arguments.data is None:
        raise UserError(f"{arguments.run} has no test data in it: give --data FILE")
    with filtered_stderr():  # LiteRT greets on standard error at its first run
        exporting = importlib.import_module("keras_transformer.export")
        exporting.open_artifact(arguments.run, arguments.precision).run(b"")
    options = {name: getattr(arguments, name) for name in ("precision", "limit", "columns")}
    return dict(exporting.evaluate_artifact(arguments.run, arguments.data, **options))


def predict(arguments: argparse.Namespace) -> int:
    from keras_transformer.cli.lines import Answers, read_groups
    from keras_transformer.cli.predict import (
        check_explain,
        explained_lines,
        lines_of_file,
        lines_of_run,
        write_explanations,
    )

    is_file = is_artifact(arguments.path)
    search, align = search_of(arguments, None if is_file else arguments.path), align_of(arguments)
    explanations: list[Any] | None = [] if arguments.html else None
    check_explain(arguments)
    if align is not None and not arguments.json:
        raise UserError("--align is printed as JSON: give --json too")
    if is_file:  # needs neither Keras nor TensorFlow
        with filtered_stderr():  # LiteRT greets on standard error at its first run
            open_artifact = importlib.import_module("keras_transformer.export").open_artifact
            model = open_artifact(arguments.path, arguments.precision)
            model.run(b"")
        lines = lines_of_file(model, search, arguments.json, align)
    else:
        if arguments.precision is not None:
            raise UserError(f"--precision: {arguments.path} is a run directory; only an artifact folder has several")
        check_backend()
        RunDirectory(arguments.path).check_trained()  # before Keras is imported
        model = importlib.import_module("keras_transformer").load(arguments.path)
        lines = lines_of_run(model, search, arguments.cut, arguments.json, align)
        if arguments.explain is not None:
            lines = explained_lines(model, arguments.explain, arguments.json, explanations)
    groups: Iterable[list[bytes]] = [[os.fsencode(text) for text in arguments.text]]
    if not arguments.text:
        groups = read_groups(standard_input())
    unit, unanswered = "text" if arguments.text else "line", "null" if arguments.json else ""
    answers = Answers(lines, warn, unit, skip_empty=not arguments.json, unanswered=unanswered)
    for group in answers.to(groups):
        write_lines(group)
    if explanations is not None:
        write_explanations(arguments.html, explanations)
    return 0


def _search_option(arguments: argparse.Namespace) -> dict[str, Any]:
    search = search_of(arguments, arguments.run)
    return {} if search is None else {"search": search}


OF_FILES = {
    "precision": "--precision",
    "max_loss": "--max-loss",
    "force_precision": "--force-precision",
    "max_source_bytes": "--max-source-bytes",
    "max_target_bytes": "--max-target-bytes",
    "cut": "--cut",
    "one_size": "--one-size",
    "with_steps": "--no-steps",
    "align": "--align",
    "align_layer": "--align-layer",
    "align_heads": "--align-heads",
    "web": "--no-web",
}


OF_ALL_TASKS = ("precision", "max_loss", "force_precision", "web")


def export(arguments: argparse.Namespace) -> int:
    task = task_of(arguments.run)
    align_of(arguments)  # raises if they contradict each other
    RunDirectory(arguments.run).check_trained()  # before TensorFlow is imported
    exporting = importlib.import_module("keras_transformer.export")
    given = {name: value for name in OF_FILES if (value := getattr(arguments, name)) is not None}
    search = _search_option(arguments)
    if arguments.format == "ctranslate2":
        for name in given:
            raise UserError(f"{OF_FILES[name]} is for .tflite files: leave it out of a CTranslate2 export")
        if search:
            raise UserError("CTranslate2 is told how to search when it runs: leave search options out of its export")
        exporting.export_ctranslate2(arguments.run, arguments.output, force=arguments.force)
        return 0
    _check_options(task, given, search.get("search"))
    precisions = given.pop("precision", list(DEFAULT_PRECISIONS))
    with named_as_given():
        report = exporting.export_run(
            arguments.run, arguments.output, precisions, force=arguments.force, **given, **search
        )
    raise_refusals(report, arguments.run, arguments.output)
    return 0


def _check_options(task: str, given: Iterable[str], search: Any) -> None:
    """Raises a `UserError` that names an option which an export of this task does not have."""
    from keras_transformer.cli.predict import refuse_search
    from keras_transformer.export.tasks import find_task

    own = {field.name for field in fields(find_task(task).Options)}
    if "search" not in own:
        refuse_search(search)
    for name in given:
        if name not in {*own, *OF_ALL_TASKS}:
            raise UserError(f"{OF_FILES[name]} is no option of an export for {task}: leave it out")


def quantize_train(arguments: argparse.Namespace) -> int:
    recipe = task_of(arguments.run)
    RunDirectory(arguments.run).check_trained()  # before TensorFlow is imported
    RunDirectory(arguments.output).check_free("give another --output")
    _prepare_machine()
    exporting = importlib.import_module("keras_transformer.export")
    given = {name: value for name in ("steps", "learning_rate") if (value := getattr(arguments, name)) is not None}
    module = importlib.import_module(f"keras_transformer.recipes.{recipe}")
    result = exporting.quantize_train(module, arguments.run, arguments.output, arguments.precision, **given)
    print_result(result)
    return 0


def benchmark(arguments: argparse.Namespace) -> int:
    asked = {"profile": arguments.profile, "operators": arguments.operators, "size": arguments.bytes}
    found = importlib.import_module("keras_transformer.export").benchmark(arguments.folder, **asked)
    if arguments.json:
        print_result(found)
    else:
        from keras_transformer.export.benchmark_text import benchmark_text

        print(benchmark_text(found), end="")
    return 0


def web(arguments: argparse.Namespace) -> int:
    from keras_transformer.export.litertjs import PACKAGES, find_package
    from keras_transformer.export.web_page import add_page

    if arguments.folder is not None:
        add_page(arguments.folder)
        print(f"{arguments.folder}/web is ready; `{PROGRAM} serve {arguments.folder}` shows it")
        return 0
    for package in PACKAGES:
        print(find_package(package))
    return 0


def serve(arguments: argparse.Namespace) -> int:
    from keras_transformer.export import serving

    check_exists(arguments.folder)
    serving.serve(arguments.folder, arguments.host, arguments.port)
    return 0


def runs(arguments: argparse.Namespace) -> int:
    from keras_transformer.cli.runs import print_runs

    print_runs(arguments.folder, arguments.json)
    return 0


def report(arguments: argparse.Namespace) -> int:
    from keras_transformer.cli.report import write_report

    print(write_report(arguments.run, arguments.output, arguments.format))
    return 0


def _train_help(task: str, config: type, parser: Parser) -> str:
    from keras_transformer.config import describe

    summary = (config.__doc__ or "").strip().partition("\n")[0]
    configs = f"--config NAME takes a file of your own (a path that ends in .yaml), or: {listed(config_names(task))}"
    usage = f"usage: {parser.prog} [--config NAME] [--field VALUE ...]"
    own = parser.format_help().strip()  # the options of the command itself, if it has any
    return "\n\n".join([usage, summary, configs, *([own] if own else []), describe(config)])
