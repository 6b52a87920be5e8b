"""Real batches against full ones, and the time until training begins, for preset tiny.

    KERAS_TRANSFORMER_DATA=MIRROR python benchmarks/train_real.py [--policy float32 mixed_bfloat16] [--rounds 5]

    batches  target tokens a second on batches of Multi30k en-de (29,000 tokenised pairs, up to 8,000 pieces, in the
             order of a run), padding not counted, against full batches of random ids, 256 x 16; both as
             `keras-transformer train translation` trains, each in a process of its own, in turns
    start    seconds from the start of `keras-transformer train translation` until the checkpoint of the first step is
             written, the file cache being warm: of a new run, which reads the pairs and learns a vocabulary, and of one
             that is taken up again

Multi30k is looked for as always: below $KERAS_TRANSFORMER_DATA, in the cache, else it is downloaded. Where none of this
gives it, the pairs of the built-in data stand in, and the title says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from train import CLOCKS
from train_cases import CASES, POLICIES, assignments
from train_worker import Turn, Worker, thread_limits

from keras_transformer import data
from keras_transformer._children import child_command
from keras_transformer._files import write_json
from keras_transformer.errors import UserError
from keras_transformer.export.progress import Steps
from keras_transformer.text import BytePieceTokenizer

LONGEST = 128  # pieces, as the recipe has it
WAIT_SECONDS = 300.0
GOALS = {"batches": "at least 90%", "start": "under 15 s"}


def main() -> None:
    arguments = parse_arguments()
    steps = Steps()
    name, pairs = training_pairs()
    rows: list[tuple[str, str, str, str]] = []
    found: dict[str, Any] = {"data": name}
    with tempfile.TemporaryDirectory() as temporary:
        store = Path(temporary, "store")
        with steps.step(f"tokenising {name}"):
            vocabulary_size = tokenize(pairs, store)
        for policy in arguments.policy if "batches" in arguments.parts else ():
            found[policy] = batches(policy, store, vocabulary_size, arguments, steps)
            rows.append(batch_row(policy, found[policy]))
        if "start" in arguments.parts:
            found["start"] = starts(name, Path(temporary), arguments, steps)
            rows += [start_row(kind, seconds) for kind, seconds in found["start"].items()]
    print_table(rows, f"{name}; {arguments.rounds} rounds of {arguments.seconds:g} s, {arguments.clock} clock")
    if arguments.json:
        write_json(arguments.json, found)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", nargs="+", choices=GOALS, default=list(GOALS), help="default: both")
    add("--policy", nargs="+", choices=POLICIES, default=list(POLICIES), help="of batches; default: both")
    add("--rounds", type=int, default=5, metavar="N", help="turns of each; default: 5")
    add("--seconds", type=float, default=10.0, metavar="S", help="of a turn; default: 10")
    add("--starts", type=int, default=3, metavar="N", help="of each kind; default: 3")
    add("--threads", type=int, default=2, metavar="N", help="default: 2")
    add("--clock", choices=CLOCKS, default="wall", help="of batches; processor: for a machine that is busy")
    add("--training", nargs="+", default=[], metavar="KEY=VALUE", help="fields of TrainingConfig that are to differ")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    for name in ("rounds", "seconds", "starts", "threads"):
        if getattr(arguments, name) <= 0:
            raise UserError(f"--{name} is {getattr(arguments, name)}, expected more than 0")
    return arguments


def training_pairs() -> tuple[str, list[tuple[str, ...]]]:
    """Returns Multi30k's training pairs, or built-in ones, and which of them it is."""
    try:
        return "multi30k", [row.fields for row in data.named_pairs("multi30k", "train", "en-de", tokenized=True)]
    except UserError as error:
        from keras_transformer.recipes.translation.generated import generated_pairs

        print(f"Multi30k is absent, the built-in pairs stand in: {error}", file=sys.stderr)
        return "generated", list(generated_pairs("train", 29_000))


def tokenize(pairs: Sequence[Sequence[str]], store: Path) -> int:
    """Writes the pairs as ids and returns the size of their vocabulary."""
    tokenizer = BytePieceTokenizer.learn(text for pair in pairs for text in pair)
    data.TokenStore.write(store, pairs, ("source", "target"), tokenizer, limits=(LONGEST, LONGEST - 1))
    return tokenizer.vocabulary_size


def batches(
    policy: str, store: Path, vocabulary_size: int, arguments: argparse.Namespace, steps: Steps
) -> dict[str, Any]:
    """Returns target tokens a second, round by round, on real and on full batches."""
    case = replace(CASES["b"], vocabulary_size=vocabulary_size, policy=policy, training=assignments(arguments.training))
    rate: Callable[[Turn], float] = partial(CLOCKS[arguments.clock], threads=arguments.threads)
    with contextlib.ExitStack() as stack:
        workers = {
            "real": Worker("train_keras:ours_on_store", case, arguments.threads, store=str(store)),
            "full": Worker("train_keras:ours", case, arguments.threads),
        }
        for worker in workers.values():
            stack.callback(worker.close)
        with steps.step(f"{policy}: warming up"):
            about = {name: worker.warm() for name, worker in workers.items()}
        rates: dict[str, list[float]] = {name: [] for name in workers}
        with steps.step(f"{policy}: {arguments.rounds} rounds"):
            for number in range(arguments.rounds):
                for name in sorted(workers, reverse=bool(number % 2)):
                    rates[name].append(rate(workers[name].turn(arguments.seconds)))
    return {**about["real"], "tokens_per_second": rates}


def starts(name: str, folder: Path, arguments: argparse.Namespace, steps: Steps) -> dict[str, list[float]]:
    """Returns the seconds until the first step of new runs and of runs that are taken up again; the first is no figure:
    it warms the file cache."""
    seconds: dict[str, list[float]] = {"new run": [], "run taken up again": []}
    with steps.step(f"{1 + arguments.starts} starts of each kind"):
        for number in range(1 + arguments.starts):
            run = folder / f"run-{number}"
            found = {
                "new run": seconds_to_checkpoint(command(name, run), run, arguments.threads),
                "run taken up again": seconds_to_checkpoint([*command(name, run), "--resume"], run, arguments.threads),
            }
            for kind, figure in found.items() if number else ():
                seconds[kind].append(figure)
    return seconds


def command(name: str, run: Path) -> list[str]:
    """Returns the command that trains, with a checkpoint at every step."""
    options = ["--data", name, *(["--tokenized", "true"] if name == "multi30k" else [])]
    options += ["--run", str(run), "--model.preset", "tiny", "--training.checkpoint_every", "1"]
    return child_command("keras_transformer.cli", "train", "translation", *options)


def seconds_to_checkpoint(words: Sequence[str], run: Path, threads: int) -> float:
    """Runs a training until it has written a new checkpoint, stops it, and returns how long it took to come there."""
    before = names(run / "checkpoints")
    environment = {**os.environ, **thread_limits(threads, own=True)}
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, env=environment)
        try:
            while not names(run / "checkpoints") - before:
                if process.poll() is not None or time.monotonic() - start > WAIT_SECONDS:
                    said.seek(0)
                    raise UserError(f"{' '.join(words)} made no step:\n{said.read()}")
                time.sleep(0.01)
            seconds = time.monotonic() - start
            process.send_signal(signal.SIGTERM)  # it stops after the step under way, with everything saved
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()
    return seconds


def names(folder: Path) -> set[str]:
    """Returns the complete checkpoints in a folder, which may not be there yet."""
    return {path.name for path in folder.glob("step-*.npz")}


def batch_row(policy: str, found: dict[str, Any]) -> tuple[str, str, str, str]:
    """Returns a line of the table."""
    real, full = found["tokens_per_second"]["real"], found["tokens_per_second"]["full"]
    each = [one / other for one, other in zip(real, full, strict=True)]
    what = f"{policy}: real {statistics.median(real):,.0f} tokens/s, {found['padding_share']:.1%} padding beside them"
    share = f"{statistics.median(real) / statistics.median(full):.1%}"
    what += f"; full {statistics.median(full):,.0f} tokens/s"
    return what, share, f"{min(each):.1%} to {max(each):.1%}", GOALS["batches"]


def start_row(kind: str, seconds: Sequence[float]) -> tuple[str, str, str, str]:
    """Returns a line of the table."""
    spread = f"{min(seconds):.1f} to {max(seconds):.1f} s"
    return f"first step of a {kind}", f"{statistics.median(seconds):.1f} s", spread, GOALS["start"]


def print_table(rows: Sequence[tuple[str, str, str, str]], about: str) -> None:
    """Prints the lines."""
    table = Table(title=about)
    table.add_column("case")
    for name in ("median", "lowest to highest", "to reach"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, 150)).print(table)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
