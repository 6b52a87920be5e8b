"""The command line: `keras-transformer train | evaluate | predict | export | serve | ...`; `--help` has them all.

The one place that knows recipes and export both. What a command needs is imported when it runs: `--help`, a mistyped
name or a wrong value never wait for TensorFlow. Whatever the user can mend is one line on standard error and exit
status 2; `KERAS_TRANSFORMER_TRACEBACK=1` shows where it came from.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, cast

from keras_transformer import __version__
from keras_transformer._discovery import (
    check_exists,
    check_recipe,
    config_names,
    find_config,
    holds_artifact,
    is_artifact,
    listed,
    recipe_names,
    task_of,
)
from keras_transformer._memory import keep_memory
from keras_transformer._quiet import filtered_stderr, quiet_tensorflow
from keras_transformer._search_flags import add_align_flags, add_search_flags, align_of, named_as_given, search_of
from keras_transformer._start import start_quickly
from keras_transformer._threads import use_one_thread_an_operation
from keras_transformer._tune_lr import add_sweep_flags, tune
from keras_transformer.errors import UserError, close_matches
from keras_transformer.export.address import HOST, PORT
from keras_transformer.export.gate import raise_refusals
from keras_transformer.export.precisions import DEFAULT as DEFAULT_PRECISIONS
from keras_transformer.export.precisions import PRECISIONS, TRAINED
from keras_transformer.training.run_directory import RunDirectory

PROGRAM = "keras-transformer"
EXPLANATIONS = ("gradient", "attention")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0 done, 2 something the user can mend, 130 interrupted, 141 nobody reads the output any more, 1 a mistake of ours.
    """
    start_quickly()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", category=UserWarning, module=r"keras_transformer\.")
            warnings.showwarning = _show_warning
            status = _run(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()  # here, where a full disk is reported like any other
            return status
    except BrokenPipeError:
        _drop_output()
        return 141
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("KERAS_TRANSFORMER_TRACEBACK") == "1":
            raise
        return _report(error)


def _report(error: BaseException) -> int:
    """Prints the lines for an error and returns the exit status."""
    if isinstance(error, KeyboardInterrupt):
        _say("interrupted")
        return 130
    if isinstance(error, UserError):
        for line in str(error).splitlines():
            _say(f"error: {line}")
        return 2
    if isinstance(error, OSError):
        _drop_output()
        _say(f"error: {error.filename or 'reading or writing'}: {error.strerror or error}")
        return 2
    first_line = str(error).partition("\n")[0]
    _say(f"internal error: {type(error).__name__}: {first_line} (KERAS_TRANSFORMER_TRACEBACK=1 shows where)")
    return 1


def _drop_output() -> None:
    """Lets go of output that cannot be written, or Python would complain once more when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def _warn(text: str) -> None:
    _say(f"warning: {text}")


def _show_warning(message: Warning | str, *place: object, **more: object) -> None:
    _warn(str(message))


# What each command does


def _prepare_machine() -> None:
    """What a command that trains or searches long does before TensorFlow is there."""
    use_one_thread_an_operation()
    keep_memory()


def train(arguments: argparse.Namespace) -> int:
    _prepare_machine()
    given = _configured(arguments, _recipe_parser("train", arguments.recipe))
    if given is not None:
        recipe, config, _ = given
        _print_result(recipe.main(config))
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
    from keras_transformer._predict import refuse_search

    check_exists(arguments.run)
    if holds_artifact(arguments.run):
        _print_result(_evaluate_file(arguments))
        return 0
    if arguments.precision is not None:
        raise UserError(f"--precision: {arguments.run} is a run directory; only an artifact folder has several")
    _prepare_machine()
    recipe = importlib.import_module(f"keras_transformer.recipes.{task_of(arguments.run)}")
    names = ("data", "limit", "batch_tokens")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    searching = _search_option(arguments)
    if "search" in inspect.signature(recipe.evaluate).parameters:
        options.update(searching)
    else:
        refuse_search(searching.get("search"))
    with named_as_given():
        result = recipe.evaluate(arguments.run, **options)
    _print_result(result)
    return 0


def _evaluate_file(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the scores of an exported file."""
    from keras_transformer._predict import refuse_search

    refuse_search(search_of(arguments), ": a file searches as it was exported; export the run with this option")
    if arguments.batch_tokens is not None:
        raise UserError("--batch-tokens: an exported file takes one text at a time; leave it out")
    if arguments.data is None:
        raise UserError(f"{arguments.run} has no test data in it: give --data FILE")
    with filtered_stderr():  # LiteRT greets on standard error at its first run
        exporting = importlib.import_module("keras_transformer.export")
        exporting.open_artifact(arguments.run, arguments.precision).run(b"")
    found = exporting.evaluate_artifact(arguments.run, arguments.data, arguments.precision, arguments.limit)
    return dict(found)


def predict(arguments: argparse.Namespace) -> int:
    from keras_transformer._lines import Answers, read_groups
    from keras_transformer._predict import (
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
        RunDirectory(arguments.path).check_trained()  # before Keras is imported
        model = importlib.import_module("keras_transformer").load(arguments.path)
        lines = lines_of_run(model, search, arguments.cut, arguments.json, align)
        if arguments.explain is not None:
            lines = explained_lines(model, arguments.explain, arguments.json, explanations)
    groups: Iterable[list[bytes]] = [[os.fsencode(text) for text in arguments.text]]
    if not arguments.text:
        groups = read_groups(_standard_input())
    answers = Answers(lines, _warn, "text" if arguments.text else "line")
    for group in answers.to(groups):
        _write_lines(group)
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


def export(arguments: argparse.Namespace) -> int:
    task_of(arguments.run)
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
    precisions = given.pop("precision", list(DEFAULT_PRECISIONS))
    with named_as_given():
        report = exporting.export_run(
            arguments.run, arguments.output, precisions, force=arguments.force, **given, **search
        )
    raise_refusals(report, arguments.run, arguments.output)
    return 0


def quantize_train(arguments: argparse.Namespace) -> int:
    recipe = task_of(arguments.run)
    RunDirectory(arguments.run).check_trained()  # before TensorFlow is imported
    RunDirectory(arguments.output).check_free()
    _prepare_machine()
    exporting = importlib.import_module("keras_transformer.export")
    given = {name: value for name in ("steps", "learning_rate") if (value := getattr(arguments, name)) is not None}
    module = importlib.import_module(f"keras_transformer.recipes.{recipe}")
    result = exporting.quantize_train(module, arguments.run, arguments.output, arguments.precision, **given)
    _print_result(result)
    return 0


def benchmark(arguments: argparse.Namespace) -> int:
    asked = {"profile": arguments.profile, "operators": arguments.operators, "size": arguments.bytes}
    found = importlib.import_module("keras_transformer.export").benchmark(arguments.folder, **asked)
    if arguments.json:
        _print_result(found)
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
    from keras_transformer._runs import print_runs

    print_runs(arguments.folder, arguments.json)
    return 0


def report(arguments: argparse.Namespace) -> int:
    from keras_transformer._report import write_report

    print(write_report(arguments.run, arguments.output, arguments.format))
    return 0


# How each command is spelled


class Parser(argparse.ArgumentParser):
    """Raises what is wrong as a `UserError`, close matches included."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        message = message.replace(", fields", "")  # argparse calls those required that REMAINDER takes
        raise UserError(f"{message} (see `{self.prog} --help`)")

    def _print_message(self, message: str, file: Any = None) -> None:
        print(message, end="", file=file)  # argparse's own keeps quiet about a full disk

    def parse_command(self, tokens: Sequence[str]) -> argparse.Namespace:
        """Returns the options of one command; TEXT may stand before, between and after them."""
        if self.get_default("command") in (train, tune_lr):  # their fields are the recipe's, unknown here
            found, unknown = self.parse_known_args(tokens)
        else:
            found, unknown = self.parse_known_intermixed_args([_with_dashes(token) for token in tokens])
        if not unknown:
            return found
        if found.command in (train, tune_lr):
            raise UserError(f"{unknown[0]} stands before the recipe: write {self.prog} RECIPE {unknown[0]} ...")
        flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        raise UserError(f"unknown option {unknown[0]!r}.{close_matches(unknown[0], flags)} See `{self.prog} --help`.")


class _List(argparse.Action):
    """Prints what can be trained, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from keras_transformer._catalogue import catalogue

        print(catalogue())
        parser.exit()


def _with_dashes(token: str) -> str:
    """The fields of `train` have underscores: whoever writes an option of another command so is understood."""
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value if token.startswith("--") else token


def _run(argv: Sequence[str]) -> int:
    parser, commands = build_parsers()
    name = argv[0] if argv else "--help"
    if name not in commands and not name.startswith("-"):
        raise UserError(f"no command {name!r}.{close_matches(name, commands)} There are: {listed(commands)}.")
    try:
        if name not in commands:
            parser.parse_args(argv or ["--help"])
            return 0
        arguments = commands[name].parse_command(argv[1:])
    except SystemExit:  # argparse has printed the help or the version
        return 0
    quiet_tensorflow()
    return int(arguments.command(arguments))


def build_parsers() -> tuple[Parser, dict[str, Parser]]:
    """Returns the parser of `keras-transformer` itself and, by name, those of its commands."""
    parser = Parser(prog=PROGRAM, description="Train a Transformer on your own text, ship it as one .tflite file.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    group = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int], summary: str) -> Parser:
        added = group.add_parser(
            run.__name__.replace("_", "-"), help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        added.set_defaults(command=run)
        return added

    _add_train(command(train, "train a model and leave it in a run directory"))
    _add_tune_lr(command(tune_lr, "find a learning rate: a short training with rising rates, which leaves no run"))
    _add_evaluate(command(evaluate, "score the model of a run directory on test data"))
    _add_predict(command(predict, "run a model on text, line by line"))
    _add_export(command(export, "make an artifact folder of a run directory: SavedModel, TFLite, report"))
    _add_quantize_train(
        command(quantize_train, "train a run's model a little more, so that it loses less in few bits: a new run")
    )
    _add_benchmark(command(benchmark, "measure the files of an artifact folder"))
    _add_web(command(web, "add the web page to an artifact folder, or renew it"))
    _add_serve(command(serve, "show an artifact folder's web page at an address of this machine"))
    _add_runs(command(runs, "list the runs of a folder with their best scores"))
    _add_report(command(report, "write a page about a run: curves, scores, samples, config"))
    return parser, dict(group.choices)


def _add_train(parser: Parser) -> None:
    parser.usage = f"{PROGRAM} train RECIPE [--config NAME] [--field VALUE ...]   or: {PROGRAM} train --list"
    parser.epilog = f"{PROGRAM} train RECIPE --help lists the fields of a recipe and its configs."
    parser.add_argument("--list", action=_List, nargs=0, help="show the tasks, their configs and what each reached")
    parser.add_argument("recipe", metavar="RECIPE", help=f"what to train: {listed(recipe_names())}")
    parser.add_argument("fields", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_tune_lr(parser: Parser) -> None:
    parser.usage = f"{PROGRAM} tune-lr RECIPE [--config NAME] [--field VALUE ...] [--output FILE] [--lowest RATE] ..."
    parser.epilog = f"{PROGRAM} tune-lr RECIPE --help lists all options, the fields of a recipe and its configs."
    parser.add_argument("recipe", metavar="RECIPE", help=f"what would be trained: {listed(recipe_names())}")
    parser.add_argument("fields", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_evaluate(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN_OR_ARTIFACT", help="run directory, artifact folder or .tflite file")
    parser.add_argument("--data", metavar="FILE", help="test data (default: the run's own test split)")
    parser.add_argument(
        "--precision", metavar="NAME", type=_precision, help="which file of an artifact folder (default: float32)"
    )
    parser.add_argument("--limit", metavar="N", type=_count, help="score the first N items only")
    parser.add_argument("--batch-tokens", metavar="N", type=_count, help="tokens in a batch: fewer need less memory")
    add_search_flags(parser)


def _add_predict(parser: Parser) -> None:
    parser.add_argument("path", metavar="RUN_OR_ARTIFACT", help="run directory, artifact folder or .tflite file")
    parser.add_argument(
        "text", metavar="TEXT", nargs="*", help="texts, after -- if one starts with a dash; without any, lines of stdin"
    )
    parser.add_argument(
        "--precision", metavar="NAME", type=_precision, help="which file of an artifact folder (default: float32)"
    )
    parser.add_argument(
        "--cut",
        action="store_true",
        help="cut a text of more pieces than the model was trained on (an exported file always cuts, at its bytes)",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each text: scores and all")
    parser.add_argument(
        "--explain",
        choices=EXPLANATIONS,
        help="for a classifier's run: which words carried the decision, by gradient times input or attention rollout",
    )
    parser.add_argument("--html", metavar="FILE", help="with --explain: write the coloured texts there too")
    add_align_flags(parser, "with --json: how much each word of the answer looks at each word of the text")
    add_search_flags(parser)


def _add_export(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="run directory that train left")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder to make")
    parser.add_argument(
        "--precision",
        nargs="+",
        type=_precision,
        metavar="NAME",
        help=f"which .tflite files to make: {listed(PRECISIONS)} (default: {listed(DEFAULT_PRECISIONS)})",
    )
    parser.add_argument(
        "--max-loss",
        metavar="POINTS",
        type=_points,
        help="leave out a precision that has more points than these less than float32 of BLEU, ROUGE-L, accuracy or F1 "
        "(default: 0.3)",
    )
    parser.add_argument(
        "--force-precision",
        action="store_true",
        default=None,
        help="keep a precision that loses more; the report says so",
    )
    parser.add_argument(
        "--format",
        choices=("artifact", "ctranslate2"),
        default="artifact",
        help="artifact: .tflite files and a SavedModel; ctranslate2: for servers, needs keras-transformer[ctranslate2]",
    )
    parser.add_argument(
        "--max-source-bytes",
        metavar="N",
        type=_count,
        help="room for a text (default: 256; of a classifier or tagger four for each piece that it reads)",
    )
    parser.add_argument("--max-target-bytes", metavar="N", type=_count, help="room for an answer (default: 512)")
    parser.add_argument(
        "--cut",
        action="store_true",
        default=None,
        help="cut a text of more pieces than the model was trained on: much less memory where there is room for many "
        "(default: as the run's config says)",
    )
    parser.add_argument(
        "--one-size",
        action="store_true",
        default=None,
        help="search every text in the full size: half the memory, more time for short texts",
    )
    parser.add_argument(
        "--no-steps",
        dest="with_steps",
        action="store_false",
        default=None,
        help="leave the signatures encode, decode_step and detokenize out of the files",
    )
    parser.add_argument(
        "--no-web", dest="web", action="store_false", default=None, help="leave the web page out of the folder"
    )
    add_align_flags(parser, "add a signature that says which words of a text each word of an answer looks at")
    parser.add_argument("--force", action="store_true", help="replace the folder if it exists")
    add_search_flags(parser)


def _add_quantize_train(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="run directory that train left")
    parser.add_argument("--output", metavar="RUN", required=True, help="run directory to make")
    parser.add_argument(
        "--precision",
        metavar="NAME",
        required=True,
        type=_trained,
        help=f"what it is to be exported in: {listed(list(TRAINED))}",
    )
    parser.add_argument("--steps", metavar="N", type=_count, help="updates of the weights (default: 1000)")
    parser.add_argument(
        "--learning-rate", metavar="RATE", type=_rate, help="at first, it goes down to 0 (default: 0.0002)"
    )


def _add_benchmark(parser: Parser) -> None:
    parser.add_argument("folder", metavar="DIST", help="artifact folder that export made")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--bytes", metavar="N", type=_count, help="time texts of N bytes too")
    parser.add_argument("--profile", action="store_true", help="measure every operator of the main signature too")
    parser.add_argument("--operators", action="store_true", help="list the operators of every signature, and weights")


def _add_web(parser: Parser) -> None:
    parser.add_argument(
        "folder", metavar="DIST", nargs="?", help="artifact folder (default: none, only fetch what the page needs)"
    )
    parser.epilog = "The page runs the files with LiteRT.js, which npm fetches once into the cache."


def _add_serve(parser: Parser) -> None:
    parser.add_argument("folder", metavar="DIST", help="artifact folder that export made")
    parser.add_argument("--host", metavar="ADDRESS", default=HOST, help=f"where to listen (default: {HOST})")
    parser.add_argument(
        "--port", metavar="N", type=_port, default=PORT, help=f"0 for any that is free (default: {PORT})"
    )


def _add_runs(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default="runs", help="where they are (default: runs)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_report(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="run directory that train left")
    parser.add_argument("--output", metavar="FILE", help="file to write (default: report.md or report.html in the run)")
    parser.add_argument(
        "--format",
        choices=("markdown", "html"),
        help="markdown: its curves are an .svg beside it; html: one file (default: by the ending of FILE, or markdown)",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return rate


def _trained(text: str) -> str:
    if text not in TRAINED:
        known = listed(list(TRAINED))
        matches = close_matches(text, TRAINED)
        raise argparse.ArgumentTypeError(f"no training is for {text!r}.{matches} There are: {known}.")
    return text


def _points(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of points, 0 or more, got {text!r}")
    return points


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 65535, got {text!r}")
    return int(text)


def _precision(text: str) -> str:
    if text not in PRECISIONS:
        known = listed(PRECISIONS)
        raise argparse.ArgumentTypeError(f"no precision {text!r}.{close_matches(text, PRECISIONS)} There are: {known}.")
    return text


# Input and output


def _standard_input() -> io.BufferedIOBase:
    if sys.stdin.isatty():
        _say("reading from the keyboard, one text on a line; Ctrl-D ends")
    return cast(io.BufferedIOBase, sys.stdin.buffer)


def _write_lines(lines: list[str]) -> None:
    """Writes UTF-8 whatever the locale is, and at once: somebody may be waiting at the other end of the pipe."""
    sys.stdout.flush()
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace"))
    sys.stdout.buffer.flush()


def _print_result(result: object) -> None:
    if result is not None:
        print(json.dumps(result, indent=2, ensure_ascii=False, default=str))


def _train_help(task: str, config: type, parser: Parser) -> str:
    from keras_transformer.config import describe

    summary = (config.__doc__ or "").strip().partition("\n")[0]
    configs = f"--config NAME takes a file of your own (a path that ends in .yaml), or: {listed(config_names(task))}"
    usage = f"usage: {parser.prog} [--config NAME] [--field VALUE ...]"
    own = parser.format_help().strip()  # the options of the command itself, if it has any
    return "\n\n".join([usage, summary, configs, *([own] if own else []), describe(config)])


if __name__ == "__main__":
    sys.exit(main())
