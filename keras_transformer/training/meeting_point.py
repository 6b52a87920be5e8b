"""The address at which several hosts meet, tried before JAX is: what cannot work aborts it, minutes later."""

from __future__ import annotations

import socket
import sys
import time

from keras_transformer.errors import UserError

SECONDS_TO_ANSWER = 5
SECONDS_BETWEEN_TRIES = 1


def check_own(address: str) -> None:
    """Raises UserError unless this machine can be reached at the address, whose port nothing else listens at.

    Args:
        address: host and port, such as 10.0.0.1:9876.

    Example:
        ```python
        check_own("127.0.0.1:9876")
        ```
    """
    host, port = _parts(address)
    try:
        listening = _listening(port)
    except OSError as error:
        raise UserError(
            f"host 0 cannot listen at port {port}: {error.strerror}; give the first of training.hosts another port"
        ) from None
    with listening:
        try:
            socket.create_connection((host, port), SECONDS_TO_ANSWER).close()
        except OSError as error:
            raise UserError(
                f"host 0 does not reach itself at {address}: {_told(error)}; the first of training.hosts is to be an "
                "address of this machine"
            ) from None


def wait_for(address: str, host: int, seconds: float) -> None:
    """Waits until something listens at the address of the first host; says so where it does not at once.

    Raises:
        UserError: it does not within so many seconds.
    """
    end, told = time.monotonic() + seconds, False
    while True:
        try:
            socket.create_connection(_parts(address), SECONDS_TO_ANSWER).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(
                    f"host {host} does not reach host 0 at {address} in {seconds:g} s: {_told(error)}; start host 0, "
                    "and see that the first of training.hosts is its address and that no firewall is between them"
                ) from None
            if not told:
                print(f"waiting for host 0 at {address} ({_told(error)})", file=sys.stderr, flush=True)
                told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _listening(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _told(error: OSError) -> str:
    return error.strerror or str(error)
