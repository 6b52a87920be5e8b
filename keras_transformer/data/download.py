"""Downloads one file: taken up again where it was cut off, verified by SHA-256, in place only when complete.

While it is fetched the file is called `<name>.part`; the next call goes on with what a broken connection or a kill left
there. A lock lets one process at a time work in a folder, so that two never write the same part.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from keras_transformer._locks import locked
from keras_transformer.data.files import open_bytes
from keras_transformer.errors import UserError

CHUNK = 1 << 16  # Bytes read at a time.
TIMEOUT = 30.0  # Seconds without a byte from the server.


class _Failure(Exception):
    """Why a download failed, as a sentence."""


def download(url: str, path: str | os.PathLike[str], sha256: str, mend: str = "", timeout: float = TIMEOUT) -> Path:
    """Fetches `url` into the file `path` and returns it; if the file is there, it is verified and nothing is fetched.

    Args:
        url: https address. Plain http is refused, after a redirect too, except from 127.0.0.1.
        path: where the file goes; its folder is made.
        sha256: digest the file must have, lower-case hexadecimal.
        mend: what else the user can do when the file cannot be had; ends the message.
        timeout: seconds without a byte from the server before it is given up.

    Raises:
        UserError: the server cannot be reached, answers with an error, breaks off (what came is kept for the next
            call) or sends a file with another digest (it is deleted); or the file cannot be written.

    Example:
        ```python
        download("https://example.org/train.en.gz", "cache/train.en.gz", sha256="d79cfa99...")
        ```
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Without locks two processes may spoil a part, which its digest will tell.
        with locked(target.parent / ".lock"):
            if target.exists():  # Perhaps another process brought it while this one waited for the lock.
                verify(target, sha256)
            else:
                _fetch(url, part, sha256, timeout)
                os.replace(part, target)
    except _Failure as failure:
        raise UserError(f"Cannot download {url}: {failure}{mend and ' '}{mend}") from None
    except OSError as error:
        raise UserError(f"Cannot write {str(error.filename or target)!r}: {error.strerror}.") from None
    return target


def verify(path: str | os.PathLike[str], sha256: str, unpack: bool = False) -> None:
    """Checks the SHA-256 of a file, or of the content of a gzip file if `unpack`.

    Raises:
        UserError: it is another one, or the file cannot be read.
    """
    name = os.fspath(path)
    try:
        with open_bytes(name) if unpack else open(name, "rb") as file:
            found = _digest(file).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name!r} cannot be read ({error}); delete it to have it fetched again.") from None
    if found != sha256:
        content = "the content" if unpack else "it"
        raise UserError(
            f"{name!r} is damaged or of another version: {content} has SHA-256 {found}, expected {sha256}; "
            "delete it to have it fetched again."
        )


def _digest(file: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest


def _fetch(url: str, part: Path, sha256: str, timeout: float) -> None:
    """Completes `part` and checks its digest."""
    with open(part, "a+b") as file:
        file.seek(0)
        digest = _digest(file)
        if digest.hexdigest() == sha256:  # Killed between the last byte and the renaming.
            return
        response, start = _answer(url, file.tell(), timeout)
        with response:
            if start == 0:
                file.truncate(0)
                digest = hashlib.sha256()
            _receive(response, start, file, digest, Path(urlsplit(url).path).name)
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        part.unlink()
        raise _Failure(
            f"what came has SHA-256 {digest.hexdigest()}, expected {sha256}; it is deleted. Run the same again in case "
            "it was damaged on the way; else it was changed where it was published."
        )


def _receive(response: http.client.HTTPResponse, start: int, file: BinaryIO, digest: Any, name: str) -> None:
    """Appends the body to `file`; raises `_Failure` if it breaks off."""
    total = None if response.length is None else start + response.length
    received = start
    reason = ""
    with _progress(name, start, total) as advance:
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                chunk, reason = b"", f" ({_told(error)})"
            if not chunk:
                break
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            advance(len(chunk))
    if reason or (total is not None and received < total):
        of_total = "" if total is None else f" of {total:,}"
        raise _Failure(
            f"the connection broke off after {received:,}{of_total} bytes{reason}; they are kept. Run the same again "
            "to go on from there."
        )


# Asking the server


def _answer(url: str, have: int, timeout: float) -> tuple[http.client.HTTPResponse, int]:
    """Asks for what comes after the first `have` bytes; returns the response and the offset its body starts at."""
    response = _open(url, have, timeout)
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if span and int(span[1]) == have:
            return response, have
        response.close()
        response = _open(url, 0, timeout)
    return response, 0  # A server that knows no ranges sends everything.


def _open(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    """Asks for the bytes from `start` on, or for all if the server has none there."""
    _require_safe(url)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "keras-transformer"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, 0, timeout)
        if error.code // 100 == 3:
            raise _Failure(f"it is redirected in a circle or to nowhere (status {error.code}).") from None
        phrase = http.client.responses.get(error.code, "")
        raise _Failure(f"the server answered {error.code}{phrase and ' '}{phrase}.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failure(f"{_told(error)}.") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to something that can be read and changed on the way."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            _require_safe(newurl)
        except _Failure:
            fp.close()
            raise
        # Python 3.10 does not know 308, which differs from 307 only in being meant for good.
        return super().redirect_request(req, fp, 307 if code == 308 else code, msg, headers, newurl)

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


def _require_safe(url: str) -> None:
    address = urlsplit(url)
    if address.scheme == "https" or (address.scheme == "http" and address.hostname == "127.0.0.1"):
        return
    raise _Failure(f"{url!r} is not an https address, and only these are safe from changes on the way.")


def _told(error: Exception) -> str:
    """Says in one line why a connection failed."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer within the time limit"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split()).rstrip(".")


@contextlib.contextmanager
def _progress(name: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows a bar with rate and time left on a terminal, and nothing elsewhere; gives the function that moves it."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total, completed=start)
        yield lambda count: bar.advance(task, count)
