"""Times Keras on one thread, which TensorFlow can be told only before it starts: hence a process of its own.

python -m keras_transformer.export._time_keras RUN < given.json > seconds.json
"""

from __future__ import annotations

import json
import sys
import time
import warnings

from keras_transformer._start import start_quickly


def main(run: str) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    warnings.simplefilter("ignore")
    from keras_transformer.export.tasks import read_task
    from keras_transformer.training.run_directory import RunDirectory

    given, directory = json.load(sys.stdin), RunDirectory(run)
    task, _ = read_task(directory)
    answer = task.answerer(directory, given["settings"])
    seconds = []
    for text in given["texts"]:
        answer([text])  # builds the graph for this length
        start = time.perf_counter()
        answer([text])
        seconds.append(time.perf_counter() - start)
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    start_quickly()
    main(*sys.argv[1:])
