"""Several hosts find each other before JAX is asked to: what cannot work aborts it, minutes later, without a word.

The first host listens at its address until every other has said its number, and answers all of them at once.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

from keras_transformer.errors import UserError

HELLO = b"keras-transformer host "
GO, TAKEN = b"go", b"no"
SECONDS_TO_ANSWER = 5
SECONDS_BETWEEN_TRIES = 1
SECONDS_TO_BE_KNOWN = 10  # until a name of the first host is known to itself


def meet(address: str, host: int, count: int, seconds: float) -> None:
    """Returns, on every host, when all of them are there.

    Args:
        address: of the first host, and a port that is free there, such as 10.0.0.1:9876.
        host: number of this one.
        count: how many there are.
        seconds: to wait for the others.

    Raises:
        UserError: the first host cannot listen at the address, or another cannot reach it; one does not come.

    Example:
        ```python
        meet("10.0.0.1:9876", host=1, count=2, seconds=300)
        ```
    """
    end = time.monotonic() + seconds
    if host == 0:
        _gather(address, count, seconds, end)
    else:
        _join(address, host, seconds, end)


def _gather(address: str, count: int, seconds: float, end: float) -> None:
    arrived: dict[int, socket.socket] = {}
    told = False
    with _listening(_parts(address)[1]) as listening:
        _check_reachable(address)
        try:
            while len(arrived) < count - 1:
                if time.monotonic() > end:
                    raise UserError(
                        f"{_missing(arrived, count)} of {count} did not come to {address} in {seconds:g} s: start all "
                        "of them with the same training.hosts"
                    )
                listening.settimeout(max(min(end - time.monotonic(), SECONDS_TO_ANSWER), 0.1))
                try:
                    _receive(listening.accept()[0], arrived, count)
                except TimeoutError:
                    if not told:
                        _tell(f"waiting for {_missing(arrived, count)} of {count}")
                        told = True
                except OSError:  # it was gone before it was taken
                    continue
                for number in [number for number, connection in arrived.items() if not _is_open(connection)]:
                    arrived.pop(number).close()  # it was ended while it waited
            for connection in arrived.values():
                with suppress(OSError):
                    connection.sendall(GO)
        finally:
            for connection in arrived.values():
                connection.close()


def _receive(connection: socket.socket, arrived: dict[int, socket.socket], count: int) -> None:
    """Takes down who is at the other end, if it is one of the hosts and not there already."""
    connection.settimeout(SECONDS_TO_ANSWER)
    try:
        said = connection.recv(64)
        number = int(said.removeprefix(HELLO)) if said.startswith(HELLO) else 0
        if 0 < number < count and not (number in arrived and _is_open(arrived[number])):
            arrived[number] = connection
            return
        if 0 < number < count:
            connection.sendall(TAKEN)
    except (OSError, ValueError):
        pass
    connection.close()


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(SECONDS_TO_ANSWER)


def _missing(arrived: dict[int, socket.socket], count: int) -> str:
    numbers = [str(number) for number in range(1, count) if number not in arrived]
    return f"host{'s' * (len(numbers) > 1)} {', '.join(numbers)}"


def _join(address: str, host: int, seconds: float, end: float) -> None:
    told = False
    while True:
        try:
            with socket.create_connection(_parts(address), SECONDS_TO_ANSWER) as connection:
                if _is_let_go(connection, address, host, seconds, end):
                    return
            reason = "it does not answer as a host does"
        except (OSError, UnicodeError) as error:
            reason = _reason(error)
        if time.monotonic() > end:
            raise UserError(
                f"host {host} does not reach host 0 at {address} in {seconds:g} s: {reason}; start host 0, and see "
                "that the first of training.hosts is its address and that no firewall is between them"
            )
        if not told:
            _tell(f"waiting for host 0 at {address} ({reason})")
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def _is_let_go(connection: socket.socket, address: str, host: int, seconds: float, end: float) -> bool:
    """Says who this is and waits for an answer; returns whether it is that of a first host that has found all others.

    Raises:
        UserError: there is none in time, or another process is this host.
    """
    connection.sendall(HELLO + str(host).encode())
    told = False
    while time.monotonic() < end:
        connection.settimeout(max(min(end - time.monotonic(), SECONDS_TO_ANSWER), 0.1))
        try:
            answer = connection.recv(len(GO))
        except TimeoutError:
            if not told:
                _tell("waiting for the other hosts")
                told = True
            continue
        if answer == TAKEN:
            raise UserError(f"another process is host {host} already: give each its own training.host")
        return answer == GO
    raise UserError(
        f"host {host} is connected to {address} and had no word in {seconds:g} s: not all of the other hosts came, or "
        "what listens there is no host; start all of them with the same training.hosts"
    )


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _listening(port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"host 0 cannot listen at port {port}: {_reason(error)}; give the first of training.hosts another port"
        ) from None


def _check_reachable(address: str) -> None:
    """Raises a `UserError` unless this machine is the one at the address, where it listens; a name may take a while."""
    end = time.monotonic() + SECONDS_TO_BE_KNOWN
    while True:
        try:
            socket.create_connection(_parts(address), SECONDS_TO_ANSWER).close()
            return
        except (OSError, UnicodeError) as error:
            if time.monotonic() > end:
                raise UserError(
                    f"host 0 does not reach itself at {address}: {_reason(error)}; the first of training.hosts is to "
                    "be an address of this machine"
                ) from None
        time.sleep(SECONDS_BETWEEN_TRIES)


def _reason(error: OSError | UnicodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
