"""Locks between processes: files that the system unlocks when whoever holds them ends, however it ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_TO_LOOK = 1.0  # `is_locked` holds a lock for a moment: whoever meets it tries again for so long


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Inside the block no other process is in one with this file; of no effect where the file system has no locks.

    Args:
        path: of the file, which is made and stays.
        wait: until it is free.

    Raises:
        BlockingIOError: without `wait`, if another is inside.
        OSError: the file cannot be made.

    Example:
        ```python
        with locked(folder / ".lock"):
            write_into(folder)
        ```
    """
    end = time.monotonic() + SECONDS_TO_LOOK
    with open(path, "ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(SECONDS_TO_LOOK / 20)
            except OSError:  # some network file systems have no locks
                break
            else:
                break
        yield


def is_locked(path: Path) -> bool | None:
    """Returns whether another process is inside `locked`; None if there is no such file, or no telling."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
