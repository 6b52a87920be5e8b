"""Training speed against KerasHub and PyTorch: same sizes, same machine, same run, two threads each.

    python benchmarks/train.py [--case a b] [--policy float32 mixed_bfloat16] [--contenders ...] [--rounds 5]

Cases, synthetic full batches of 4,096 and 2,048 target tokens, dropout 0.1 on embeddings and sublayers, post-norm,
tied embeddings, Adam:
    a  4+4 layers, width 256, feed-forward 1024, 4 heads (preset small), vocabulary 10,000, batch 64 x 32
    b  4+4 layers, width 128, feed-forward 256, 4 heads (preset tiny), vocabulary 9,504, batch 256 x 16

Contenders:
    ours                      what `keras-transformer train translation` does: its loss with label smoothing, clipping,
                              averaging, three metrics, feed and `fit`
    keras_hub, keras_hub_jit  KerasHub's layers in `fit`, without and with XLA; no label smoothing, clipping, averaging
                              nor metrics: less work than ours
    torch, torch_compile      `nn.Transformer`, eager and compiled; label smoothing, but no clipping, averaging nor
                              metrics; bfloat16 by autocast

Each contender has a process of its own, which waits while others have their turn, so that a drift of the machine's
speed hits all alike. Figures are medians over the rounds; beside them stand the lowest and highest of single rounds.
Of the settings of a peer the better counts. The peak is the fastest large square matrix product of TensorFlow, in the
same precision, of all those made between the turns. Operations are counted by a formula, see `train_cases.step_flops`.

A peer that is not installed is left out; they come with `pip install '.[benchmarks]'`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from train_cases import CASES, POLICIES, Case, assignments, step_flops
from train_table import print_results
from train_worker import Turn, Worker

from keras_transformer._files import write_json
from keras_transformer.errors import UserError
from keras_transformer.export.progress import Steps

PEAK = "train_keras:peak"
OWN = ("ours", PEAK)
# name on the command line -> name in the table, function, options, package it takes
CONTENDERS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "ours": ("ours", "train_keras:ours", {}, "tensorflow"),
    "keras_hub": ("KerasHub", "train_keras:keras_hub", {"jit": False}, "keras_hub"),
    "keras_hub_jit": ("KerasHub, XLA", "train_keras:keras_hub", {"jit": True}, "keras_hub"),
    "torch": ("PyTorch", "train_torch:train", {"compiled": False}, "torch"),
    "torch_compile": ("PyTorch, compiled", "train_torch:train", {"compiled": True}, "torch"),
}
PEAK_SECONDS = 1.0


def main() -> None:
    arguments = parse_arguments()
    changes = {"model": assignments(arguments.model), "training": assignments(arguments.training)}
    steps, results = Steps(), []
    for name in arguments.case:
        for policy in arguments.policy:
            case = replace(CASES[name], policy=policy, training=changes["training"])
            case = replace(case, model={**case.model, **changes["model"]})
            case.model_arguments(), case.training_config()  # what is wrong with them is said here
            results.append(measure(case, arguments, steps))
            if arguments.json:
                write_json(arguments.json, {"clock": arguments.clock, "threads": arguments.threads, "results": results})
    about = (
        f"{arguments.rounds} rounds of {arguments.seconds:g} s, {arguments.threads} threads, {arguments.clock} clock"
    )
    print_results(results, about)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--case", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    add("--policy", nargs="+", choices=POLICIES, default=list(POLICIES), help="default: both")
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="default: all")
    add("--rounds", type=int, default=5, metavar="N", help="turns of each contender; default: 5")
    add("--seconds", type=float, default=5.0, metavar="S", help="of a turn; default: 5")
    add("--threads", type=int, default=2, metavar="N", help="of each contender; default: 2")
    add("--clock", choices=CLOCKS, default="wall", help="processor: the threads' own time, for a machine that is busy")
    add("--model", nargs="+", default=[], metavar="KEY=VALUE", help="fields of ModelConfig that are to differ")
    add("--training", nargs="+", default=[], metavar="KEY=VALUE", help="fields of TrainingConfig; ours alone has all")
    add("--json", type=Path, metavar="FILE", help="write every figure there")
    arguments = parser.parse_args()
    for name in ("rounds", "seconds", "threads"):
        if getattr(arguments, name) <= 0:
            raise UserError(f"--{name} is {getattr(arguments, name)}, expected more than 0")
    return arguments


def measure(case: Case, arguments: argparse.Namespace, steps: Steps) -> dict[str, Any]:
    """Returns the figures of a case under a policy: those of each round, by contender, and the peak."""
    turns: dict[str, list[Turn]] = {}
    rate = partial(CLOCKS[arguments.clock], threads=arguments.threads)
    with contextlib.ExitStack() as stack:
        with steps.step(f"({case.name}) {case.policy}: warming up"):
            workers = start(case, arguments, stack)
        peak = workers.pop(PEAK)
        order = list(workers)
        with steps.step(f"({case.name}) {case.policy}: {arguments.rounds} rounds"):
            for _ in range(arguments.rounds):
                for name in order:
                    turns.setdefault(PEAK, []).append(peak.turn(PEAK_SECONDS))
                    turns.setdefault(name, []).append(workers[name].turn(arguments.seconds))
                order = [*order[1:], order[0]]
    return {
        "case": case.name,
        "policy": case.policy,
        "about": str(case),
        "flops_per_token": step_flops(case) / (case.rows * case.length),
        "peak": max(map(rate, turns[PEAK])),
        "tokens_per_second": {name: [rate(turn) for turn in turns[name]] for name in workers},
        "turns": {name: [turn._asdict() for turn in made] for name, made in turns.items()},
    }


def start(case: Case, arguments: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Worker]:
    """Returns the contenders that run here, warm, and the peak's; says why others do not. All warm up at once."""
    asked: dict[str, tuple[Any, dict[str, Any]]] = {PEAK: (PEAK, {})}
    for key in arguments.contenders:
        name, function, options, package = CONTENDERS[key]
        if importlib.util.find_spec(package) is None:
            say(f"{name} is left out: {package} is not installed; pip install '.[benchmarks]'")
        else:
            asked[name] = (function, options)
    workers = {}
    for name, (function, options) in asked.items():
        workers[name] = Worker(function, case, arguments.threads, **options)
        stack.callback(workers[name].close)
    for name in list(workers):
        try:
            workers[name].warm()
        except RuntimeError as error:
            if name in OWN:
                raise
            say(f"{name} is left out: it does not run here: {str(error).splitlines()[0]}")
            del workers[name]
    return workers


def wall_rate(turn: Turn, threads: int) -> float:
    """Returns the amount of a second."""
    return turn.amount / turn.seconds


def processor_rate(turn: Turn, threads: int) -> float:
    """Returns the amount of a second in which each of the threads has a processor to itself and is never idle."""
    return turn.amount * threads / turn.processor_seconds


CLOCKS = {"wall": wall_rate, "processor": processor_rate}


def say(line: str) -> None:
    """Tells the user something on standard error."""
    print(line, file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
