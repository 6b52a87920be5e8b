"""Memory that is freed stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys, threading
from keras_transformer._memory import keep_memory
if "keep" in sys.argv:
    keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def use():
    for _ in range(20):
        blocks = [libc.malloc(40 << 20) for _ in range(2)]
        for block in blocks:
            ctypes.memset(block, 1, 40 << 20)
        for block in blocks:
            libc.free(block)

thread = threading.Thread(target=use)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_memory_is_mapped_once() -> None:
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=True).stdout)
        for word in ("give", "keep")
    )
    assert kept < given_back / 4
