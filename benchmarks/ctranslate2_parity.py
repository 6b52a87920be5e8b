"""An independent engine: the weights of a run in CTranslate2, against Keras, over the run's test split.

    .venv/bin/python benchmarks/ctranslate2_parity.py RUN [--limit N] [--beams 1 4 5]

Prints the share of sentences to which both give the same bytes, and every difference: a tie where Keras itself is
undecided between the two pieces by less than 1e-4 in logits, else "other". To reach: 99.5 %. CTranslate2 runs in
float32 on one thread; it is installed with `pip install '.[ctranslate2]'`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_transformer import predictors
from keras_transformer.errors import UserError
from keras_transformer.export.ctranslate2_format import LEAST_AGREEMENT, save_ctranslate2, verify
from keras_transformer.export.ctranslate2_model import CTranslate2Model
from keras_transformer.export.progress import Steps
from keras_transformer.training.run_directory import RunDirectory


def main() -> int:
    arguments = parse_arguments()
    predictor = predictors.load(arguments.run)
    sources = [source for source, _ in RunDirectory(arguments.run).read_examples("test")[: arguments.limit]]
    with tempfile.TemporaryDirectory() as folder:
        save_ctranslate2(predictor, folder)
        model = CTranslate2Model(folder, predictor.tokenizer)
        searches = {
            "greedy" if beam == 1 else f"beam {beam}": verify(predictor, model, sources, Steps(), beam)
            for beam in arguments.beams
        }
    for name, found in searches.items():
        report(name, found)
    return int(any(found["agreement_with_keras"] < LEAST_AGREEMENT for found in searches.values()))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="directory of a trained run")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4, 5], help="hypotheses kept; 1 is greedy search")
    parser.add_argument("--limit", type=int, help="only the first N sentences")
    return parser.parse_args()


def report(name: str, found: dict[str, Any]) -> None:
    """Prints one search's agreement and each of its differences."""
    differences = found["differences"]
    print(
        f"{name}: {found['agreement_with_keras']} % of {found['sentences']} answers agree (figure: {LEAST_AGREEMENT}); "
        f"{len(differences)} do not, {found['ties']} of them ties; scores of equal answers differ by at most "
        f"{found['largest_score_difference']}"
    )
    for difference in differences:
        print(f"  sentence {difference['index'] + 1}, {difference['why']}: {difference['source']}")
        print(f"    Keras        {difference['keras']}")
        print(f"    CTranslate2  {difference['file']}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
