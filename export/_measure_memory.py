"""Measures the memory that a file takes, in a process that has done nothing else.

python -m keras_transformer.export._measure_memory FILE < texts.json > bytes.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(path: str) -> None:
    import ai_edge_litert.interpreter  # noqa: F401 (not to be part of what a file takes)

    from keras_transformer.export.artifact import open_artifact

    texts = json.load(sys.stdin)
    forget_peak()
    before = resident("VmRSS")
    artifact = open_artifact(path)
    for text in texts:
        artifact.run(text.encode("utf-8", "surrogatepass"))
    json.dump(resident("VmHWM") - before, sys.stdout)


def forget_peak() -> None:
    """Has the system count the peak of resident memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(name: str) -> int:
    """Returns the bytes of memory in use, `VmRSS`, or of their peak, `VmHWM`; see proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
