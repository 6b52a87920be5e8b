"""Several hosts that train one model together, on the JAX backend: a process on each, all with the same config.

Every host has the whole model and computes its part of every batch. All evaluate, so that all know when to stop; the
first alone writes the run directory, the others to a folder that is gone afterwards.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import keras
import numpy as np

from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.meeting_point import meet
from keras_transformer.training.run_directory import RunDirectory

Found = TypeVar("Found")

SECONDS_TO_CONNECT = 300
SECONDS_TO_SHUT_DOWN = 30
SECONDS_FOR_THE_FIRST = 24 * 3600  # to make ready what the others wait for
SECONDS_BETWEEN_SIGNS = 5
SECONDS_WITHOUT_SIGN = 60  # until a host counts as gone; one whose process ends is missed at once
SIGNS = "keras_transformer/signs/"  # where in the store of JAX's coordination service
NOT_COPIED = (
    "data",
    "logs",
    "evaluations",
    "*.tmp",
    "*.lock",
    "model.weights.h5",
)  # of a run, for the hosts that do not write


@contextmanager
def together(config: TrainingConfig) -> Iterator[None]:
    """Inside the block this process is one of the `config.hosts`, if there are any. To be entered before JAX is used.

    Raises:
        UserError: the backend is not JAX, the others cannot be reached, or one of them is gone.

    Example:
        ```python
        with together(config):
            run = first_then_others(lambda: make_run(config), lambda: open_run(config))
        ```
    """
    if not config.hosts:
        yield
        return
    if keras.backend.backend() != "jax":
        raise UserError(
            f"training.hosts is given, which needs JAX: set KERAS_BACKEND=jax, not {keras.backend.backend()}"
        )
    import jax
    from jax.errors import JaxRuntimeError

    _connect(config)
    ended = threading.Event()
    threading.Thread(target=_watch, args=(config, ended), name="watch hosts", daemon=True).start()
    try:
        with _output_to_errors():  # where Gloo says that it is connected
            of_first(0)  # connects them for later: whoever comes late then is waited for
        yield
    except (JaxRuntimeError, ValueError) as error:  # a collective operation raises the one or the other
        reason = str(error).partition("\n")[0]
        if isinstance(error, ValueError) and "Gloo" not in reason:
            raise
        atexit.register(_leave)
        raise UserError(_lost(config, reason)) from None
    except BaseException as error:
        atexit.register(_leave, {UserError: 2, KeyboardInterrupt: 130}.get(type(error), 1))
        raise
    finally:
        ended.set()
    _client().wait_at_barrier("end", SECONDS_TO_SHUT_DOWN * 1000)
    if config.host:
        atexit.register(_leave, 0)  # the first may be gone by then
    else:
        jax.distributed.shutdown()


def _connect(config: TrainingConfig) -> None:
    import jax

    meet(config.hosts[0], config.host, len(config.hosts), SECONDS_TO_CONNECT)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_recoverability", True)  # or it aborts, with a page of its own, when a host is lost
    try:
        jax.distributed.initialize(
            config.hosts[0],
            len(config.hosts),
            config.host,
            cluster_detection_method="deactivate",
            initialization_timeout=SECONDS_TO_CONNECT,
            shutdown_timeout_seconds=SECONDS_TO_SHUT_DOWN,
        )
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"host {config.host} cannot join the others at {config.hosts[0]}: {reason}") from None


def _watch(config: TrainingConfig, ended: threading.Event) -> None:
    """Ends the process where another host gives no sign of life: what waits for it would wait without end.

    Where a process dies, the network tells, and an operation fails at once; this is for what the network does not tell.
    """
    client, count, moved = _client(), 0, time.monotonic()
    known: dict[str, str] = {}
    seen = {str(host): moved for host in range(len(config.hosts))}
    reason = "the first host does not answer"
    while not ended.wait(SECONDS_BETWEEN_SIGNS):
        try:
            client.key_value_set(f"{SIGNS}{config.host}", str(count := count + 1), allow_overwrite=True)
            signs = {key.rpartition("/")[2]: value for key, value in client.key_value_dir_get(SIGNS)}
        except Exception:
            break
        now = time.monotonic()
        seen.update({host: now for host, value in signs.items() if value != known.get(host)})
        known = signs
        gone = [host for host, when in seen.items() if now - when > SECONDS_WITHOUT_SIGN]
        if gone:
            reason = f"no sign of life of host {' and '.join(gone)} for {SECONDS_WITHOUT_SIGN} s"
            break
    if not ended.wait(1):  # an operation that has failed says more
        print(f"keras-transformer: error: {_lost(config, reason)}", file=sys.stderr)
        _leave()


def _client() -> Any:
    """Returns the client of JAX's coordination service: it has no public name, but the libraries around JAX use it."""
    from jax._src import distributed

    return distributed.global_state.client


@contextmanager
def _output_to_errors() -> Iterator[None]:
    """What libraries print inside the block goes to standard error, for standard output has the result."""
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)


def _lost(config: TrainingConfig, reason: str) -> str:
    reason = reason.rpartition("Error dispatching computation: ")[2]  # which stands there for every computation
    return (
        f"host {config.host} has lost another of the {len(config.hosts)} ({reason}); what was saved is intact: start "
        "all of them again with --resume"
    )


def _leave(status: int = 2) -> None:
    """Ends the process: JAX's own end would wait for the other hosts, and abort where one of them is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def are_several() -> bool:
    """Returns whether this is one of several hosts."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return bool(jax.distributed.is_initialized() and jax.process_count() > 1)


def is_first() -> bool:
    """Returns whether this host writes the run directory: the first does, or the only one."""
    if not are_several():
        return True
    import jax

    return bool(jax.process_index() == 0)


def highest(value: float) -> float:
    """Returns the highest of the values that the hosts give; all of them must ask."""
    if not are_several():
        return value
    from jax.experimental import multihost_utils

    return float(np.max(multihost_utils.process_allgather(np.array(value, np.float32))))


def of_first(value: float) -> float:
    """Returns the value that the first host gives; all of them must ask."""
    if not are_several():
        return value
    from jax.experimental import multihost_utils

    return float(multihost_utils.broadcast_one_to_all(np.array(value, np.float32)))


def first_then_others(make: Callable[[], Found], find: Callable[[], Found]) -> Found:
    """Returns `make()` on the first host, and when that is done, `find()` on the others."""
    if not are_several():
        return make()
    found = make() if is_first() else None
    _client().wait_at_barrier("first_then_others", SECONDS_FOR_THE_FIRST * 1000)
    return find() if found is None else found


@contextmanager
def own_run(run: RunDirectory) -> Iterator[RunDirectory]:
    """Gives the run directory to write to: `run` itself on the first host, a copy on the others, which is gone after.

    The copy holds what a training is taken up from.

    Raises:
        UserError: another process trains the run.
    """
    if is_first():
        run.hold()
        try:
            of_first(0)  # waits for the copies
            yield run
        finally:
            run.release()
        return
    with TemporaryDirectory(prefix="keras-transformer-") as folder:
        copy = Path(folder) / run.path.name
        shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        of_first(0)
        yield RunDirectory(copy)
