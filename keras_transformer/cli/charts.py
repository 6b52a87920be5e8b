"""Line charts as SVG, for reports: no library, no script, light and dark pages alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 220
LEFT, TOP, RIGHT, BOTTOM = 56, 28, 12, 24  # room around the lines
MAX_POINTS = 300
COLORS = ("#2a6fdb", "#d9480f", "#2b8a3e", "#862e9c")
STYLE = "font-family='system-ui,sans-serif' font-size='11' fill='#868e96'"


def chart(title: str, curves: dict[str, Sequence[Point]], x: int = 0, y: int = 0) -> str:
    """Returns an `<svg>` of lines over the step.

    Args:
        title: what is shown.
        curves: by name, (step, value); values that are not finite are left out.
        x, y: where it stands in an `<svg>` around it.

    Example:
        ```python
        chart("loss", {"training": [(25, 6.1), (50, 4.8)]})
        ```
    """
    kept = {name: thinned([point for point in points if math.isfinite(point[1])]) for name, points in curves.items()}
    everything = [point for points in kept.values() for point in points]
    parts = [f"<text x='{LEFT}' y='16' font-size='13' fill='#868e96'>{escape(title)}</text>"]
    if everything:
        right = max(step for step, _ in everything)
        low, high = _room(min(value for _, value in everything), max(value for _, value in everything))
        parts += _axes(right, low, high)
        for number, (name, points) in enumerate(kept.items()):
            parts += _line(points, right, low, high, COLORS[number % len(COLORS)])
            if len(kept) > 1:
                parts.append(
                    f"<text x='{WIDTH - RIGHT}' y='{16 + 13 * number}' text-anchor='end' "
                    f"fill='{COLORS[number % len(COLORS)]}'>{escape(name)}</text>"
                )
    size = f"x='{x}' y='{y}' width='{WIDTH}' height='{HEIGHT}' viewBox='0 0 {WIDTH} {HEIGHT}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {STYLE}>{''.join(parts)}</svg>"


def chart_sheet(charts: dict[str, dict[str, Sequence[Point]]], columns: int = 2) -> str:
    """Returns one `<svg>` with all charts, title -> curves, side by side."""
    rows = -(-len(charts) // columns)
    inside = "\n".join(
        chart(title, curves, WIDTH * (number % columns), HEIGHT * (number // columns))
        for number, (title, curves) in enumerate(charts.items())
    )
    size = f"width='{WIDTH * columns}' height='{HEIGHT * rows}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size}>\n{inside}\n</svg>\n"


def thinned(points: Sequence[Point]) -> list[Point]:
    """Returns at most `MAX_POINTS` points: means of neighbours."""
    width = -(-len(points) // MAX_POINTS)
    groups = [points[start : start + width] for start in range(0, len(points), width or 1)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _room(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _axes(right: float, low: float, high: float) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(low + share * (high - low), low, high)
        parts.append(f"<path d='M{LEFT} {y:.1f}H{WIDTH - RIGHT}' stroke='#868e96' stroke-opacity='.3'/>")
        parts.append(
            f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{_short(low + share * (high - low))}</text>"
        )
    for share in (0.0, 0.5, 1.0):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        parts.append(f"<text x='{x:.1f}' y='{HEIGHT - 6}' text-anchor='{anchor}'>{share * right:,.0f}</text>")
    return parts


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _line(points: Sequence[Point], right: float, low: float, high: float, color: str) -> list[str]:
    places = [(LEFT + (WIDTH - LEFT - RIGHT) * step / (right or 1), _y(value, low, high)) for step, value in points]
    if len(places) == 1:
        return [f"<circle cx='{places[0][0]:.1f}' cy='{places[0][1]:.1f}' r='3' fill='{color}'/>"]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return [f"<path d='M{path}' fill='none' stroke='{color}' stroke-width='1.5'/>"] if places else []


def _y(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))
