"""The command line: `keras-transformer train | evaluate | predict | export | serve | ...`; `--help` has them all.

`options` says how each command is spelled, `commands` what it does. Whatever the user can mend is one line on standard
error and exit status 2; `KERAS_TRANSFORMER_TRACEBACK=1` shows where it came from.
"""

from __future__ import annotations

from keras_transformer import _safe_path  # noqa: F401 (before all else: what follows is looked up on the path)

# isort: split
import io
import os
import sys
import warnings
from collections.abc import Sequence

from keras_transformer._config_sources import is_text
from keras_transformer._quiet import quiet_tensorflow
from keras_transformer._start import start_quickly
from keras_transformer.cli.discovery import listed
from keras_transformer.cli.options import build_parsers
from keras_transformer.cli.terminal import say, warn
from keras_transformer.errors import UserError, close_matches


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0 done, 2 something the user can mend, 130 interrupted, 141 nobody reads the output any more, 1 a mistake of ours.
    """
    start_quickly()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of few characters is no reason to end
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
        say("interrupted")
        return 130
    if isinstance(error, UserError):
        for line in str(error).splitlines():
            say(f"error: {line}")
        return 2
    if isinstance(error, OSError):
        _drop_output()
        say(f"error: {error.filename or 'reading or writing'}: {error.strerror or error}")
        return 2
    first_line = str(error).partition("\n")[0]
    say(f"internal error: {type(error).__name__}: {first_line} (KERAS_TRANSFORMER_TRACEBACK=1 shows where)")
    return 1


def _drop_output() -> None:
    """Lets go of output that cannot be written, or Python would complain once more when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *place: object, **more: object) -> None:
    warn(str(message))


# What each command does


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
    for name, value in vars(arguments).items():
        if isinstance(value, str) and not is_text(value):
            raise UserError(f"{name} is {value!r}, which is not UTF-8; give it another name")
    quiet_tensorflow()
    return int(arguments.command(arguments))
