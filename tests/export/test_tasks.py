"""What export knows of tasks: found on disk, not listed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keras_transformer.cli.discovery import recipe_names
from keras_transformer.errors import UserError
from keras_transformer.export.tasks import find_task, task_names


def test_every_recipe_can_be_exported() -> None:
    assert set(recipe_names()) <= set(task_names())


def test_names_and_signatures_are_those_of_one_task() -> None:
    tasks = [find_task(name) for name in task_names()]
    assert [task.name for task in tasks] == task_names()
    assert len({task.signature for task in tasks}) == len(tasks)


def test_files_of_one_class_are_told_by_no_other() -> None:
    """Whatever order the classes are asked in, one alone takes a file."""
    sides = {
        "translate": (["text", "text_length"], ["text", "text_length", "score", "status"]),
        "other": (["text"], ["text"]),
    }
    signatures = {name: {"inputs": takes, "outputs": gives} for name, (takes, gives) in sides.items()}
    kinds = {find_task(name).File for name in task_names()}
    assert [kind.main_signature(signatures) for kind in kinds if kind.main_signature(signatures)] == ["translate"]


def test_a_task_is_light() -> None:
    code = (
        "from keras_transformer.export.tasks import find_task, task_names\n"
        "for name in task_names(): find_task(name)\n"
        "import sys; print(sorted({'tensorflow', 'keras', 'yaml', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_options_are_those_of_the_task() -> None:
    task = find_task("translation")
    assert task.options({}).max_source_bytes == 256
    assert task.options({"max_source_bytes": 99}).max_source_bytes == 99
    with pytest.raises(
        UserError, match=r"^max_src_bytes is no option of an export for translation\. Did you mean 'max_s"
    ):
        task.options({"max_src_bytes": 99})
