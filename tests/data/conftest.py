"""A web server on 127.0.0.1 that misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class FileServer(ThreadingHTTPServer):
    """Serves `files` by path and notes every request as (path, Range header).

    Attributes:
        ranges: whether it answers Range requests with the part asked for.
        cut: breaks off each body after so many bytes, having promised all of them.
        stall: does not send the rest of a body cut short, but leaves the connection open until `release` is set.
        shift: starts a range this many bytes too late, as a broken server might.
        redirects: path -> (status, address) to send instead of a file.
        statuses: path -> status to answer with instead of a file.
    """

    daemon_threads = False  # The threads that answer are waited for at the end of each test.

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.ranges = True
        self.cut: int | None = None
        self.stall = False
        self.shift = 0
        self.redirects: dict[str, tuple[int, str]] = {}
        self.statuses: dict[str, int] = {}
        self.release = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: clients that are killed or lose patience are what the tests are about."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path in server.redirects:
            status, address = server.redirects[self.path]
            self._answer(status, b"", {"Location": address})
        elif self.path in server.statuses or self.path not in server.files:
            self._answer(server.statuses.get(self.path, 404), b"no such page", {})
        else:
            self._send(server.files[self.path])

    def _send(self, body: bytes) -> None:
        server = self.server
        asked = self.headers.get("Range")
        if asked is None or not server.ranges:
            self._answer(200, body, {})
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) + server.shift
        if start >= len(body):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            self._answer(206, body[start:], {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        server = self.server
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if server.cut is None else body[: server.cut])
        if server.stall:
            self.wfile.flush()
            server.release.wait(30)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.release.set()
        running.shutdown()
        thread.join()
