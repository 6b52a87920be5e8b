"""What `benchmark` prints: tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TIMES = {"load ms": "load_ms", "median ms": "median_ms", "p90 ms": "p90_ms"}
OF_A_SIZE = ("median ms", "p90 ms")  # of `TIMES`, for texts of a given size
LISTED = 15  # operators, of each table; the JSON has all


def benchmark_text(result: Mapping[str, Any]) -> str:
    """Returns what `benchmark` measured, as tables."""
    return "\n\n".join(_parts(result)) + "\n"


def _parts(result: Mapping[str, Any]) -> Iterator[str]:
    found = result["precisions"]
    yield f"{result['folder']}: {result['task']}; {result['processor']}, one thread"
    score = next(iter(next(iter(found.values()))["reported"]), "score")
    head = ["precision", "file", "MB", f"{score} at export", *TIMES, "memory MB", "golden answers"]
    yield text_table(head, [_row(name, measured, score) for name, measured in found.items()], left=2)
    if all("sized" in measured for measured in found.values()):
        yield f"Texts of {next(iter(found.values()))['sized']['bytes']} bytes"
        rows = [[name, *(f"{one['sized'][TIMES[column]]:.2f}" for column in OF_A_SIZE)] for name, one in found.items()]
        yield text_table(["precision", *OF_A_SIZE], rows)
    for measured in found.values():
        if "profile" in measured:
            yield f"Time of {measured['file']}, operator by operator, milliseconds for one text"
            yield _profile_table(measured["profile"])
        for signature, operators in measured.get("operators", {}).items():
            yield f"Operators of {measured['file']}, signature {signature}"
            yield _operator_table(operators)


def _row(precision: str, measured: Mapping[str, Any], score: str) -> list[str]:
    value, memory = measured["reported"].get(score), measured.get("peak_memory_bytes")
    return [
        precision,
        measured["file"],
        f"{measured['file_bytes'] / 1e6:.2f}",
        "" if value is None else f"{value:.2f}",
        *(f"{measured[name]:.2f}" for name in TIMES.values()),
        "" if memory is None else f"{memory / 1e6:.1f}",
        f"{measured['golden_equal']} of {measured['golden_inputs']}",
    ]


def _profile_table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        [
            row["operator"],
            "XNNPACK" if row["delegate"] else "",
            f"{row['calls']:,.1f}",
            f"{row['ms']:.3f}",
            f"{row['percent']:.1f}",
        ]
        for row in rows[:LISTED]
    ]
    others = rows[LISTED:]
    if others:
        calls, ms, percent = (sum(row[name] for row in others) for name in ("calls", "ms", "percent"))
        shown.append([f"{len(others)} others", "", f"{calls:,.1f}", f"{ms:.3f}", f"{percent:.1f}"])
    return text_table(["operator", "run by", "calls", "ms", "%"], shown, left=2)


def _operator_table(operators: Mapping[str, Mapping[str, int]]) -> str:
    shown = [[name, f"{entry['count']:,}", _kilobytes(entry["weight_bytes"])] for name, entry in operators.items()]
    others = list(operators.values())[LISTED:]
    if others:
        count, size = (sum(entry[name] for entry in others) for name in ("count", "weight_bytes"))
        shown[LISTED:] = [[f"{len(others)} others", f"{count:,}", _kilobytes(size)]]
    count, size = (sum(entry[name] for entry in operators.values()) for name in ("count", "weight_bytes"))
    shown.append(["all", f"{count:,}", _kilobytes(size)])
    return text_table(["operator", "count", "weights kB"], shown)


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.1f}"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Returns a table whose first columns begin at the left, the others end at the right.

    Example:
        ```python
        text_table(["operator", "count"], [["ADD", "12"]])  # "operator  count\\nADD          12"
        ```
    """
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
