"""The table that `train.py` prints."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Sequence
from typing import Any

from decode_table import WIDTH, _processor, ratios
from rich.console import Console
from rich.table import Table

PACKAGES = ("tensorflow", "keras", "keras-hub", "torch")
GOALS = {("a", "KerasHub"): "1.5, stretch 1.8", ("b", "KerasHub"): "1.6, stretch 2.0"}
PEER_GOAL = {"PyTorch": "2.0"}
SHARE_GOAL = {("a", "float32"): "70%", ("a", "mixed_bfloat16"): "60%"}


def print_results(results: Sequence[dict[str, Any]], about: str) -> None:
    """Prints what `train.measure` returned, a section for each case and policy.

    Args:
        results: see there.
        about: how it was measured.
    """
    table = Table(title=f"{_versions()}; {_processor()}; {about}", caption=_caption(results))
    table.add_column("case")
    for name in ("tokens/s", "lowest to highest", "ours is faster", "lowest to highest", "to reach"):
        table.add_column(name, justify="right")
    for name in ("GFLOP/s", "share of peak", "to reach"):
        table.add_column(name, justify="right")
    for result in results:
        for row in _rows(result):
            table.add_row(*row)
        table.add_section()
    Console(width=max(Console().width, WIDTH)).print(table)


def better_of_each(result: dict[str, Any]) -> set[str]:
    """Returns the contenders that count: of each family the one with the highest median."""
    best: dict[str, str] = {}
    rates = result["tokens_per_second"]
    for name in rates:
        family = name.partition(",")[0]
        if family not in best or statistics.median(rates[name]) > statistics.median(rates[best[family]]):
            best[family] = name
    return set(best.values())


def _rows(result: dict[str, Any]) -> list[list[str]]:
    case, policy, rates = result["case"], result["policy"], result["tokens_per_second"]
    counts, rows = better_of_each(result), []
    for name, found in rates.items():
        middle, family = statistics.median(found), name.partition(",")[0]
        flops = middle * result["flops_per_token"]
        times = growth = goal = ""
        if "ours" in rates and name != "ours":
            seconds = {who: [1 / rate for rate in rates[who]] for who in ("ours", name)}
            ratio, each = ratios({"ours": seconds["ours"], "peer": seconds[name]})
            times, growth = f"{ratio:.2f}", f"{min(each):.2f} to {max(each):.2f}"
            goal = GOALS.get((case, family), PEER_GOAL.get(family, "")) if name in counts else "(not its best)"
        share = SHARE_GOAL.get((case, policy), "") if name == "ours" else ""
        row = [f"({case}) {policy}: {name}", f"{middle:,.0f}", f"{min(found):,.0f} to {max(found):,.0f}"]
        rows.append([*row, times, growth, goal, f"{flops / 1e9:.0f}", f"{flops / result['peak']:.0%}", share])
    peak = f"{result['peak'] / 1e9:.0f}"
    rows.append([f"({case}) {policy}: matrix product, the best", "", "", "", "", "", peak, "", ""])
    return rows


def _caption(results: Sequence[dict[str, Any]]) -> str:
    cases = {result["case"]: result for result in results}
    return "\n".join(
        f"({name}) {result['about']}; {result['flops_per_token'] / 1e6:.1f} MFLOP a target token"
        for name, result in cases.items()
    )


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
