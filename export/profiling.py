"""Where the time of a `.tflite` file goes, operator by operator, as LiteRT's own profiler counts it."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_transformer.errors import UserError
from keras_transformer.export.subprocesses import run_module

CONTAINERS = ("WHILE", "IF")  # their time is that of what they run, which is counted too
ROW = re.compile(r"^\s*(\S.*?)\s+(\d+)\s+([\d.]+)\s+([\d.]+)%\s+([\d.]+)%\s+([\d.]+)\s+(\d+)\s*$", re.MULTILINE)
SECTION = re.compile(r"Summary by node type =+\n(.*?)\n\s*\n", re.DOTALL)
TOTAL = re.compile(r"Timings \(microseconds\): .*?\bcurr=(\d+)")


def profile(path: Path, signature: str, texts: Sequence[bytes], runs: int = 3) -> list[dict[str, Any]]:
    """Runs a signature, one thread, and returns its operators, the most expensive first.

    LiteRT's profiler measures in microseconds and takes time itself: shares tell more than sums. The names are those
    of the operators, and those of XNNPACK's own in the parts of the model that it runs.

    Args:
        path: of the file.
        signature: that takes text and text_length.
        texts: each is run once before, and then so many `runs`.

    Returns: of each operator `operator`, `calls` and `ms` for one text in the mean, and `percent` of the whole.

    Raises:
        UserError: this LiteRT gives no profile.

    Example:
        ```python
        profile(Path("dist/mine/model.tflite"), "translate", [b"A man."])[0]["operator"]
        ```
    """
    given = json.dumps([base64.b64encode(text).decode() for text in texts])
    with tempfile.TemporaryFile() as errors:
        status, output = run_module("_profile", [str(path), signature, str(runs)], errors, given)
        errors.seek(0)
        lines = errors.read().decode("utf-8", "replace").splitlines()
    rows = read_summary(output, runs * len(texts)) if status == 0 else []
    if not rows:
        why = lines[-1] if lines else f"the process ended with status {status}"
        raise UserError(f"{path}: this version of ai-edge-litert gives no profile ({why:.200}); leave --profile out")
    return rows


def read_summary(summary: str, texts: int) -> list[dict[str, Any]]:
    """Returns the operators in a summary of LiteRT's profiler over so many texts; none if it is not understood.

    Its own means are rounded to microseconds, most operators take less: time is taken from the shares and the sum.
    """
    section, total = SECTION.search(summary), TOTAL.search(summary)
    if section is None or total is None:
        return []
    found = [(name, float(share), int(calls)) for name, _, _, share, _, _, calls in ROW.findall(section[1])]
    inner = [row for row in found if row[0] not in CONTAINERS]
    whole = sum(share for _, share, _ in inner) or 1.0
    return [
        {
            "operator": name.removeprefix("Delegate/"),
            "delegate": name.startswith("Delegate/"),
            "calls": round(calls / texts, 2),
            "ms": round(share / 100 * int(total[1]) / 1000 / texts, 5),
            "percent": round(100 * share / whole, 2),
        }
        for name, share, calls in sorted(inner, key=lambda row: -row[1])
    ]
