"""A server for an artifact folder and its web page, on this machine alone unless asked otherwise.

It gives files and nothing else: no listings, no way out of the folder, no methods but GET and HEAD. Needs neither
TensorFlow nor Keras.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import socket
import socketserver
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from keras_transformer.errors import UserError
from keras_transformer.export.address import HOST, PORT
from keras_transformer.export.folder import check_folder

PAGE = "/web/"
INDEX = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".py": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
OTHER_TYPE = "application/octet-stream"
# The page loads what is in the folder, and compiles WebAssembly; nothing inline, nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # a folder may be exported again while it is served
}
IDLE_SECONDS = 60.0


class Server(ThreadingHTTPServer):
    """A server of one folder; see `make_server`.

    Attributes:
        root: the folder, links resolved.
        names: host names that a request may be for; none means any.
    """

    daemon_threads = True

    def __init__(self, root: Path, family: socket.AddressFamily, host: str, port: int, names: frozenset[str] | None):
        self.address_family = family
        self.root = root
        self.names = names
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Binds without the look-up of the machine's name that http.server makes."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """Keeps quiet: browsers break connections off."""

    @property
    def address(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}{PAGE}"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "keras-transformer"
    sys_version = ""
    timeout = IDLE_SECONDS
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def _answer(self, with_content: bool) -> None:
        if not self._is_for_us():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        if self.path.partition("?")[0] in ("/", PAGE.rstrip("/")):
            self._redirect()
            return
        path = find_file(self.server.root, self.path)
        try:
            file = None if path is None else path.open("rb")
        except OSError:
            file = None
        if path is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self._send(path, file, with_content)

    def _send(self, path: Path, file: BinaryIO, with_content: bool) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES.get(path.suffix, OTHER_TYPE))
        self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        self.end_headers()
        if with_content:
            shutil.copyfileobj(file, self.wfile, 1 << 20)

    def _redirect(self) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", PAGE)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _is_for_us(self) -> bool:
        """Returns whether the host that is asked for is this one: else another site points its name at this machine,
        to read what is served here (DNS rebinding)."""
        if self.server.names is None:
            return True
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname in self.server.names
        except ValueError:
            return False

    def end_headers(self) -> None:
        """Ends the headers of any answer, of errors too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Keeps quiet: the page says what goes wrong."""


def find_file(root: Path, target: str) -> Path | None:
    """Returns the file that a request is for, or None if there is none below `root`.

    Args:
        root: the folder, links resolved.
        target: of the request line: a path, percent-encoded, perhaps with a query.

    Example:
        ```python
        find_file(Path("/srv/dist"), "/web/")  # /srv/dist/web/index.html
        find_file(Path("/srv/dist"), "/%2e%2e/secret")  # None
        ```
    """
    path = target.partition("?")[0].partition("#")[0]
    try:
        parts = unquote(path, errors="strict").split("/")
    except UnicodeDecodeError:
        return None
    if len(parts) < 2 or parts.pop(0):
        return None
    parts[-1] = parts[-1] or INDEX
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        return None
    try:
        found = root.joinpath(*parts).resolve()  # follows links: one that leads out of the folder is found out below
        return found if found.is_relative_to(root) and found.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, links in a circle, a NUL
        return None


def make_server(folder: str | os.PathLike[str], host: str = HOST, port: int = PORT) -> Server:
    """Returns a server of an artifact folder, which listens but does not answer yet.

    Args:
        folder: the folder that export made.
        host: address to listen at. At one of this machine alone, requests for other host names are refused.
        port: 0 for any that is free.

    Raises:
        UserError: it is no artifact folder, its files are not those of its manifest, it has no page, or the address
            cannot be had.

    Example:
        ```python
        with make_server("dist/mine", port=0) as server:
            print(server.address)
            server.serve_forever()
        ```
    """
    check_folder(folder)
    root = Path(folder).resolve()
    if not (root / PAGE.strip("/") / INDEX).is_file():
        raise UserError(f"{folder} has no web page: `keras-transformer web {folder}` adds it")
    family, address = _resolved(host)
    is_own = ipaddress.ip_address(address.partition("%")[0]).is_loopback
    names = frozenset({"127.0.0.1", "::1", "localhost", address, host.lower()}) if is_own else None
    try:
        return Server(root, family, address, port, names)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"--port: {port} is in use at {host}; give another, or 0 for any that is free") from None
        raise UserError(
            f"--host: cannot listen at {host}, port {port}: {error.strerror}; this machine always has {HOST}"
        ) from None


def serve(folder: str | os.PathLike[str], host: str = HOST, port: int = PORT) -> None:
    """Serves an artifact folder until Ctrl-C, having printed where its page is; see `make_server`."""
    with make_server(folder, host, port) as server:
        print(f"{server.address} (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UserError(f"--host: {host!r} is no address of this machine") from None
    return family, str(address[0])
