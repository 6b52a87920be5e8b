"""Training speed against KerasHub and PyTorch: same sizes, same machine, same run, two threads each.

    python benchmarks/train.py [--case a b] [--policy float32 mixed_bfloat16] [--contenders ...] [--rounds 5]

Cases, synthetic full batches of 4,096 and 2,048 target tokens, dropout 0.1 on embeddings and sublayers, post-norm,
tied embeddings, Adam:
    a  4+4 layers, width 256, feed-forward 1024, 4 heads (preset small), vocabulary 10,000, batch 64 x 32
    b  4+4 layers, width 128, feed-forward 256, 4 heads (preset tiny), vocabulary 9,504, batch 256 x 16

Contenders:
    ours                      what `keras-transformer train translation` does: its loss with label smoothing, clipping,
                              averaging, three metrics, feed, `fit` and progress bar
    keras_hub, keras_hub_jit  KerasHub's layers in `fit`, without and with XLA; no label smoothing, clipping, averaging
                              nor metrics: less work than ours
    torch, torch_compile      `nn.Transformer`, eager and compiled; label smoothing, but no clipping, averaging nor
                              metrics; bfloat16 by autocast

Each contender has a process of its own, which waits while others have their turn, so that a drift of the machine's
speed hits all alike. Figures are medians over the rounds; beside them stand the lowest and highest of single rounds.
Of the settings of a peer the better counts. The peak is the fastest large square matrix product of TensorFlow, in the
same precision, of all those made between the turns. Operations are counted by a formula, see `train_cases.step_flops`.

A peer that is not installed is left out; they come with `pip install 'keras-transformer[benchmarks]'`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from train_cases import CASES, POLICIES, Case, assignments, step_flops
from train_table import print_results
from train_worker import Worker

from keras_transformer._files import write_json
from keras_transformer.errors import UserError
from keras_transformer.export.progress import Steps

PEAK = "train_keras:peak"
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
            results.append(measure(case, arguments, steps))
            if arguments.json:
                write_json(arguments.json, {"rounds": arguments.rounds, "results": results})
    print_results(results, f"{arguments.rounds} rounds of {arguments.seconds:g} s, {arguments.threads} threads")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--case", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    add("--policy", nargs="+", choices=POLICIES, default=list(POLICIES), help="default: both")
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="default: all")
    add("--rounds", type=int, default=5, metavar="N", help="turns of each contender; default: 5")
    add("--seconds", type=float, default=5.0, metavar="S", help="of a turn; default: 5")
    add("--threads", type=int, default=2, metavar="N", help="of each contender; default: 2")
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
    rates: dict[str, list[float]] = {}
    peaks = []
    with contextlib.ExitStack() as stack:
        workers = dict(start(case, arguments, steps, stack))
        peak = stack.enter_context(contextlib.closing(Worker(PEAK, case, arguments.threads)))
        order = list(workers)
        with steps.step(f"({case.name}) {case.policy}: {arguments.rounds} rounds"):
            for _ in range(arguments.rounds):
                for name in order:
                    peaks.append(peak.turn(PEAK_SECONDS).rate)
                    rates.setdefault(name, []).append(workers[name].turn(arguments.seconds).rate)
                order = [*order[1:], order[0]]
    return {
        "case": case.name,
        "policy": case.policy,
        "about": str(case),
        "flops_per_token": step_flops(case) / (case.rows * case.length),
        "peak": max(peaks),
        "peaks": peaks,
        "tokens_per_second": {name: rates[name] for name in workers},
    }


def start(
    case: Case, arguments: argparse.Namespace, steps: Steps, stack: contextlib.ExitStack
) -> Iterator[tuple[str, Worker]]:
    """Yields the contenders that run here, warm; says why others do not."""
    for key in arguments.contenders:
        name, function, options, package = CONTENDERS[key]
        if importlib.util.find_spec(package) is None:
            say(f"{name} is left out: {package} is not installed; pip install 'keras-transformer[benchmarks]'")
            continue
        try:
            with steps.step(f"({case.name}) {case.policy}: {name} warms up"):
                worker = Worker(function, case, arguments.threads, **options)
        except RuntimeError as error:
            if key == "ours":
                raise
            say(f"{name} is left out: it does not run here: {str(error).splitlines()[0]}")
            continue
        stack.callback(worker.close)
        yield name, worker


def say(line: str) -> None:
    """Tells the user something on standard error."""
    print(line, file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
