"""HTTP by hand, to see every byte and how a connection ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from holdfast.testing.faultserver import FaultServer

PATIENCE_S: Final = 30.0
"""After this long an answer is lost, not slow."""


def connect(server: FaultServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def request(
    method: str = "POST",
    path: str = "/v1/charges",
    *,
    key: str | None = "k1",
    body: Any = None,
    close: bool = True,
) -> bytes:
    """A request as bytes; a charge of 100 unless told otherwise."""
    fallback = {"amount": 100} if method == "POST" else None
    content = body if body is not None else fallback
    payload = b"" if content is None else json.dumps(content).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(payload)}"]
    lines += [f"Idempotency-Key: {key}"] * (key is not None) + ["Connection: close"] * close
    return "\r\n".join([*lines, "", ""]).encode() + payload


def everything(connection: socket.socket) -> bytes:
    """All bytes until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(server: FaultServer, sent: bytes) -> bytes:
    """Send *sent* on a connection of its own and return all that comes back."""
    with connect(server) as connection:
        connection.sendall(sent)
        return everything(connection)


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in small letters) and body of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return int(start.split(" ")[1]), {name.lower(): value for name, value in pairs}, body


def told(answer: bytes) -> tuple[int, Any]:
    """Status and JSON of one answer."""
    status, _, body = parsed(answer)
    return status, json.loads(body)


def until(come_true: Callable[[], object]) -> None:
    """Return once something that another thread or process does has come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not come_true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def serving() -> list[threading.Thread]:
    """The threads in which fault servers of this process attend to clients."""
    return [thread for thread in threading.enumerate() if thread.name == "fault-server-client"]
