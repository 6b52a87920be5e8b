"""`keras-transformer runs` and `report`: what they tell of good, unfinished and damaged runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.cli.charts import MAX_POINTS, chart, thinned
from keras_transformer.cli.report import MARK, html_page, markdown_page, read_report, write_report
from keras_transformer.cli.runs import SIGN_OF_LIFE, print_runs, read_summary, run_folders, summary_of
from keras_transformer.errors import UserError
from keras_transformer.training.run_directory import RunDirectory

NASTY = '<script>alert(1)</script> | *b* ``` & "q"'
ENTRIES = [
    {"step": 100, "seconds": 60.0, "train_loss": 3.0, "bleu": 10.0},
    {"step": 200, "seconds": 120.0, "train_loss": 2.0, "bleu": 30.12346},
    {"step": 300, "seconds": 180.0, "train_loss": 1.5, "bleu": 29.0},
]


def make(path: Path, steps: int = 300, evaluations: Any = ENTRIES, age: float = 0.0, **training: Any) -> RunDirectory:
    run = RunDirectory(path)
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "step-00000350.npz").touch()
    limits = "".join(f"  {name}: {value}\n" for name, value in training.items())
    run.config.write_text(f"data: x\ntraining:\n  steps: {steps}\n{limits}task: translation\n...\n")
    content = {"best_step": 200, "best_score": 30.123456, "tokens_per_second": 12345.6, "evaluations": evaluations}
    run.metrics.write_text(json.dumps(content))
    run.tokenizer.mkdir()
    for path in (run.model, run.weights):
        path.touch()
    run.samples.write_text(
        f"step 300\n\nsource     {NASTY}\nreference  two\nlines\nmodel      ok\n\n", encoding="utf-8"
    )
    for path in (run.config, run.metrics, run.checkpoints):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    return run


def test_a_run_in_numbers(tmp_path: Path) -> None:
    found = read_summary(make(tmp_path / "a", steps=1000, age=2 * SIGN_OF_LIFE))
    assert vars(found) == {
        "run": str(tmp_path / "a"),
        "state": "interrupted",
        "task": "translation",
        "step": 350,
        "steps": 1000,
        "score": "bleu",
        "best": 30.1235,
        "best_step": 200,
        "minutes": 3.0,
        "tokens_per_second": 12345.6,
        "fault": None,
    }


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"steps": 300}, "finished"),
        ({"steps": 301}, "interrupted"),
        ({"steps": 301, "minutes": 3}, "finished"),
        ({"steps": 301, "minutes": "null", "patience": 2}, "interrupted"),
        ({"steps": 301, "patience": 1}, "finished"),
        ({"steps": 10, "evaluations": []}, "interrupted"),
    ],
)
def test_the_state(tmp_path: Path, options: dict[str, Any], state: str) -> None:
    assert read_summary(make(tmp_path / "a", age=2 * SIGN_OF_LIFE, **options)).state == state


def test_a_run_that_is_being_written_to_is_running(tmp_path: Path) -> None:
    run = make(tmp_path / "a", steps=1000, age=2 * SIGN_OF_LIFE)
    run.curve.write_text('{"step": 375}\n')
    assert read_summary(run).state == "running"


def test_a_run_that_a_process_trains_is_running_until_it_ends(tmp_path: Path) -> None:
    run = make(tmp_path / "a", steps=1000, age=2 * SIGN_OF_LIFE)
    run.hold()
    assert read_summary(run).state == "running"
    with pytest.raises(
        UserError, match=rf"^{run.path} is being trained by another process: wait for its end, or end i"
    ):
        RunDirectory(run.path).hold()
    run.release()
    assert read_summary(run).state == "interrupted"  # at once


def test_a_score_of_nothing_has_its_name(tmp_path: Path) -> None:
    entries = [{"step": 200, "seconds": 0.0, "target_tokens": 0, "skipped_steps": 0, "train_loss": 0.0, "bleu": 0.0}]
    run = make(tmp_path / "a", evaluations=entries)
    content = json.loads(run.metrics.read_text())
    run.metrics.write_text(json.dumps({**content, "best_score": 0.0}))
    assert read_summary(run).score == "bleu"


def test_a_folder_that_cannot_be_read_and_one_that_a_killed_process_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "a")
    make(tmp_path / ".b.1234567.tmp")
    closed = make(tmp_path / "c").path
    exists = Path.exists

    def refused(path: Path, **options: Any) -> bool:  # root may read everything
        if path.parent == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", refused)
    states = [(path.name, summary_of(path)) for path in run_folders(str(tmp_path))]
    assert [(name, summary.state) for name, summary in states] == [("a", "finished"), ("c", "damaged")]
    assert states[1][1].fault == f"{closed}/config.yaml cannot be read: Permission denied"


DAMAGES = {
    "cut config": ("config.yaml", "training: {steps: 3}\n"),
    "no YAML": ("config.yaml", "a: [\n...\n"),
    "no training": ("config.yaml", "a: 3\n...\n"),
    "text for steps": ("config.yaml", "training: {steps: many}\n...\n"),
    "aliases": ("config.yaml", "training: &t {steps: 3}\nmore: [*t, *t]\n...\n"),
    "no name": ("config.yaml", "training: {steps: 3}\ntask: [a]\n...\n"),
    "cut metrics": ("metrics.json", '{"evaluations": ['),
    "other metrics": ("metrics.json", '{"evaluations": [{"step": "1"}]}'),
    "no best step": ("metrics.json", '{"best_step": null, "best_score": 1.5, "evaluations": []}'),
    "deep": ("metrics.json", "[" * 100_000),
    "huge": ("metrics.json", '{"evaluations": [{"step": 1' + 400 * "0" + ', "seconds": 1}]}'),
}


def damage(run: RunDirectory, what: str) -> None:
    if what == "no config":
        run.config.unlink()
    elif what == "no weights":
        run.weights.unlink()
    else:
        name, text = DAMAGES[what]
        (run.path / name).write_text(text)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no config", "a: config.yaml is missing; copy it from a run with the same settings"),
        ("cut config", "a/config.yaml: damaged: its last line should be '...'"),
        ("no YAML", "a/config.yaml:2: not YAML: "),
        ("no training", "a/config.yaml: damaged: it has no section `training`"),
        ("text for steps", "a/config.yaml: damaged: training.steps is 'many', expected a number"),
        ("cut metrics", "a/metrics.json is damaged: Expecting value"),
        ("other metrics", "a/metrics.json is damaged: expected evaluations, each with its step and seconds"),
        ("aliases", "a/config.yaml:2: alias *t: write the value out instead"),
        ("no name", "a/config.yaml: damaged: task is no name"),
        ("no best step", "a/metrics.json is damaged: expected evaluations, each with its step and seconds"),
        ("deep", "a/metrics.json is damaged: "),
        ("huge", "a/metrics.json is damaged: expected evaluations, each with its step and seconds"),
        ("no weights", "a: model.weights.h5 is missing; the training has not reached its first evaluation, or"),
    ],
)
def test_a_damaged_run_is_one_line_and_the_others_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, message: str
) -> None:
    damage(make(tmp_path / "a"), what)
    make(tmp_path / "b")
    (tmp_path / "no run").mkdir()
    fault = summary_of(tmp_path / "a").fault
    assert fault is not None
    assert fault.startswith(f"{tmp_path}/{message}")
    assert "\n" not in fault
    print_runs(str(tmp_path), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == fault
    assert [line.split()[0] for line in lines[:-1] if line.endswith(" damaged")] == [f"{tmp_path}/a"]
    assert [line.split()[3:] for line in lines if f"{tmp_path}/b " in line] == [
        ["350", "of", "300", "bleu", "30.12", "200", "3.0", "12,346"]
    ]


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "b")
    make(tmp_path / "a")
    print_runs(str(tmp_path), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [(run["run"], run["best"]) for run in found] == [(f"{tmp_path}/{name}", 30.1235) for name in "ab"]


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs(str(tmp_path), as_json=False)
    assert capsys.readouterr().out == (
        f"no runs in {tmp_path}: `keras-transformer train RECIPE --run {tmp_path}/NAME` makes one\n"
    )
    print_runs(str(tmp_path), as_json=True)
    assert capsys.readouterr().out == "[]\n"


def test_a_run_itself_is_listed(tmp_path: Path) -> None:
    assert run_folders(str(make(tmp_path / "a").path)) == [tmp_path / "a"]


def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"runz: no such file or folder\. Did you mean '.*/runs'"):
        run_folders(str(tmp_path / "runz"))
    with pytest.raises(UserError, match="file: a file, expected the folder that holds the runs"):
        run_folders(str(tmp_path / "file"))
    monkeypatch.chdir(tmp_path / "runs")
    with pytest.raises(UserError, match=r"^no folder 'runs' here: give the folder that holds the runs"):
        run_folders("runs")


def test_neither_command_waits_for_tensorflow(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    code = f"""
import sys
from keras_transformer.cli import main
assert main(["runs", {str(tmp_path)!r}]) == 0
assert main(["report", {str(run.path)!r}]) == 0
assert not {{"tensorflow", "keras", "numpy", "jsonargparse"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run.path / "report.md")


# Reports


def reported(tmp_path: Path) -> RunDirectory:
    run = make(tmp_path / "a")
    (run.path / "evaluations").mkdir()
    (run.path / "evaluations" / "test.json").write_text(json.dumps({"bleu": 41.5, "search": {}, "x": NASTY}))
    points = [{"step": 25 * i, "train/loss": 5.0 / i, "train/gradient_norm": None} for i in range(1, 5)]
    run.curve.write_text("".join(json.dumps(point) + "\n" for point in points))
    return run


def test_html_is_whole_and_text_stays_text(tmp_path: Path) -> None:
    page = html_page(read_report(reported(tmp_path)))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | *b* ``` &amp; &quot;q&quot;" in page
    assert not re.search(r"(src|href)=", page)
    for text in ("30.12 at step 200", "<td>41.5</td>", ">loss</text>", ">validation, bleu</text>", "  steps: 300"):
        assert text in page
    assert "gradient norm" not in page  # it has no finite value
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_markdown_has_its_curves_beside_it(tmp_path: Path) -> None:
    run = reported(tmp_path)
    path = write_report(str(run.path))
    assert path == run.path / "report.md"
    page = path.read_text()
    assert page.startswith(f"{MARK}\n\n# ")
    assert "![curves](<report.svg>)" in page
    nasty = '\\<script\\>alert(1)\\</script\\> \\| \\*b\\* \\`\\`\\` \\& "q"'
    assert f"| {nasty} | two lines | ok |" in page
    sheet = ElementTree.fromstring((run.path / "report.svg").read_text())
    assert len(sheet) == 2  # loss, bleu
    write_report(str(run.path))  # its own files are written again
    assert sorted(p.name for p in run.path.glob("report*")) == ["report.md", "report.svg"]


def test_a_config_with_a_fence_stays_in_its_block(tmp_path: Path) -> None:
    run = reported(tmp_path)
    report = read_report(run)
    report.config = "data: '````'\n"
    assert "`````yaml\ndata: '````'\n`````" in markdown_page(report, "x.svg")


@pytest.mark.parametrize(
    ("output", "format", "name"),
    [("x.html", None, "x.html"), ("x.md", None, "x.md"), ("x.txt", None, "x.txt"), (None, "html", "report.html")],
)
def test_the_format_goes_by_the_ending(tmp_path: Path, output: str | None, format: str | None, name: str) -> None:
    run = reported(tmp_path)
    path = write_report(str(run.path), None if output is None else str(run.path / output), format)
    assert path.name == name
    assert path.read_text().startswith("<!DOCTYPE html>" if name.endswith("html") else MARK)


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    run = reported(tmp_path)
    mine = tmp_path / "mine.svg"
    mine.write_text("a drawing")
    with pytest.raises(UserError, match=r"mine\.svg exists already and is no report; give another --output"):
        write_report(str(run.path), str(tmp_path / "mine.md"))
    assert mine.read_text() == "a drawing"
    assert not (tmp_path / "mine.md").exists()
    with pytest.raises(UserError, match=r"a: a folder, expected a file to write; give --output .*a/report\.md"):
        write_report(str(run.path), str(run.path))
    with pytest.raises(
        UserError, match=r"curves\.svg: a picture, expected a report's name: give --output .*/curves\.md$"
    ):
        write_report(str(run.path), str(run.path / "curves.svg"))
    with pytest.raises(UserError, match=r"none/x\.html: cannot be written: No such file or directory; give another"):
        write_report(str(run.path), str(tmp_path / "none" / "x.html"))


def test_counts_are_no_curves(tmp_path: Path) -> None:
    run = reported(tmp_path)
    metrics = json.loads(run.metrics.read_text())
    for entry in metrics["evaluations"]:
        entry.update(examples=900, words=9000, train_loss=1.0)
    run.metrics.write_text(json.dumps(metrics))
    with run.curve.open("a") as file:
        file.write('{"step": 125, "train/loss": 1' + 400 * "0" + "}\n")
    charts = read_report(run).charts
    assert list(charts) == ["loss", "validation, bleu"]
    assert [step for step, _ in charts["loss"]["train/loss"]] == [25, 50, 75, 100]


def test_a_report_of_no_run(tmp_path: Path) -> None:
    make(tmp_path / "mine")
    with pytest.raises(UserError, match=r"no run directory '.*minne'\. Did you mean '.*/mine'\?"):
        write_report(str(tmp_path / "minne"))
    with pytest.raises(UserError, match=r"is no run directory: it has no config\.yaml"):
        write_report(str(tmp_path))


def test_a_run_before_its_first_evaluation(tmp_path: Path) -> None:
    run = make(tmp_path / "a", evaluations=[])
    run.metrics.unlink()
    run.samples.unlink()
    page = write_report(str(run.path)).read_text()
    assert "## Config" in page
    assert "## Samples" not in page


def test_charts() -> None:
    assert thinned([]) == []
    points = thinned([(float(i), float(i % 2)) for i in range(10 * MAX_POINTS)])
    assert len(points) == MAX_POINTS
    assert {value for _, value in points} == {0.5}
    drawn = chart("<x>", {"a": [(0, 1.0), (10, 3.0)], "b": [(5, 2.0), (6, float("inf"))]})
    ElementTree.fromstring(drawn)
    assert "&lt;x&gt;" in drawn
    lines = re.findall(r"<path d='M(\S+) (\S+)L(\S+) (\S+)' fill='none'", drawn)
    ((x0, y0, x1, y1),) = [[float(number) for number in line] for line in lines]
    assert (x0, x1) == (56, 408)
    assert 28 < y1 < y0 < 196
    assert drawn.count("<circle") == 1
    assert ">12,000</text>" in chart("x", {"a": [(0, 10_000.0), (1, 14_000.0)]})
