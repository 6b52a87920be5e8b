"""The curve file: what a kill leaves can be read, and a resumed training goes on where it was taken up."""

from __future__ import annotations

from pathlib import Path

from keras_transformer.training.curve import Curve, read_curve


def test_points_come_back(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    assert read_curve(path) == []
    curve = Curve(path, 0)
    assert not path.exists()
    curve.append(25, {"train/loss": 6.123456789, "train/gradient_norm": float("nan")})
    curve.append(50, {"train/loss": 5.0})
    assert path.read_text() == (
        '{"step": 25, "train/loss": 6.12346, "train/gradient_norm": null}\n{"step": 50, "train/loss": 5.0}\n'
    )
    assert read_curve(path)[1] == {"step": 50, "train/loss": 5.0}


def test_a_resumed_training_makes_its_points_again(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    first = Curve(path, 0)
    for step in (25, 50, 75):
        first.append(step, {"train/loss": 1.0})
    with open(path, "a") as file:
        file.write('{"step": 100, "train/lo')  # killed here
    assert [point["step"] for point in read_curve(path)] == [25, 50, 75]
    again = Curve(path, 50)
    again.append(75, {"train/loss": 2.0})
    assert [(point["step"], point["train/loss"]) for point in read_curve(path)] == [(25, 1), (50, 1), (75, 2)]


def test_what_is_no_point_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text('[1]\n{"loss": 2}\n{"step": "3"}\n\n{"step": 4}\n\x00\n')
    assert read_curve(path) == [{"step": 4}]
