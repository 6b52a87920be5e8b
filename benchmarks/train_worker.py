"""A contender in a process of its own, which takes turns when it is told to.

    python benchmarks/train_worker.py REQUEST

REQUEST is JSON: `{"contender": "MODULE:FUNCTION", "case": {...}, "options": {...}, "warm_up": SECONDS}`. The
function is called with the case and the options and returns the turn: a function from seconds to what it measured.
Line by line, seconds come on standard input and JSON goes to standard output; standard error holds what libraries have
to say. The first answer says that the contender is warm.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from train_cases import Case

import keras_transformer


class Turn(NamedTuple):
    """What a contender measured in a turn.

    Attributes:
        seconds: it took on the wall clock.
        processor_seconds: of its threads together.
        amount: what it did in them: target tokens, or floating-point operations.
    """

    seconds: float
    processor_seconds: float
    amount: float


class Moment(NamedTuple):
    """Where the clocks of this process stand."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Moment:
        """Reads them."""
        return cls(time.perf_counter(), time.process_time())

    def turn(self, end: Moment, amount: float) -> Turn:
        """Returns what was done from this moment to an end."""
        return Turn(end.wall - self.wall, end.processor - self.processor, amount)


class Worker:
    """The parent's end of a contender's process.

    Args:
        contender: "MODULE:FUNCTION".
        case: what it is called with.
        threads: that the process may use.
        warm_up: seconds of the turn that nobody times.
        options: that the function takes besides the case.

    Its methods raise RuntimeError if the contender does not run; the first line of the message says why, the rest is
    what it printed.
    """

    def __init__(
        self,
        contender: str,
        case: Case,
        threads: int,
        warm_up: float = 2.0,
        **options: Any,
    ):
        request = {"contender": contender, "case": asdict(case), "options": options, "warm_up": warm_up}
        package = str(Path(keras_transformer.__file__).parents[1])
        own = contender.partition(":")[2].startswith("ours")
        variables = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": package, **thread_limits(threads, own)}
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **variables},
        )

    def warm(self) -> dict[str, Any]:
        """Waits until the contender is warm, and returns what it says of itself."""
        return self._answer()

    def turn(self, seconds: float) -> Turn:
        """Has the contender work for about so long."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            print(seconds, file=self._process.stdin, flush=True)
        return Turn(**self._answer())

    def close(self) -> None:
        """Ends the process, which may have ended already."""
        if not self._said.closed:
            self._end()
            self._said.close()

    def _end(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it ended without an answer"}
        if "error" in answer:
            self._end()  # by then it has printed all that it had to say
            self._said.seek(0)
            said = self._said.read()
            self._said.close()
            raise RuntimeError(f"{answer['error']}\n{said}")
        return answer


def thread_limits(threads: int, own: bool) -> dict[str, str]:
    """Returns the variables by which TensorFlow, PyTorch and their libraries are told how many threads to use.

    Ours has one thread for an operation and as many operations at once, as `keras-transformer train` has it.
    """
    if own:
        return {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": str(threads)}
    return dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))


def main(given: str) -> None:
    request = json.loads(given)
    with _answers() as answers:
        try:
            module, _, function = request["contender"].partition(":")
            contender = getattr(importlib.import_module(module), function)
            turn = contender(Case(**request["case"]), **request["options"])
            turn(request["warm_up"])
            print(json.dumps(getattr(turn, "about", {})), file=answers, flush=True)
            for line in sys.stdin:
                print(json.dumps(turn(float(line))._asdict()), file=answers, flush=True)
        except Exception as error:
            first = (str(error).strip() or "no message").splitlines()[0]
            print(json.dumps({"error": f"{type(error).__name__}: {first}"}), file=answers, flush=True)
            raise


@contextlib.contextmanager
def _answers() -> Iterator[Any]:
    """Gives the file to answer on, which nothing but answers goes to: whatever else is printed is no answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with answers:
        yield answers


if __name__ == "__main__":
    main(*sys.argv[1:])
