"""The tutorial: its commands are known, its links lead somewhere, and all of it runs, on small data."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import NamedTuple

import pytest

from keras_transformer.cli import build_parsers
from keras_transformer.config import parse_config
from keras_transformer.export.encoder_export import default_room
from keras_transformer.export.label_page import KOTLIN
from keras_transformer.export.litertjs import PACKAGES, NoRuntime, NpmPackage
from keras_transformer.recipes import classification
from tests.export.test_serving import heed_ctrl_c

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "from_csv_to_phone.md"
SMALL = {  # what makes it quick: fewer rows, and a model that learns little, of which every answer is a point
    "--output dist/messages": "--output dist/messages --force-precision",
    "--output dist/sentences": "--output dist/sentences --force-precision",
    'generated_messages("train", 4000)': 'generated_messages("train", 400)',
    'generated_pairs("train", 20000)': 'generated_pairs("train", 400)',
    "--training.minutes 3": "--training.steps 20 --model.hidden_dim 32 --model.intermediate_dim 32",
    "--training.minutes 30": "--training.steps 20 --model.hidden_dim 32 --model.intermediate_dim 32",
}


class Block(NamedTuple):
    """A block of code: its language and what is in it."""

    language: str
    code: str


def blocks() -> list[Block]:
    text = TUTORIAL.read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)]


def commands() -> list[str]:
    return [line for block in blocks() if block.language == "sh" for line in block.code.splitlines()]


def test_the_blocks_are_found() -> None:
    languages = [block.language for block in blocks()]
    assert languages.count("python") == 3
    assert languages.count("kotlin") == 1
    assert set(languages) == {"python", "sh", "kotlin"}
    names = {command.split()[1] for command in commands() if command.startswith("keras-transformer ")}
    assert names == {"train", "evaluate", "predict", "export", "benchmark", "serve"}


@pytest.mark.parametrize("command", commands())
def test_commands_are_spelled_right(command: str) -> None:
    program, name, *rest = shlex.split(command)
    if program == "python":
        assert name == "dist/messages/verify.py"
        return
    assert program == "keras-transformer"
    arguments = build_parsers()[1][name].parse_command(rest)
    if name == "train":
        recipe = importlib.import_module(f"keras_transformer.recipes.{arguments.recipe}")
        assert parse_config(recipe.Config, None, arguments.fields).run.startswith("runs/")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TUTORIAL.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (TUTORIAL.parent / link).exists()] == []


def test_the_code_for_the_app_is_that_of_the_folder() -> None:
    """The README of a classifier's folder has it, with the names and sizes of its model; here those of the defaults."""
    names = {"actor": "Classifier", "signature": "classify", "output": "probabilities"}
    room = default_room(classification.Config().max_length)
    expected = Template(KOTLIN).substitute(names, max_source_bytes=room)
    assert [block.code.strip() for block in blocks() if block.language == "kotlin"] == [expected.strip()]


def made_small(code: str) -> str:
    for long, short in sorted(SMALL.items(), key=lambda item: -len(item[0])):
        code = re.sub(re.escape(long) + r"(?!\d)", short, code)
    return code


def test_what_is_made_small_is_there() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    assert [long for long in SMALL if long not in text] == []
    assert "minutes" not in made_small("\n".join(commands()))


@pytest.mark.slow
def test_it_runs_from_the_first_line_to_the_last(tmp_path: Path, find_package: Callable[[NpmPackage], Path]) -> None:
    try:
        for package in PACKAGES:
            find_package(package)
    except NoRuntime as error:
        pytest.skip(f"LiteRT.js is not in the cache, `keras-transformer web` fetches it: {error}")
    for language, code in blocks():
        if language == "python":
            run([sys.executable, "-c", made_small(code)], tmp_path)
        elif language == "kotlin":
            readme = (tmp_path / "dist" / "messages" / "README.md").read_text(encoding="utf-8")
            assert code in readme  # as it was made for this very model
        for line in code.splitlines() if language == "sh" else ():
            program, name, *rest = shlex.split(made_small(line))
            module = ["-m", "keras_transformer.cli"] if program == "keras-transformer" else []
            command = [sys.executable, *module, name, *rest]
            if name == "serve":
                check_page(command, tmp_path)
            else:
                assert run(command, tmp_path) or name in ("train", "export")
    for name in ("messages", "sentences"):
        assert (tmp_path / "dist" / name / "web" / "index.html").is_file()


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    return done.stdout


def check_page(command: list[str], folder: Path) -> None:
    """Serves a folder at a free port, asks for its page and its manifest, and ends it as a person does."""
    pipes = {"stdout": subprocess.PIPE, "text": True, "preexec_fn": heed_ctrl_c}
    with subprocess.Popen([*command, "--port", "0"], cwd=folder, env=environment(), **pipes) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=30) as response:
            assert b"main.js" in response.read()
        with urllib.request.urlopen(address.removesuffix("web/") + "manifest.json", timeout=30) as response:
            assert json.load(response)["precisions"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
