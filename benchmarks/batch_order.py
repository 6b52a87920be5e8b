"""What it does to padding and to learning how exactly rows are sorted by the shorter of their two sides.

    [KERAS_TRANSFORMER_DATA=MIRROR] python benchmarks/batch_order.py [--steps 1000] [--padding-of multi30k]

Trains the translator of `make demo` with differences of the lengths sorted in steps of 1 (exactly), 8 (as it is) and
10,000 (by the longer side alone), each in a process of its own, and prints for each the percentage of exact answers on
the validation pairs after half of the steps and on the test pairs at the end; and padding on a public set.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_transformer import data
from keras_transformer.data import buckets
from keras_transformer.text import BytePieceTokenizer

DIFFERENCES = (1, buckets.DIFFERENCE, 10_000)
LONGEST, BATCH_TOKENS = 128, 4096  # of the padding

TRAIN = """
import json, sys
from keras_transformer._start import start_quickly
start_quickly()
from keras_transformer._threads import use_one_thread_an_operation
use_one_thread_an_operation()
from keras_transformer.config import parse_config
from keras_transformer.data import buckets
from keras_transformer.recipes import translation
config, run, steps, difference = sys.argv[1:]
buckets.DIFFERENCE = int(difference)
options = ["--run", run, "--training.steps", steps, "--training.evaluate_every", str(int(steps) // 2)]
print(json.dumps(translation.main(parse_config(translation.Config, config, options))))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="of each training; default: 1000")
    parser.add_argument("--padding-of", default="multi30k", metavar="SET", help="default: multi30k")
    arguments = parser.parse_args()
    shares = padding(arguments.padding_of)
    table = Table(title=f"built-in pairs, {arguments.steps} steps; padding of {arguments.padding_of}")
    for name in ("steps of", "batches", "source padding", "target padding", "exact half-way", "exact at the end"):
        table.add_column(name, justify="right")
    for difference in DIFFERENCES:
        half, end = trained(difference, arguments.steps)
        count, source, target = shares[difference]
        table.add_row(
            f"{difference:,}", f"{count:,}", f"{source:.1%}", f"{target:.1%}", f"{half:.1f} %", f"{end:.1f} %"
        )
    Console(width=100).print(table)


def trained(difference: int, steps: int) -> tuple[float, float]:
    """Returns the percentages of exact answers half-way, on validation pairs, and at the end, on test pairs."""
    config = Path(__file__).parents[1] / "recipes" / "translation" / "configs" / "demo.yaml"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-c", TRAIN, str(config), str(run), str(steps), str(difference)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        evaluations: list[dict[str, Any]] = json.loads((run / "metrics.json").read_text())["evaluations"]
    return evaluations[0]["exact_match"], json.loads(done.stdout.splitlines()[-1])["exact_match"]


def padding(name: str) -> dict[int, tuple[float, ...]]:
    """Returns for each difference the batches of an epoch and the shares of source and target that are padding."""
    pairs = [row.fields for row in data.named_pairs(name, "train", "en-de", tokenized=True)]
    tokenizer = BytePieceTokenizer.learn(text for pair in pairs for text in pair)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        data.TokenStore.write(folder, pairs, ("source", "target"), tokenizer, limits=(LONGEST, LONGEST - 1))
        store, ids = data.TokenStore(folder), (tokenizer.start_id, tokenizer.end_id, tokenizer.pad_id)
        for buckets.DIFFERENCE in DIFFERENCES:
            batches = data.Seq2SeqBatches(store, BATCH_TOKENS, 0, *ids)
            found[buckets.DIFFERENCE] = (batches.batches_per_epoch, *batches.padding_shares)
    return found


if __name__ == "__main__":
    main()
