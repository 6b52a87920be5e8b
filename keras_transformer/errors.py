"""Errors that are the user's to mend: one clear line, exit status 2, no traceback."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave cannot be used. The message is one line: what, where, the value received, the mend.

    The command line prints it without a traceback and exits with status 2; from Python it is an ordinary exception.
    """


def refuse_unless(good: bool, name: str, value: object, wanted: str) -> None:
    """Raises a `UserError` that says what was wanted of the option `name`, unless its value is good."""
    if not good:
        raise UserError(f"{name} is {value!r}, expected {wanted}")


def close_matches(name: str, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'a' or 'b'?"` for names in `known` that resemble `name`, else an empty string."""
    return _asked(difflib.get_close_matches(name, list(known), n=3, cutoff=0.6))


def close_paths(path: str, names: Iterable[str]) -> str:
    """Returns as `close_matches` what in the folder of `path`, which has these `names`, resembles its last part."""
    folder, name = os.path.split(path)
    found = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return _asked([os.path.join(folder, match) for match in found])


def _asked(found: list[str]) -> str:
    return f" Did you mean {' or '.join(repr(match) for match in found)}?" if found else ""
