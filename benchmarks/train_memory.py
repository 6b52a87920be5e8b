"""Memory of a training step as the sequence grows: one sequence, as long in the source as in the target.

    python benchmarks/train_memory.py [--lengths 256 512 1024 2048 4096] [--model attention_chunk=256]

For each length a process of its own builds the model and its optimizer, makes a step on a few tokens, so that
tracing and the optimizer's slots are not in the figure, and then the step that is measured: the highest resident memory
during it, less the resident memory before it. A ratio of 2 at each doubling is linear growth, 4 quadratic.

Linux only: the peak is read from /proc/self/status, after it was set back through /proc/self/clear_refs.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from train_cases import ORIGINAL, POLICIES, Case, assignments, full_batches
from train_worker import thread_limits

import keras_transformer
from keras_transformer._files import write_json
from keras_transformer.errors import UserError
from keras_transformer.models import PRESETS

LENGTHS = [256, 512, 1024, 2048, 4096]
FEW = 8  # tokens of the step before


def main() -> None:
    arguments = parse_arguments()
    case = Case(
        "memory",
        arguments.preset,
        arguments.vocabulary,
        rows=1,
        length=FEW,
        policy=arguments.policy,
        model={**ORIGINAL, **assignments(arguments.model)},
    )
    case.model_arguments()  # what is wrong with them is said here
    megabytes = {length: in_a_process(case, length, arguments.threads) for length in arguments.lengths}
    print_table(case, megabytes)
    if arguments.json:
        write_json(arguments.json, {"case": asdict(case), "megabytes": megabytes})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--lengths", nargs="+", type=int, default=LENGTHS, metavar="N", help="in tokens; default: 256 to 4096")
    add("--preset", choices=PRESETS, default="tiny", help="default: tiny")
    add("--vocabulary", type=int, default=8_000, metavar="N", help="its size; default: 8000")
    add("--policy", choices=POLICIES, default="float32", help="default: float32")
    add("--model", nargs="+", default=[], metavar="KEY=VALUE", help="fields of ModelConfig that are to differ")
    add("--threads", type=int, default=2, metavar="N", help="default: 2")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    for length in arguments.lengths:
        if length < 1:
            raise UserError(f"--lengths has {length}, expected 1 or more")
    if not Path("/proc/self/clear_refs").exists():
        raise UserError("this machine has no /proc/self/clear_refs: memory is measured on Linux only")
    return arguments


def in_a_process(case: Case, length: int, threads: int) -> float:
    """Returns the megabytes of a step, measured in a process of its own."""
    package = str(Path(keras_transformer.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, __file__, "--measure", json.dumps([asdict(case), length])],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": package, **thread_limits(threads, own=True)},
    )
    if done.returncode:
        raise UserError(f"a step of {length} tokens failed (status {done.returncode}):\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def measure(given: str) -> float:
    """Returns the megabytes that a step takes at its highest above those before it."""
    import keras

    from keras_transformer import training
    from keras_transformer.models import Seq2SeqTransformer

    values, length = json.loads(given)
    case = Case(**values)
    keras.utils.set_random_seed(0)
    model = Seq2SeqTransformer(case.vocabulary_size, **case.model_arguments(), dtype=case.policy)
    config = case.training_config()
    training_model = training.compile_for_training(model, config, training.TokenObjective(config.label_smoothing))
    training_model.fit(step_data(case, FEW), steps_per_epoch=1, verbose=0)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free but resident would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    before = status("VmRSS")
    training_model.fit(step_data(case, length), steps_per_epoch=1, verbose=0)
    return (status("VmHWM") - before) / 1024


def step_data(case: Case, length: int) -> Any:
    """Returns what `fit` takes, for one step of one sequence."""
    from dataclasses import replace

    from keras_transformer.data.feed import feed

    batches = full_batches(replace(case, length=length), count=1)
    return feed(lambda: iter(batches))


def status(name: str) -> int:
    """Returns a figure of this process, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def print_table(case: Case, megabytes: dict[int, float]) -> None:
    """Prints the growth."""
    changed = "".join(f", {name} {value}" for name, value in case.model.items())
    table = Table(title=f"memory of a training step on one sequence: preset {case.preset}{changed}, {case.policy}")
    for name in ("tokens", "MB", "ratio", "tokens' ratio"):
        table.add_column(name, justify="right")
    before: tuple[int, float] | None = None
    for length, figure in megabytes.items():
        growth = ("", "") if before is None else (f"{figure / before[1]:.2f}", f"{length / before[0]:.2f}")
        table.add_row(f"{length:,}", f"{figure:,.0f}", *growth)
        before = length, figure
    Console(width=max(Console().width, 110)).print(table)


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["--measure"]:
            print(measure(sys.argv[2]))
        else:
            main()
    except UserError as error:
        sys.exit(f"error: {error}")
