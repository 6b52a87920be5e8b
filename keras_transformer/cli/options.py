"""The commands and their options, as `--help` shows them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from keras_transformer import __version__
from keras_transformer.cli import commands
from keras_transformer.cli.discovery import (
    listed,
    recipe_names,
)
from keras_transformer.cli.parser import Parser
from keras_transformer.cli.search_flags import add_align_flags, add_search_flags
from keras_transformer.cli.terminal import PROGRAM
from keras_transformer.cli.values import count, points, port, precision, rate, trained
from keras_transformer.export.address import HOST, PORT
from keras_transformer.export.precisions import DEFAULT as DEFAULT_PRECISIONS
from keras_transformer.export.precisions import PRECISIONS, TRAINED

EXPLANATIONS = ("gradient", "attention")


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

    _add_train(command(commands.train, "train a model and leave it in a run directory"))
    _add_tune_lr(
        command(commands.tune_lr, "find a learning rate: a short training with rising rates, which leaves no run")
    )
    _add_evaluate(command(commands.evaluate, "score the model of a run directory on test data"))
    _add_predict(command(commands.predict, "run a model on text, line by line"))
    _add_export(command(commands.export, "make an artifact folder of a run directory: SavedModel, TFLite, report"))
    _add_quantize_train(
        command(
            commands.quantize_train, "train a run's model a little more, so that it loses less in few bits: a new run"
        )
    )
    _add_benchmark(command(commands.benchmark, "measure the files of an artifact folder"))
    _add_web(command(commands.web, "add the web page to an artifact folder, or renew it"))
    _add_serve(command(commands.serve, "show an artifact folder's web page at an address of this machine"))
    _add_runs(command(commands.runs, "list the runs of a folder with their best scores"))
    _add_report(command(commands.report, "write a page about a run: curves, scores, samples, config"))
    return parser, dict(group.choices)


class _List(argparse.Action):
    """Prints what can be trained, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from keras_transformer.cli.catalogue import catalogue

        print(catalogue())
        parser.exit()


def _add_train(parser: Parser) -> None:
    parser.has_fields = True
    parser.usage = f"{PROGRAM} train RECIPE [--config NAME] [--field VALUE ...]   or: {PROGRAM} train --list"
    parser.epilog = f"{PROGRAM} train RECIPE --help lists the fields of a recipe and its configs."
    parser.add_argument("--list", action=_List, nargs=0, help="show the tasks, their configs and what each reached")
    parser.add_argument("recipe", metavar="RECIPE", help=f"what to train: {listed(recipe_names())}")
    parser.add_argument("fields", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_tune_lr(parser: Parser) -> None:
    parser.has_fields = True
    parser.usage = f"{PROGRAM} tune-lr RECIPE [--config NAME] [--field VALUE ...] [--output FILE] [--lowest RATE] ..."
    parser.epilog = f"{PROGRAM} tune-lr RECIPE --help lists all options, the fields of a recipe and its configs."
    parser.add_argument("recipe", metavar="RECIPE", help=f"what would be trained: {listed(recipe_names())}")
    parser.add_argument("fields", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_evaluate(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN_OR_ARTIFACT", help="run directory, artifact folder or .tflite file")
    parser.add_argument("--data", metavar="FILE", help="test data (default: the run's own test split)")
    parser.add_argument(
        "--columns", metavar="NAME", nargs="+", help="columns of FILE, where they are others than in the training data"
    )
    parser.add_argument(
        "--precision", metavar="NAME", type=precision, help="which file of an artifact folder (default: float32)"
    )
    parser.add_argument("--limit", metavar="N", type=count, help="score the first N items only")
    parser.add_argument("--batch-tokens", metavar="N", type=count, help="tokens in a batch: fewer need less memory")
    add_search_flags(parser)


def _add_predict(parser: Parser) -> None:
    parser.add_argument("path", metavar="RUN_OR_ARTIFACT", help="run directory, artifact folder or .tflite file")
    parser.add_argument(
        "text", metavar="TEXT", nargs="*", help="texts, after -- if one starts with a dash; without any, lines of stdin"
    )
    parser.add_argument(
        "--precision", metavar="NAME", type=precision, help="which file of an artifact folder (default: float32)"
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
    _add_precisions(parser)
    parser.add_argument(
        "--format",
        choices=("artifact", "ctranslate2"),
        default="artifact",
        help="artifact: .tflite files and a SavedModel; ctranslate2: for servers, needs pip install '.[ctranslate2]'",
    )
    _add_room(parser)
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


def _add_precisions(parser: Parser) -> None:
    parser.add_argument(
        "--precision",
        nargs="+",
        type=precision,
        metavar="NAME",
        help=f"which .tflite files to make: {listed(PRECISIONS)} (default: {listed(DEFAULT_PRECISIONS)})",
    )
    parser.add_argument(
        "--max-loss",
        metavar="POINTS",
        type=points,
        help="leave out a precision that has more points than these less than float32 of BLEU, ROUGE-L, accuracy or F1 "
        "(default: 0.3)",
    )
    parser.add_argument(
        "--force-precision",
        action="store_true",
        default=None,
        help="keep a precision that loses more; the report says so",
    )


def _add_room(parser: Parser) -> None:
    parser.add_argument(
        "--max-source-bytes",
        metavar="N",
        type=count,
        help="room for a text (default: 256; of a classifier or tagger four for each piece that it reads)",
    )
    parser.add_argument("--max-target-bytes", metavar="N", type=count, help="room for an answer (default: 512)")
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


def _add_quantize_train(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="run directory that train left")
    parser.add_argument("--output", metavar="RUN", required=True, help="run directory to make")
    parser.add_argument(
        "--precision",
        metavar="NAME",
        required=True,
        type=trained,
        help=f"what it is to be exported in: {listed(list(TRAINED))}",
    )
    parser.add_argument("--steps", metavar="N", type=count, help="updates of the weights (default: 1000)")
    parser.add_argument(
        "--learning-rate", metavar="RATE", type=rate, help="at first, it goes down to 0 (default: 0.0002)"
    )


def _add_benchmark(parser: Parser) -> None:
    parser.add_argument("folder", metavar="DIST", help="artifact folder that export made")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--bytes", metavar="N", type=count, help="time texts of N bytes too")
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
        "--port", metavar="N", type=port, default=PORT, help=f"0 for any that is free (default: {PORT})"
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
