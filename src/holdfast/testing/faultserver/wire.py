"""HTTP/1.1 over one socket, with control over every byte and over how the connection ends."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

_LARGEST_HEAD_BYTES: Final = 1 << 16
_LARGEST_BODY_BYTES: Final = 1 << 24
_SHORTEST_S: Final = 0.001
_PIECE_BYTES: Final = 1 << 16
_END_OF_HEAD: Final = b"\r\n\r\n"
_END_OF_LINE: Final = b"\r\n"
#: SO_LINGER, on, for 0 seconds: close() discards what is unsent and sends RST instead of FIN.
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class BrokenOff(Exception):
    """The client left in the middle of a request."""


class Gone(Exception):
    """The client left before it was answered."""


class Unreadable(Exception):
    """What the client sent is no HTTP that this server reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks for.

    Attributes:
        method: In capitals.
        path: Without the query.
        query: What follows ``?``, as it was sent.
        headers: By names in small letters; of repeated ones the last.
        body: Its bytes, without chunks.
        keeps_alive: Whether the client may send another one on this connection.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    keeps_alive: bool

    @property
    def key(self) -> str | None:
        """The ``Idempotency-Key``, ``None`` when there is none."""
        return self.headers.get("idempotency-key")

    @property
    def digest(self) -> str:
        """SHA-256 of the body's bytes, in hex."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def changes(self) -> bool:
        """Whether it asks for a change."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}


class Payload(Protocol):
    """What goes back over the wire."""

    @property
    def ends(self) -> bool:
        """Whether the connection ends after it, and in the middle of it if it is not whole."""
        ...

    def encode(self, request: Request | None, now: datetime) -> tuple[bytes, bytes]:
        """Return head and body; a HEAD request gets no body."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client gets.

    Attributes:
        status: The HTTP status.
        body: JSON.
        headers: Besides those that every answer has.
        ends: Whether the connection ends after it.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    ends: bool = False

    def encode(self, request: Request | None, now: datetime) -> tuple[bytes, bytes]:
        """Return head and body as they go over the wire; a HEAD request gets no body."""
        payload = json.dumps(self.body).encode()
        lines = {"Content-Type": "application/json", "Content-Length": str(len(payload)), **self.headers}
        body = b"" if request is not None and request.method == "HEAD" else payload
        return head(self.status, request, now, lines), body


def head(status: int, request: Request | None, now: datetime, lines: Mapping[str, str]) -> bytes:
    """Return the head of an answer, with *lines* besides ``Date`` and ``Connection``."""
    alive = request is not None and request.keeps_alive
    every = {"Date": format_datetime(now, usegmt=True), "Connection": "keep-alive" if alive else "close"}
    fields = "".join(f"{name}: {value}\r\n" for name, value in {**every, **lines}.items())
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{fields}\r\n".encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # 529 is no status of HTTP's own
        return "Overloaded"


class Wire:
    """One connection. One thread reads and writes; any thread may :meth:`abort` it.

    Args:
        connection: The accepted socket; it is closed by :meth:`close` or :meth:`reset`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray()
        self._ending = threading.Lock()  # abort() must not reach a descriptor that close() gave back
        connection.settimeout(None)
        with suppress(OSError):  # already gone: read() will tell
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> Request | None:
        """Return the next request, ``None`` once the client has left.

        Raises:
            BrokenOff: The client left in the middle of it.
            Gone: The client left while it was told to go on sending.
            Unreadable: It is no HTTP that this server reads.
        """
        if not self._buffer and not self._receive():
            return None
        head = self._until(_END_OF_HEAD)
        try:
            start, *lines = head.decode("latin-1").split("\r\n")
            method, target, version = start.split(" ")
            pairs = [line.split(":", 1) for line in lines]
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            url = urlsplit(target)
        except ValueError:
            raise Unreadable("the head of the request") from None
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        wishes = headers.get("connection", "").lower()
        return Request(
            method=method.upper(),
            path=url.path,
            query=url.query,
            headers=headers,
            body=self._body(headers),
            keeps_alive="keep-alive" in wishes if version == "HTTP/1.0" else "close" not in wishes,
        )

    def send(self, data: bytes) -> None:
        """Send all of *data*.

        Raises:
            Gone: The client is.
        """
        try:
            self._socket.sendall(data)
        except OSError:
            raise Gone from None

    def outlast(self, seconds: float) -> None:
        """Say nothing until the client leaves, :meth:`abort` is called, or *seconds* (if not 0) passed."""
        end = time.monotonic() + seconds
        if seconds:
            self._socket.settimeout(seconds)
        while self._receive():
            self._buffer.clear()
            if seconds:
                self._socket.settimeout(max(end - time.monotonic(), _SHORTEST_S))

    def reset(self) -> None:
        """End the connection with RST, at once."""
        with self._ending, suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._socket.close()

    def close(self) -> None:
        """End the connection with FIN."""
        with self._ending:
            self._socket.close()

    def abort(self) -> None:
        """Let the thread that reads or writes here find the connection ended."""
        with self._ending, suppress(OSError):  # the client may have ended it
            self._socket.shutdown(socket.SHUT_RDWR)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks()
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _LARGEST_BODY_BYTES:
            raise Unreadable("the length of the body")
        return self._exactly(int(length))

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            try:
                size = int(self._until(_END_OF_LINE).partition(b";")[0], 16)
            except ValueError:
                raise Unreadable("the size of a chunk") from None
            if not 0 <= size <= _LARGEST_BODY_BYTES - len(body):
                raise Unreadable("the length of the body")
            if size == 0:
                while self._until(_END_OF_LINE):
                    pass  # trailers
                return bytes(body)
            body += self._exactly(size)
            self._until(_END_OF_LINE)

    def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > _LARGEST_HEAD_BYTES:
                raise Unreadable("the head of the request, which is too long")
            if not self._receive():
                raise BrokenOff
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._receive():
                raise BrokenOff
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _receive(self) -> bool:
        try:
            piece = self._socket.recv(_PIECE_BYTES)
        except OSError:
            return False  # killed or reset, aborted, or outlasted: no more will come
        self._buffer += piece
        return bool(piece)
