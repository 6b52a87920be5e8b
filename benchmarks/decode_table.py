"""The table that `decode.py` prints."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

PACKAGES = ("ai-edge-litert", "tensorflow", "ctranslate2")
WIDTH = 185

Seconds = Mapping[str, Sequence[float]]  # of a call of "ours" and "peer": a figure for each repetition


class Row(NamedTuple):
    """A line of the table, in words but for the ratios.

    Attributes:
        case: what was measured.
        ours, peer: the medians.
        steps: that were counted.
        ratios: see `ratios`.
        goal: the figure to reach.
    """

    case: str
    ours: str
    peer: str
    steps: str
    ratios: tuple[float, Sequence[float]]
    goal: str = ""


def ratios(seconds: Seconds) -> tuple[float, list[float]]:
    """Returns how many times as fast as the peer ours was: by the medians, and in each repetition."""
    ours, peer = seconds["ours"], seconds["peer"]
    return statistics.median(peer) / statistics.median(ours), [b / a for a, b in zip(ours, peer, strict=True)]


def rate_row(case: str, seconds: Seconds, steps: int, goal: str = "") -> Row:
    """Returns a row of tokens a second."""
    ours, peer = (f"{steps / statistics.median(seconds[name]):,.0f} tokens/s" for name in ("ours", "peer"))
    return Row(case, ours, peer, f"{steps:,}", ratios(seconds), goal)


def sentence_row(case: str, seconds: Seconds, sentences: int, steps: Mapping[str, int], goal: str = "") -> Row:
    """Returns a row of milliseconds a sentence and tokens a second; the ends of answers are tokens too."""
    ours, peer = (
        f"{milliseconds(seconds[name]) / sentences:.3f} ms, "
        f"{steps[name] / statistics.median(seconds[name]):,.0f} tokens/s"
        for name in ("ours", "peer")
    )
    return Row(case, ours, peer, f"{steps['ours']:,} / {steps['peer']:,}", ratios(seconds), goal)


def milliseconds(seconds: Sequence[float]) -> float:
    """Returns the median."""
    return 1e3 * statistics.median(seconds)


def print_table(sections: Sequence[Sequence[Row]], repetitions: int, clock: str) -> None:
    """Prints the rows, with a line between sections, and what they were measured with."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    title = f"{versions} ({os.environ['CT2_FORCE_CPU_ISA']}); {_processor()}; {repetitions} repetitions, {clock} clock"
    table = Table(title=title)
    table.add_column("case")
    for name in ("ours", "CTranslate2", "steps", "ratio", "lowest to highest", "to reach"):
        table.add_column(name, justify="right")
    for rows in sections:
        for row in rows:
            middle, each = row.ratios
            spread = f"{min(each):.2f} to {max(each):.2f}"
            table.add_row(row.case, row.ours, row.peer, row.steps, f"{middle:.2f}", spread, row.goal)
        table.add_section()
    Console(width=max(Console().width, WIDTH)).print(table)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
