"""How TensorFlow uses the processors: each operation on all of them, or several operations on one each."""

from __future__ import annotations

import os
import sys

INTRA, INTER = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"


def use_one_thread_an_operation() -> None:
    """Has TensorFlow run each operation on one thread of a CPU, and as many at once as there are processors.

    Parts of a batch are then computed side by side, and no operation waits for the slowest of its threads. To be
    called before TensorFlow is imported. The environment variables TF_NUM_INTRAOP_THREADS and TF_NUM_INTEROP_THREADS
    stand where they are set.
    """
    if "tensorflow" not in sys.modules and not {INTRA, INTER} & os.environ.keys():
        os.environ.update({INTRA: "1", INTER: str(processors())})


def operations_at_once() -> int:
    """Returns how many operations of one thread TensorFlow runs side by side: 1 if each of them has all threads."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow" or os.environ.get(INTRA) != "1":
        return 1
    number = os.environ.get(INTER, "")
    return int(number) if number.isascii() and number.isdigit() and number != "0" else processors()


def processors() -> int:
    """Returns how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
