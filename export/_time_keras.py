"""Times Keras on one thread, which TensorFlow can be told only before it starts: hence a process of its own.

python -m keras_transformer.export._time_keras RUN < given.json > seconds.json
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import tensorflow as tf


def main(run: str) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    warnings.simplefilter("ignore")
    from keras_transformer.generation import SearchOptions, load

    given = json.load(sys.stdin)
    search = SearchOptions(**given["search"])
    predictor = load(run)
    seconds = []
    for text in given["texts"]:
        predictor.predict([text], search=search)  # builds the graph for this length
        start = time.perf_counter()
        predictor.predict([text], search=search)
        seconds.append(time.perf_counter() - start)
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
