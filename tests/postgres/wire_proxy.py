"""A TCP proxy in front of PostgreSQL that counts what crosses the wire: one `ReadyForQuery`, one round trip."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class WireProxy:
    """Forwards connections to the server of *url*; ``url`` is where to connect instead."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        host = f"{parts.username}:{parts.password}@127.0.0.1:{self._listener.getsockname()[1]}"
        query = f"{parts.query}&sslmode=disable" if parts.query else "sslmode=disable"
        self.url = urlunsplit(parts._replace(netloc=host, query=query))
        self._lock = threading.Lock()
        self._round_trips = 0

    def take(self) -> int:
        """Return how many round trips there were since the last look."""
        with self._lock:
            count, self._round_trips = self._round_trips, 0
        return count

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._count, args=(server, client), daemon=True).start()

    def _count(self, server: socket.socket, client: socket.socket) -> None:
        pending = b""
        for data in _chunks(server):
            pending += data
            while len(pending) >= 5:
                length = 1 + struct.unpack("!I", pending[1:5])[0]
                if len(pending) < length:
                    break
                if pending[:1] == b"Z":
                    with self._lock:  # before it is passed on: the client may look at once
                        self._round_trips += 1
                pending = pending[length:]
            client.sendall(data)
        client.close()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    for data in _chunks(source):
        sink.sendall(data)
    sink.close()


def _chunks(source: socket.socket):
    while True:
        try:
            data = source.recv(65536)
        except OSError:
            return
        if not data:
            return
        yield data
