"""What `report` writes: one run on one page, in Markdown or HTML. Read from the run's small files alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from keras_transformer import _markdown
from keras_transformer._files import replacing
from keras_transformer.cli.charts import Point, chart, chart_sheet
from keras_transformer.cli.outputs import check_own
from keras_transformer.cli.runs import RunSummary, read_metrics, read_summary, scores_of
from keras_transformer.errors import UserError
from keras_transformer.training.curve import read_curve
from keras_transformer.training.run_directory import RunDirectory

SUFFIXES = {".md": "markdown", ".html": "html"}
MARK = "<!-- keras-transformer report -->"  # a file that holds it may be written again
STYLE = """\
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; } svg { max-width: 100%; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { padding: .2rem .7rem; text-align: left; vertical-align: top; }
tr { border-bottom: 1px solid #8884; } pre { overflow-x: auto; padding: .7rem; background: #8882; }
"""

Table = tuple[list[str], list[list[str]]]  # head and rows


@dataclass
class Report:
    """A run, ready to be written.

    Attributes:
        summary: the run in a few numbers.
        facts: name -> value.
        evaluations: on the validation set, a row each.
        tests: scores of `evaluate`, a row each.
        charts: title -> curve -> points.
        samples: (source, reference, model).
        config: as it stands in the run.
    """

    summary: RunSummary
    facts: dict[str, str]
    evaluations: Table
    tests: Table
    charts: dict[str, dict[str, Sequence[Point]]]
    samples: list[list[str]]
    config: str


def write_report(folder: str, output: str | None = None, format: str | None = None) -> Path:
    """Writes the report of a run and returns its path.

    Args:
        folder: of the run.
        output: the file; default report.md or report.html in the run.
        format: markdown (its curves are an SVG file beside it) or html (all in one file); default by the ending of
            `output`, else markdown.

    Raises:
        UserError: the folder is no run or is damaged; the file is a picture's, is in the way or cannot be written.
    """
    run = RunDirectory(folder)
    run.check_exists()
    format = format or SUFFIXES.get(Path(output or ".md").suffix.lower(), "markdown")
    if output and Path(output).suffix.lower() == ".svg":
        better = Path(output).with_suffix(".html" if format == "html" else ".md")
        raise UserError(f"{output}: a picture, expected a report's name: give --output {better}")
    path = Path(output) if output else run.path / ("report.html" if format == "html" else "report.md")
    report = read_report(run)
    files = {path: html_page(report)}
    if format == "markdown":
        picture = path.with_suffix(".svg")
        files = {picture: MARK + "\n" + chart_sheet(report.charts), path: markdown_page(report, picture.name)}
    for each in files:
        _check_free(each)
    for each, text in files.items():
        try:
            with replacing(each, "w") as file:
                file.write(text)
        except OSError as error:
            raise UserError(f"{each}: cannot be written: {error.strerror}; give another --output") from None
    return path


def _check_free(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: a folder, expected a file to write; give --output {path / 'report.md'}")
    check_own(path, MARK, f"{path} exists already and is no report; give another --output")


def read_report(run: RunDirectory) -> Report:
    """Returns the report of a run.

    Raises:
        UserError: the run is damaged.
    """
    summary, evaluations = read_summary(run), read_metrics(run)["evaluations"]
    return Report(
        summary=summary,
        facts=_facts(summary),
        evaluations=_table(evaluations),
        tests=_test_table(run),
        charts=_charts(read_curve(run.curve), evaluations),
        samples=read_samples(run.samples),
        config=run.config.read_text(encoding="utf-8"),
    )


def _facts(run: RunSummary) -> dict[str, str]:
    facts = {
        "task": run.task,
        "state": run.state,
        "steps": f"{run.step:,} of {run.steps:,}" if run.steps else run.step,
        f"best {run.score or 'score'}": None if run.best is None else f"{run.best:.2f} at step {run.best_step:,}",
        "minutes": run.minutes,
        "target tokens a second": None if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}",
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _table(entries: Sequence[dict[str, Any]]) -> Table:
    head = list(dict.fromkeys(name for entry in entries for name in entry))
    return head, [[_shown(entry.get(name)) for name in head] for entry in entries]


def _shown(value: Any) -> str:
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
    return "" if value is None else str(value)


def _test_table(run: RunDirectory) -> Table:
    entries = []
    for path in sorted((run.path / "evaluations").glob("*.json")):
        scores = run.read_json(path)
        if isinstance(scores, dict):
            shown = {name: value for name, value in scores.items() if isinstance(value, (int, float, str))}
            entries.append({"data": path.stem, **shown})
    return _table(entries)


def _charts(
    points: Sequence[dict[str, Any]], evaluations: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Sequence[Point]]]:
    """The curves of training, and those of validation; a run without a curve file has those of its evaluations."""
    charts: dict[str, dict[str, Sequence[Point]]] = {}
    for name in dict.fromkeys(name for point in points for name in point if name != "step"):
        charts[name.removeprefix("train/").replace("_", " ").replace("/", ", ")] = {name: _curve(points, name)}
    for name in dict.fromkeys(name for entry in evaluations for name in scores_of(entry)):
        charts[f"validation, {name}"] = {name: _curve(evaluations, name)}
    for name in dict.fromkeys(name for entry in evaluations for name in entry):
        if name.startswith("train_") and not points:
            charts[name.removeprefix("train_").replace("_", " ")] = {name: _curve(evaluations, name)}
    return {title: curves for title, curves in charts.items() if any(curves.values())}


def _curve(entries: Sequence[dict[str, Any]], name: str) -> list[Point]:
    return [(entry["step"], float(entry[name])) for entry in entries if isinstance(entry.get(name), (int, float))]


def read_samples(path: Path) -> list[list[str]]:
    """Returns the (source, reference, model) of a run's samples.txt; none if there is no such file."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.findall(r"^source     (.*?)\nreference  (.*?)\nmodel      (.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    return [list(sample) for sample in found]


# The two formats


def markdown_page(report: Report, picture: str) -> str:
    """Returns the report in Markdown; `picture` is the file with its curves."""
    parts = [MARK, f"# {_markdown.cell(report.summary.run)}", _markdown.table(["", ""], list(report.facts.items()))]
    if report.tests[1]:
        parts += ["## Scores", _markdown.table(*report.tests)]
    if report.charts:
        parts += ["## Curves", f"![curves](<{picture}>)"]
    if report.evaluations[1]:
        parts += ["## Evaluations on the validation set", _markdown.table(*report.evaluations)]
    if report.samples:
        parts += ["## Samples", _markdown.table(["source", "reference", "model"], report.samples)]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", report.config)), default=0))
    parts += ["## Config", f"{fence}yaml\n{report.config.rstrip()}\n{fence}"]
    return "\n\n".join(parts) + "\n"


def html_page(report: Report) -> str:
    """Returns the report as one HTML file that needs no other."""
    title = escape(report.summary.run)
    parts = [f"<h1>{title}</h1>", _html_table(["", ""], [list(fact) for fact in report.facts.items()])]
    if report.tests[1]:
        parts += ["<h2>Scores</h2>", _html_table(*report.tests)]
    if report.charts:
        parts += ["<h2>Curves</h2>", *(chart(title, curves) for title, curves in report.charts.items())]
    if report.evaluations[1]:
        parts += ["<h2>Evaluations on the validation set</h2>", _html_table(*report.evaluations)]
    if report.samples:
        parts += ["<h2>Samples</h2>", _html_table(["source", "reference", "model"], report.samples)]
    parts += ["<h2>Config</h2>", f"<pre>{escape(report.config)}</pre>"]
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{title}</title>"
    opening = f"<!DOCTYPE html>\n{MARK}\n<html lang='en'><head>{head}<style>\n{STYLE}</style></head>\n<body>"
    return "\n".join([opening, *parts, "</body></html>\n"])


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(name)}</th>" for name in head)] if any(head) else []
    lines += ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
