"""`train --list`, and that the header of every config states what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_transformer.cli import main
from keras_transformer.cli.catalogue import catalogue, header
from keras_transformer.cli.discovery import RECIPES, config_names, recipe_names

CONFIGS = [(task, name) for task in recipe_names() for name in config_names(task)]


def test_header(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# train x    (quick)\n# Score: 9,\n#   of 10.\n#\n# More.\ndata: x\n# not this\n")
    assert header(path) == ["train x (quick)", "Score: 9, of 10.", "More."]


@pytest.mark.parametrize(("task", "name"), CONFIGS)
def test_every_header_states_command_hardware_time_and_score(task: str, name: str) -> None:
    command, *facts = header(RECIPES / task / "configs" / f"{name}.yaml")
    assert command.startswith(f"keras-transformer train {task} --config {name} ")
    told = " ".join(facts)
    assert all(word in told for word in ("Hardware: ", "Time: ", "Score")), told


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list"]) == 0
    listed = capsys.readouterr().out
    assert listed == catalogue() + "\n"
    for task, name in CONFIGS:
        assert f"\n  {name}\n" in listed
        assert f"      keras-transformer train {task} --config {name} " in listed
    assert "translation: Machine translation: from sentence pairs to a run directory that translates." in listed
