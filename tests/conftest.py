"""What every test runs under: no network, no machine-wide data, quiet TensorFlow, exports without a web page."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keras_transformer.export import litertjs
from keras_transformer.export.litertjs import NoRuntime, NpmPackage

# Set here, not in a fixture: test modules import TensorFlow while they are collected.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.pop("KERAS_TRANSFORMER_DATA", None)
os.environ["NPM_CONFIG_OFFLINE"] = "true"
FIND_PACKAGE = litertjs.find_package


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuses connections that leave this machine; servers on 127.0.0.1 stay reachable."""
    patch = pytest.MonkeyPatch()
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and not is_local(address):
            raise AssertionError(f"a test tried to reach the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    patch.setattr(socket.socket, "connect", connect_here)
    yield
    patch.undo()


def is_local(address: object) -> bool:
    return isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1", "localhost")


@pytest.fixture(scope="session", autouse=True)
def no_runtime() -> Iterator[None]:
    """Keeps LiteRT.js, 20 MB, out of the folders that tests export."""

    def refuse(package: NpmPackage) -> Path:
        raise NoRuntime("tests do without")

    patch = pytest.MonkeyPatch()
    patch.setattr(litertjs, "find_package", refuse)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def find_package() -> Callable[[NpmPackage], Path]:
    """What the tests of the web page have LiteRT.js from: the cache."""
    return FIND_PACKAGE
