"""Training speed on a GPU, under the JAX backend: preset base, vocabulary 32,000, ids prepared beforehand.

    python benchmarks/train_gpu.py [--preset base] [--rows 256] [--length 64] [--policy mixed_bfloat16]
    KERAS_BACKEND=jax python benchmarks/train_gpu.py --preset tiny --vocabulary 500 --rows 8 --length 16   # on any CPU

Trains as `keras-transformer train translation` does, with its loss, optimizer and `fit`, on full batches of random ids.
Prints target tokens a second, operations of the matrix products a second (see `train_cases.step_flops`) and their share
of the fastest large square matrix product in the compute dtype, measured between the rounds. Figures are medians over
the rounds; beside them stand the lowest and highest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when keras is imported

import jax
import keras
from jax import numpy as jnp
from train_cases import ORIGINAL, POLICIES, Case, assignments, full_batches, over_and_over, step_flops

from keras_transformer import training
from keras_transformer._files import write_json
from keras_transformer.data.feed import feed
from keras_transformer.errors import UserError
from keras_transformer.models import PRESETS, Seq2SeqTransformer

PEAK_SIZES = {"gpu": 8192, "cpu": 2048}
PEAK_PRODUCTS = 10  # one behind the other, so that starting them is not in the time


def main() -> None:
    arguments = parse_arguments()
    if keras.backend.backend() != "jax":
        raise UserError(f"KERAS_BACKEND is {keras.backend.backend()!r}, expected 'jax'")
    case = Case(
        "gpu",
        arguments.preset,
        arguments.vocabulary,
        arguments.rows,
        arguments.length,
        arguments.policy,
        {**ORIGINAL, **assignments(arguments.model)},
        assignments(arguments.training),
    )
    device = jax.devices()[0]
    peak_turn = peak(keras.dtype_policies.get(case.policy).compute_dtype, PEAK_SIZES.get(device.platform, 8192))
    start = time.perf_counter()
    turn = trainer(case, arguments.seconds)
    warm = time.perf_counter() - start
    peaks, rates = [], []
    for _ in range(arguments.rounds):
        peaks.append(peak_turn())
        rates.append(turn())
    report(case, device, warm, peaks, rates, arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="base", help="default: base")
    add("--vocabulary", type=int, default=32_000, metavar="N", help="its size; default: 32000")
    add("--rows", type=int, default=256, metavar="N", help="of a batch; default: 256")
    add("--length", type=int, default=64, metavar="N", help="tokens of a row, source and target; default: 64")
    add("--policy", choices=POLICIES, default="mixed_bfloat16", help="default: mixed_bfloat16")
    add("--rounds", type=int, default=5, metavar="N", help="default: 5")
    add("--seconds", type=float, default=5.0, metavar="S", help="of a round, about; default: 5")
    add("--model", nargs="+", default=[], metavar="KEY=VALUE", help="fields of ModelConfig that are to differ")
    add("--training", nargs="+", default=[], metavar="KEY=VALUE", help="fields of TrainingConfig that are to differ")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    for name in ("vocabulary", "rows", "length", "rounds", "seconds"):
        if getattr(arguments, name) <= 0:
            raise UserError(f"--{name} is {getattr(arguments, name)}, expected more than 0")
    return arguments


def trainer(case: Case, seconds: float) -> Callable[[], float]:
    """Returns a function that trains for about so long and returns target tokens a second; warm."""
    keras.utils.set_random_seed(0)
    model = Seq2SeqTransformer(case.vocabulary_size, **case.model_arguments(), dtype=case.policy)
    config = case.training_config()
    training_model = training.compile_for_training(model, config, training.TokenObjective(config.label_smoothing))
    batches = full_batches(case)

    def fit(steps: int) -> float:
        source = feed(lambda: over_and_over(batches))
        start = time.perf_counter()
        # no callback looks at single steps: the device is never waited for until the end
        training_model.fit(source, steps_per_epoch=steps, verbose=0, shuffle=False)
        return time.perf_counter() - start

    fit(2)  # compiles
    few, many = fit(2), fit(12)
    steps = max(5, round(10 * seconds / max(many - few, 1e-3)))
    return lambda: steps * case.rows * case.length / fit(steps)


def peak(dtype: str, size: int) -> Callable[[], float]:
    """Returns a function that returns the operations a second of a square matrix product, the best of several."""
    factors = [jax.random.normal(jax.random.key(i), (size, size), dtype) * size**-0.5 for i in range(2)]

    @jax.jit
    def products(x: Any, y: Any) -> Any:
        return jax.lax.fori_loop(0, PEAK_PRODUCTS, lambda _, z: jnp.matmul(z, y), x)

    def best() -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            products(*factors).block_until_ready()
            times.append(time.perf_counter() - start)
        return PEAK_PRODUCTS * 2 * size**3 / min(times)

    best()  # compiles
    return best


def report(
    case: Case, device: Any, warm: float, peaks: list[float], rates: list[float], arguments: argparse.Namespace
) -> None:
    """Prints the figures, and writes them if asked to."""
    highest, middle = max(peaks), statistics.median(rates)
    flops = middle * step_flops(case) / (case.rows * case.length)
    print(f"{device.device_kind} ({device.platform}), jax {jax.__version__}, keras {keras.__version__}")
    print(f"{case}, {case.policy}; {step_flops(case) / 1e12:.3f} TFLOP a step")
    print(f"{middle:,.0f} target tokens/s ({min(rates):,.0f} to {max(rates):,.0f}, {arguments.rounds} rounds)")
    print(f"{flops / 1e12:.2f} TFLOP/s, {flops / highest:.1%} of the matrix product's {highest / 1e12:.2f} TFLOP/s")
    print(f"{warm:.1f} s to build, compile and warm up")
    if arguments.json:
        figures = {"device": device.device_kind, "about": str(case), "policy": case.policy, "flops": flops}
        write_json(arguments.json, {**figures, "peaks": peaks, "tokens_per_second": rates, "warm_seconds": warm})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
