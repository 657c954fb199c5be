"""The fault server comes, goes down, comes back and ends, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from holdfast.errors import InvalidCall
from holdfast.testing import FakeClock
from holdfast.testing.faultserver import FaultServer
from testing.raw_http import ask, connect, everything, request, serving, told, until


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(seed=7, clock=FakeClock()) as running:
        yield running


def test_a_hung_request_is_released_when_the_server_stops() -> None:
    with FaultServer() as server, connect(server) as connection:
        server.plan("hang_after")
        connection.sendall(request())
        until(lambda: server.log)
        server.close()

        assert connection.recv(1) == b""
        assert len(server.commits()) == 1


def test_while_down_connections_are_refused_and_open_ones_are_ended(server: FaultServer) -> None:
    """TST-15: and afterwards it is where it was."""
    url = server.url
    with connect(server) as kept_alive:
        kept_alive.sendall(request(close=False))
        kept_alive.recv(65536)
        server.down()
        ended = everything(kept_alive)
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    server.up()
    status, _ = told(ask(server, request("GET", "/v1/charges")))

    assert ended == b""
    assert (status, server.url) == (200, url)


def test_while_down_nobody_else_is_given_the_port(server: FaultServer) -> None:
    server.down()

    with socket.socket() as intruder, pytest.raises(OSError, match="in use"):
        intruder.bind(("127.0.0.1", server.port))


def test_the_fault_down_takes_the_server_away(server: FaultServer) -> None:
    """TST-15: the request is not done, the next ones are refused."""
    server.plan("down:600")
    answer = ask(server, request())
    with pytest.raises(ConnectionRefusedError):
        connect(server)

    assert answer == b""
    assert [entry.committed for entry in server.log] == [False]


def test_after_the_fault_down_the_server_comes_back_by_itself(server: FaultServer) -> None:
    """TST-15."""
    server.plan("down:0.05")
    ask(server, request())
    until(lambda: not serving())
    status, _ = told(ask(server, request()))

    assert status == 200
    assert [entry.committed for entry in server.log] == [False, True]


def test_a_users_down_outlasts_the_fault_down(server: FaultServer) -> None:
    server.plan("down:0.02")
    ask(server, request())
    server.down()
    until(lambda: not serving())

    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_close_leaves_nothing_behind() -> None:
    """TST-15: no thread, no socket, no port; the log stays readable."""
    before = {*threading.enumerate()}
    server = FaultServer().start()
    server.plan("hang_before", "hang_after", "latency:600", "drip:600")
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(6)]
        for number, client in enumerate(clients[:4]):
            client.sendall(request(key=f"k{number}"))
        clients[4].sendall(request()[:20])  # the last one sends nothing
        port = server.port
        until(lambda: server.requests == 4 and len(serving()) == 6)
        server.close()
        server.close()
        ends = [everything(client) for client in clients]
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()

    assert {*threading.enumerate()} <= before
    assert sum(end == b"" for end in ends) >= 5  # the head of the drip was sent
    assert len(server.log) == 4


def test_a_server_is_started_once_and_before_it_is_used() -> None:
    server = FaultServer()
    with pytest.raises(InvalidCall, match="not started"):
        _ = server.url
    with server, pytest.raises(InvalidCall, match="before"):
        server.start()
    with pytest.raises(InvalidCall, match="before"):
        server.start()


def test_a_port_that_is_taken_is_refused(server: FaultServer) -> None:
    with pytest.raises(OSError, match="in use"):
        FaultServer(port=server.port).start()

    assert told(ask(server, request()))[0] == 200


def test_a_log_that_cannot_be_opened_leaves_nothing_behind(tmp_path) -> None:
    before = {*threading.enumerate()}

    with pytest.raises(FileNotFoundError):
        FaultServer(log_path=tmp_path / "absent" / "log").start()

    assert {*threading.enumerate()} <= before
