"""The server: what it gives, with which headers, and that nothing outside of the folder is to be had."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_transformer import cli
from keras_transformer.errors import UserError
from keras_transformer.export.serving import PAGE, Server, find_file, make_server, serve
from keras_transformer.export.verify_folder import digest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "not to be had"
FILES = {
    "model.tflite": (b"TFL3", "application/octet-stream"),
    "README.md": (b"# A", "text/markdown; charset=utf-8"),
    "golden.json": (b"{}", "application/json"),
    "saved_model/saved_model.pb": (b"pb", "application/octet-stream"),
    "web/index.html": (b"<p>page</p>", "text/html; charset=utf-8"),
    "web/main.js": (b"1", "text/javascript; charset=utf-8"),
    "web/two words.mjs": (b"2", "text/javascript; charset=utf-8"),
    "web/style.css": (b"p {}", "text/css; charset=utf-8"),
    "web/icon.svg": (b"<svg/>", "image/svg+xml"),
    "web/a.wasm": (b"\0asm", "application/wasm"),
}


def write_folder(path: Path) -> Path:
    """Writes what passes for an artifact folder."""
    for name, (content, _) in FILES.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    listed = {name: {"bytes": len(FILES[name][0]), "sha256": digest(path / name)} for name in FILES}
    precisions = {"float32": {"file": "model.tflite", "weights": "float32"}}
    manifest = {"format": "keras-transformer artifact 1", "precisions": precisions, "files": listed}
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    above = tmp_path_factory.mktemp("above")
    path = write_folder(above / "dist")
    for secret in (above / "secret.txt", above / "dist-2" / "secret.txt"):
        secret.parent.mkdir(exist_ok=True)
        secret.write_text(SECRET)
    (path / "web" / "inside.js").symlink_to("main.js")
    (path / "web" / "out.txt").symlink_to(above / "secret.txt")
    (path / "web" / "above").symlink_to(above)
    (path / "web" / "circle").symlink_to("circle")
    os.mkfifo(path / "web" / "pipe")
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with make_server(folder, port=0) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    server: Server, path: str, method: str = "GET", host: str | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def ask_raw(server: Server, line: bytes) -> bytes:
    """Sends a request line as it is: no client tidies it up."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("name", FILES)
def test_files_have_their_content_and_type(server: Server, name: str) -> None:
    content, kind = FILES[name]
    response, found = ask(server, f"/{urllib.request.pathname2url(name)}?v=1")
    assert (response.status, found) == (200, content)
    assert response.headers["Content-Type"] == kind
    assert response.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("path", ["/web/", "/missing", "/"])
def test_every_answer_has_the_policy(server: Server, path: str) -> None:
    response, _ = ask(server, path)
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["connect-src"] == policy["worker-src"] == policy["style-src"] == "'self'"
    assert "unsafe-inline" not in str(policy)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in response.headers["Server"]


@pytest.mark.parametrize("path", ["/", "/web", "/?a=b"])
def test_the_page_is_where_one_begins(server: Server, path: str) -> None:
    response, _ = ask(server, path)
    assert (response.status, response.headers["Location"]) == (302, PAGE)
    assert ask(server, PAGE)[1] == FILES["web/index.html"][0]


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/web/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/web/%2E%2E/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/web/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/../dist-2/secret.txt",
        "/web/out.txt",
        "/web/above/secret.txt",
        "/web/circle",
        "/web/pipe",
        "//../secret.txt",
        "///etc/passwd",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/etc/passwd",
        "/%00",
        "/web/%00/../main.js",
        "/%ff%fe",
        "/" + "a" * 5000,
        "secret.txt",
        "..",
        "http://127.0.0.1/web/main.js",
        "file:///etc/passwd",
        "/web/./main.js",
        "/web//main.js",
        "/web/missing.js",
        "/web/tasks/",
        "/saved_model",
        "/saved_model/",
        "/web/main.js/",
    ],
)
def test_what_is_not_a_file_of_the_folder_is_not_found(server: Server, target: str) -> None:
    answer = ask_raw(server, b"GET " + target.encode())
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 404 Not Found"
    assert answer.partition(b"\r\n\r\n")[2] == b"404 Not Found\n"


def test_a_link_within_the_folder_is_followed(server: Server) -> None:
    assert ask(server, "/web/inside.js")[1] == FILES["web/main.js"][0]


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    with make_server(link, port=0) as server:
        assert server.root == folder.resolve()
        assert find_file(server.root, "/web/main.js") == folder.resolve() / "web" / "main.js"


def test_a_request_without_sense_is_refused(server: Server) -> None:
    assert b"400 Bad " in ask_raw(server, b"\xff\xfe")  # two words: read as HTTP/0.9, which has no headers
    assert ask_raw(server, b"GET / HTTP/9.9 x").startswith(b"HTTP/1.1 400 Bad ")
    assert ask(server, "/web/")[0].status == 200  # it still answers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
def test_another_site_cannot_point_its_name_here(server: Server, host: str) -> None:
    response, content = ask(server, "/model.tflite", host=host or " ")
    assert response.status == 421
    assert FILES["model.tflite"][0] not in content


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:80"])
def test_names_of_this_machine_are_its_own(server: Server, host: str) -> None:
    assert ask(server, "/model.tflite", host=host)[0].status == 200


def test_other_methods_are_refused(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/model.tflite", method)[0].status == 501
    response, content = ask(server, "/model.tflite", "HEAD")
    assert (response.status, response.headers["Content-Length"], content) == (200, "4", b"")


def test_listens_on_this_machine_alone_unless_asked(folder: Path) -> None:
    with make_server(folder, port=0) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.address == f"http://127.0.0.1:{server.server_port}/web/"
    with make_server(folder, "0.0.0.0", 0) as server:
        assert server.server_address[0] == "0.0.0.0"
        assert server.names is None


def test_an_address_that_cannot_be_had_is_named(folder: Path, server: Server) -> None:
    taken = server.server_port
    with pytest.raises(UserError) as error:
        make_server(folder, port=taken)
    assert str(error.value) == f"--port: {taken} is in use at 127.0.0.1; give another, or 0 for any that is free"
    with pytest.raises(UserError) as error:
        make_server(folder, "no such host")
    assert str(error.value) == "--host: 'no such host' is no address of this machine"
    with pytest.raises(UserError, match=r"^--host: cannot listen at 203\.0\.113\.7, port 0: Cannot assign"):
        make_server(folder, "203.0.113.7", 0)


def test_a_folder_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no artifact folder: it has no manifest\.json"):
        make_server(tmp_path)
    folder = write_folder(tmp_path / "dist")
    (folder / "model.tflite").write_bytes(b"TFL4")
    with pytest.raises(UserError) as error:
        make_server(folder)
    assert str(error.value).startswith(f"{folder}/model.tflite is damaged: ")
    (folder / "model.tflite").write_bytes(b"TFL3")
    (folder / "web" / "index.html").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["web/index.html"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError) as error:
        make_server(folder)
    assert str(error.value) == f"{folder} has no web page: `keras-transformer web {folder}` adds it"


def test_the_command_says_what_is_wrong(
    folder: Path, server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["serve", str(folder), "--port", str(server.server_port)]) == 2
    assert capsys.readouterr().err.startswith(f"keras-transformer: error: --port: {server.server_port} is in use")
    assert cli.main(["serve", str(folder), "--port", "65536"]) == 2
    assert "expected a whole number from 0 to 65535, got '65536'" in capsys.readouterr().err
    assert cli.main(["serve", str(tmp_path / "dits")]) == 2
    assert capsys.readouterr().err == f"keras-transformer: error: {tmp_path / 'dits'}: no such file or folder.\n"


def heed_ctrl_c() -> None:
    """For a new process: one that was started in the background has Ctrl-C ignored, and its children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_command_serves_until_ctrl_c(folder: Path) -> None:
    """As a person runs it; neither TensorFlow nor Keras is imported."""
    code = f"""
import sys
from keras_transformer import cli
status = cli.main(["serve", {str(folder)!r}, "--port", "0"])
print([name for name in ("tensorflow", "keras", "ai_edge_litert") if name in sys.modules])
sys.exit(status)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heed_ctrl_c}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        first = process.stdout.readline()
        address, _, rest = first.partition(" ")
        assert address.startswith("http://127.0.0.1:")
        assert rest == "(Ctrl-C ends)\n"
        with urllib.request.urlopen(address, timeout=10) as response:
            assert response.read() == FILES["web/index.html"][0]
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out.split(), errors) == (0, ["[]"], "")


def test_ctrl_c_ends_quietly(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(self: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupt)
    serve(folder, port=0)
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 2
    assert captured.err == ""
