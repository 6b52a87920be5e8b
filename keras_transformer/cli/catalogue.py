"""What `train --list` prints: tasks, their configs, and what each config reached, as its first lines tell."""

from __future__ import annotations

import ast
from pathlib import Path

from keras_transformer.cli.discovery import RECIPES, config_names, recipe_names


def catalogue() -> str:
    """Returns every task with its configs: the command, the hardware, the time and the score of each."""
    return "\n\n".join(_task(name) for name in recipe_names())


def header(path: Path) -> list[str]:
    """Returns what the comment at the top of a config says, an item for the command and for each fact.

    A line that is indented behind its `#` goes on with the one before.
    """
    items: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line[1:].removeprefix(" ")
        if text.startswith(" ") and items:
            items[-1] += " " + text.strip()
        elif text.strip():
            items.append(" ".join(text.split()))
    return items


def _task(name: str) -> str:
    lines = [f"{name}: {_summary(RECIPES / name / '__init__.py')}"]
    for config in config_names(name):
        command, *facts = header(RECIPES / name / "configs" / f"{config}.yaml") or [""]
        lines += ["", f"  {config}", *(f"      {item}" for item in (command, *facts) if item)]
    return "\n".join(lines)


def _summary(path: Path) -> str:
    """Returns the first line of a module's docstring, the module itself not imported."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
