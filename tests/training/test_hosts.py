"""Two hosts, here two processes on this machine, train as one does; the loss of one is told, and resumed from."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_transformer.data import Seq2SeqBatches
from keras_transformer.errors import UserError
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.training import RunDirectory, TrainingConfig, together
from keras_transformer.training.hosts import _lost
from keras_transformer.training.meeting_point import HELLO, TAKEN, meet

SCRIPT = Path(__file__).with_name("two_hosts.py")


@pytest.fixture(scope="module")
def data(make_batches: Callable[..., Seq2SeqBatches]) -> Path:
    pytest.importorskip("jax", reason="needs the extra: pip install '.[jax]'")
    return Path(make_batches().sides[0].ids.filename).parent  # type: ignore[attr-defined]  # a memory map


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def hosts(count: int, data: Path, run: Path, steps: int = 20, die_at: int = 0) -> list[tuple[int, str, str]]:
    """Runs so many hosts, the last of which dies, and returns status, output and errors of each."""
    addresses = [f"127.0.0.1:{free_port()}", "127.0.0.1"][: 2 * (count - 1)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "KERAS_BACKEND": "jax"}
    processes = []
    for host in range(count):
        point = die_at if host == count - 1 else 0
        command = [sys.executable, SCRIPT, data, run, str(steps), str(point), str(host), *addresses]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **pipes))
    ends = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, *end) for process, end in zip(processes, ends, strict=True)]


def found(ends: list[tuple[int, str, str]]) -> list[dict[str, Any]]:
    for status, _, errors in ends:
        assert status == 0, errors[-3000:]
    return [json.loads(output) for _, output, _ in ends]  # the result alone: what Gloo says is no part of it


@pytest.mark.slow
def test_two_hosts_train_as_one(data: Path, tmp_path: Path) -> None:
    (one,) = found(hosts(1, data, tmp_path / "one"))
    translator = Seq2SeqTransformer(12, 1, 1, 8, 12, 2)  # on TensorFlow, as for an export
    translator.load_weights(RunDirectory(tmp_path / "one").weights)
    weights = b"".join(weight.tobytes() for weight in translator.get_weights())
    assert hashlib.sha256(weights).hexdigest() == one["best"]

    first, second = found(hosts(2, data, tmp_path / "two"))
    assert len(one["losses"]) == 20
    np.testing.assert_allclose(first["losses"], one["losses"], rtol=1e-4)
    assert second == first  # weights to the last bit
    assert sorted(path.name for path in (tmp_path / "two" / "checkpoints").iterdir())[-1] == "step-00000020.npz"

    (status, _, errors), (killed, _, _) = hosts(2, data, tmp_path / "lost", die_at=13)
    assert killed == -signal.SIGKILL
    assert status != 0
    assert "error: host 0 has lost another of the 2 (" in errors
    assert "what was saved is intact: start all of them again with --resume" in errors
    again = found(hosts(2, data, tmp_path / "lost"))
    assert again[0]["digest"] == again[1]["digest"] == first["digest"]
    assert again[0]["losses"] == first["losses"][10:]


def test_hosts_need_jax() -> None:
    with (
        pytest.raises(UserError, match=r"^training.hosts is given, which needs JAX: set KERAS_BACKEND=jax, not tensor"),
        together(TrainingConfig(hosts=["10.0.0.1:9876", "10.0.0.2"])),
    ):
        pass


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hosts": ["a:1"]}, r"^hosts is \['a:1'\], expected two or more, or none$"),
        ({"hosts": ["a", "b"]}, r"^hosts is \['a', 'b'\], expected the first with a port, such as 10.0.0.1:9876$"),
        ({"hosts": ["a:²", "b"]}, r"^hosts is \['a:²', 'b'\], expected the first with a port, such as 10.0.0.1:9876$"),
        ({"hosts": ["a:65536", "b"]}, r"^hosts is .*, expected the first with a port, such as 10.0.0.1:9876$"),
        ({"hosts": ["a:1", "b"], "host": 2}, r"^host is 2, expected 0 to 1, for there are 2 hosts$"),
        ({"host": 1}, r"^host is 1, expected 0, for there are no hosts$"),
        ({"hosts": ["a:1", "b"], "batch_tokens": "auto"}, r"^batch_tokens is 'auto', expected a number with several"),
    ],
)
def test_fields_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingConfig(**fields)


def test_hosts_meet(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    address, ends = f"127.0.0.1:{port}", []

    def meet_as(host: int) -> None:
        meet(address, host, 4, 60)
        ends.append(host)

    def come(host: int) -> threading.Thread:
        thread = threading.Thread(target=meet_as, args=(host,))
        thread.start()
        return thread

    def say(words: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(words)
        return connection

    early = come(1)
    until(lambda: "waiting for host 0" in capsys.readouterr().err)
    others = [come(0)]
    until(lambda: can_connect(port))
    say(b"GET / HTTP/1.1").close()  # a stranger
    say(HELLO + b"2").close()  # ended while it waits: it does not count
    until(lambda: "waiting for the other hosts" in capsys.readouterr().err)
    with say(HELLO + b"1") as twice:
        assert twice.recv(2) == TAKEN
    others += [come(3)]
    time.sleep(1)
    assert not ends
    others += [come(2)]
    for thread in (early, *others):
        thread.join(60)
    assert sorted(ends) == [0, 1, 2, 3]


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_hosts_that_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_transformer.training.meeting_point.SECONDS_TO_BE_KNOWN", 0)
    port = free_port()
    with pytest.raises(UserError, match=rf"^hosts 1, 2 of 3 did not come to 127\.0\.0\.1:{port} in 1 s: start all"):
        meet(f"127.0.0.1:{port}", 0, 3, 1)
    with pytest.raises(UserError, match=rf"^host 1 does not reach host 0 at 127\.0\.0\.1:{port} in 0 s: Conne"):
        meet(f"127.0.0.1:{port}", 1, 2, 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = rf"^host 0 cannot listen at port {port}: .*; give the first of training\.hosts another port$"
        with pytest.raises(UserError, match=message):
            meet(f"127.0.0.1:{port}", 0, 2, 1)
        with pytest.raises(UserError, match=rf"^host 1 is connected to 127\.0\.0\.1:{port} and had no word in 1 s"):
            meet(f"127.0.0.1:{port}", 1, 2, 1)  # it listens, and says nothing
    with pytest.raises(UserError, match=r"^host 0 does not reach itself at a\.\.b:\d+: "):
        meet(f"a..b:{free_port()}", 0, 2, 1)
    with pytest.raises(UserError, match=r"^host 0 does not reach itself at nowhere\.invalid:\d+: .*; the first of"):
        meet(f"nowhere.invalid:{free_port()}", 0, 2, 1)


def test_a_reason_that_repeats_itself_is_told_once() -> None:
    config = TrainingConfig(hosts=["a:1", "b"])
    told = _lost(config, "UNKNOWN: Error dispatching computation: Error dispatching computation: Gloo failed")
    assert told.startswith("host 0 has lost another of the 2 (Gloo failed); what was saved is intact: start all of ")
    assert "(no sign)" in _lost(config, "no sign")
