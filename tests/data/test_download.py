from __future__ import annotations

import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from keras_transformer.data.download import download, verify
from keras_transformer.errors import UserError

BODY = bytes(range(256)) * 800  # 204,800 bytes: several chunks
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = BODY[::-1]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "set" / "train.en.gz"


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def write_part(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)


def failure(url: str, target: Path, **options: Any) -> str:
    """Returns the message of a download that must fail, and checks that it is one line and left no file."""
    with pytest.raises(UserError) as raised:
        download(url, target, SHA256, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert not target.exists()
    return message


def test_download(server: Any, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["/train.en.gz"] = BODY
    assert download(server.url("/train.en.gz"), target, SHA256) == target
    assert target.read_bytes() == BODY
    assert not part_of(target).exists()
    assert server.requests == [("/train.en.gz", None)]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")  # No bar where there is no terminal.


def test_bar_on_a_terminal(
    server: Any, target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the captured stream for a terminal.
    server.files["/train.en.gz"] = BODY
    download(server.url("/train.en.gz"), target, SHA256)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train.en.gz" in captured.err
    assert "204.8/204.8 kB" in captured.err


def test_a_file_that_is_there_is_verified_and_not_fetched(server: Any, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(BODY)
    assert download(server.url("/train.en.gz"), target, SHA256) == target
    target.write_bytes(OTHER)
    with pytest.raises(UserError, match="is damaged or of another version"):
        download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == OTHER
    assert server.requests == []


def test_wrong_checksum(server: Any, target: Path) -> None:
    server.files["/train.en.gz"] = OTHER
    message = failure(server.url("/train.en.gz"), target, mend="Or get it by hand.")
    assert message == (
        f"Cannot download {server.url('/train.en.gz')}: what came has SHA-256 {hashlib.sha256(OTHER).hexdigest()}, "
        f"expected {SHA256}; it is deleted. Run the same again in case it was damaged on the way; else it was changed "
        "where it was published. Or get it by hand."
    )
    assert not part_of(target).exists()


def test_cut_off_body_is_kept_and_taken_up_again(server: Any, target: Path) -> None:
    url = server.url("/train.en.gz")
    server.files["/train.en.gz"] = BODY
    server.cut = 70_000
    assert failure(url, target).startswith(
        f"Cannot download {url}: the connection broke off after 70,000 of 204,800 bytes"
    )
    assert "they are kept. Run the same again to go on from there." in failure(url, target)
    assert part_of(target).read_bytes() == BODY[:140_000]
    server.cut = None
    download(url, target, SHA256)
    assert target.read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, "bytes=70000-", "bytes=140000-"]


def test_server_without_ranges_sends_everything_again(server: Any, target: Path) -> None:
    write_part(target, OTHER[:50_000])
    server.files["/train.en.gz"] = BODY
    server.ranges = False
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["bytes=50000-"]


def test_file_changed_since_the_part_was_fetched(server: Any, target: Path) -> None:
    write_part(target, OTHER[:50_000])
    server.files["/train.en.gz"] = BODY
    assert "it is deleted. Run the same again" in failure(server.url("/train.en.gz"), target)
    assert not part_of(target).exists()
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY


def test_part_longer_than_the_file_is_fetched_anew(server: Any, target: Path) -> None:
    write_part(target, OTHER + b"more")
    server.files["/train.en.gz"] = BODY
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [f"bytes={len(OTHER) + 4}-", None]


def test_server_that_sends_another_range_is_asked_for_everything(server: Any, target: Path) -> None:
    write_part(target, BODY[:50_000])
    server.files["/train.en.gz"] = BODY
    server.shift = 1000
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["bytes=50000-", None]


def test_complete_part_needs_no_request(server: Any, target: Path) -> None:
    write_part(target, BODY)
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY
    assert server.requests == []


def test_killed_process_is_taken_up_again(server: Any, target: Path) -> None:
    server.files["/train.en.gz"] = BODY
    server.cut, server.stall = 140_000, True
    script = "import sys; from keras_transformer.data.download import download; download(*sys.argv[1:])"
    command = [sys.executable, "-c", script, server.url("/train.en.gz"), str(target), SHA256]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        deadline = time.monotonic() + 60
        while not (part_of(target).exists() and part_of(target).stat().st_size >= 65_536):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not target.exists()
    kept = part_of(target).stat().st_size
    server.cut, server.stall = None, False
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY
    assert server.requests[-1] == ("/train.en.gz", f"bytes={kept}-")


def test_two_at_once_fetch_it_once(server: Any, target: Path) -> None:
    server.files["/train.en.gz"] = BODY
    arguments = (server.url("/train.en.gz"), target, SHA256)
    threads = [threading.Thread(target=download, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BODY
    assert len(server.requests) == 1


def test_file_system_without_locks(server: Any, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    server.files["/train.en.gz"] = BODY
    assert download(server.url("/train.en.gz"), target, SHA256).read_bytes() == BODY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(server: Any, target: Path, status: int) -> None:
    server.files["/new/train.en.gz"] = BODY
    server.redirects["/train.en.gz"] = (status, "/new/train.en.gz")
    write_part(target, BODY[:1000])
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY
    assert server.requests == [("/train.en.gz", "bytes=1000-"), ("/new/train.en.gz", "bytes=1000-")]


def test_redirect_loop(server: Any, target: Path) -> None:
    server.redirects = {"/a": (302, "/b"), "/b": (302, "/a")}
    assert "it is redirected in a circle or to nowhere (status 302)." in failure(server.url("/a"), target)


@pytest.mark.parametrize("address", ["http://example.org/train.en.gz", "ftp://example.org/train.en.gz"])
def test_redirect_to_an_unsafe_address(server: Any, target: Path, address: str) -> None:
    server.redirects["/train.en.gz"] = (302, address)
    message = failure(server.url("/train.en.gz"), target)
    assert f"'{address}' is not an https address, and only these are safe from changes on the way." in message


@pytest.mark.parametrize("url", ["http://example.org/a", "http://127.0.0.1.example.org/a", "file:///etc/passwd", "a"])
def test_unsafe_address(target: Path, url: str) -> None:
    assert f"Cannot download {url}: '{url}' is not an https address" in failure(url, target)


@pytest.mark.parametrize(("status", "told"), [(404, "404 Not Found"), (403, "403 Forbidden"), (599, "599")])
def test_error_status(server: Any, target: Path, status: int, told: str) -> None:
    server.statuses["/train.en.gz"] = status
    message = failure(server.url("/train.en.gz"), target, mend="Or get it by hand.")
    assert message == (f"Cannot download {server.url('/train.en.gz')}: the server answered {told}. Or get it by hand.")


def test_error_status_keeps_the_part(server: Any, target: Path) -> None:
    write_part(target, BODY[:1000])
    assert "503 Service Unavailable" in failure(_with_status(server, 503), target)
    assert part_of(target).read_bytes() == BODY[:1000]


def _with_status(server: Any, status: int) -> str:
    server.statuses["/train.en.gz"] = status
    return server.url("/train.en.gz")


def test_server_that_falls_silent(server: Any, target: Path) -> None:
    server.files["/train.en.gz"] = BODY
    server.cut, server.stall = 65_536, True
    message = failure(server.url("/train.en.gz"), target, timeout=1.0)
    assert "broke off after 65,536 of 204,800 bytes (no answer within the time limit)" in message
    assert part_of(target).read_bytes() == BODY[:65_536]


def test_server_that_never_answers(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        assert failure(url, target, timeout=0.2) == f"Cannot download {url}: no answer within the time limit."


def test_unreachable(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
    assert failure(url, target, mend="By hand?") == f"Cannot download {url}: Connection refused. By hand?"


def test_not_http_at_all(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as strange:

        def greet() -> None:
            connection, _ = strange.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        message = failure(f"http://127.0.0.1:{strange.getsockname()[1]}/a", target)
        thread.join()
    assert message.endswith("220 mail.example.org ready.")


def test_folder_that_cannot_be_made(server: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"Cannot write '.*cache': File exists\."):
        download(server.url("/a"), tmp_path / "cache" / "a", SHA256)


def test_full_disk_keeps_what_was_written(server: Any, target: Path) -> None:
    server.files["/train.en.gz"] = BODY
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # Writing more fails, as on a full disk.
    try:
        message = failure(server.url("/train.en.gz"), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == f"Cannot write '{target}': File too large."
    download(server.url("/train.en.gz"), target, SHA256)
    assert target.read_bytes() == BODY


def test_verify(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(BODY)
    verify(path, SHA256)
    with pytest.raises(UserError) as raised:
        verify(path, "0" * 64)
    assert str(raised.value) == (
        f"'{path}' is damaged or of another version: it has SHA-256 {SHA256}, expected {'0' * 64}; "
        "delete it to have it fetched again."
    )
    os.remove(path)
    with pytest.raises(UserError, match="cannot be read"):
        verify(path, SHA256)
