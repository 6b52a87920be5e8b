"""Files that a command is to write: looked at before its work begins, not after."""

from __future__ import annotations

import os
from pathlib import Path

from keras_transformer.errors import UserError

START = 200  # bytes of a file within which its mark stands


def check_output(flag: str, path: str, mark: str | None = None) -> None:
    """Raises a `UserError` unless a file can be written.

    Args:
        flag: that names it: "--output".
        path: of the file.
        mark: that stands in its first lines; a file without it is somebody else's, and stays. None overwrites any.

    Example:
        ```python
        check_output("--html", "page.html", MARK)
        ```
    """
    file = Path(path).absolute()
    if not path or file.is_dir():
        raise UserError(f"{flag}: {path!r} is {'a folder' if path else 'no name'}, expected a file to write")
    if not file.parent.is_dir():
        raise UserError(f"{flag}: no folder {str(Path(path).parent)!r} to write {path!r} in")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"{flag}: {str(file.parent)!r} cannot be written to; give another {flag}")
    if mark is not None:
        check_own(file, mark, f"{flag}: {path!r} exists already and was not written by this command; give another name")


def check_own(path: Path, mark: str, message: str) -> None:
    """Raises a `UserError` with the message if there is a file that does not hold the mark, and is not empty."""
    if path.exists():
        with open(path, "rb") as file:
            start = file.read(START)
            if start and mark.encode() not in start:
                raise UserError(message)
