"""Lets clients in at one port of the loopback interface, or refuses them, and never loses the port."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 128


@dataclass(frozen=True, slots=True)
class _Door:
    """A listening socket with the thread that accepts, and what tells that thread to close it."""

    thread: threading.Thread
    bell: socket.socket


class Listener:
    """A port that can be closed and opened again.

    Args:
        port: Which; 0 for a free one.
        admit: Gets each accepted connection, in the accepting thread; owns it from then on.
    """

    def __init__(self, port: int, admit: Callable[[socket.socket], None]) -> None:
        self._admit = admit
        self._lock = threading.RLock()  # the door and the reasons to keep it shut
        self._door: _Door | None = None
        self._reasons: set[object] = set()
        if port:
            _bound(port, shared=False).close()  # refuses a port that somebody else listens at
        # Bound and never listening: while the door is shut, nobody else is given the port.
        self._reservation = _bound(port)
        self.port: int = self._reservation.getsockname()[1]
        self._open()

    def down(self, reason: object) -> None:
        """Refuse connections, from now until every reason for that has gone."""
        with self._lock:
            self._reasons.add(reason)
            self._shut()

    def up(self, reason: object) -> None:
        """Take back a reason; connections are let in again if it was the last one."""
        with self._lock:
            self._reasons.discard(reason)
            if not self._reasons and self._door is None:
                self._open()

    def close(self) -> None:
        """Refuse connections for good, and give the port back."""
        self.down(self)
        self._reservation.close()

    def _open(self) -> None:
        listening = _bound(self.port)
        listening.listen(_BACKLOG)
        listening.settimeout(0)
        bell, rope = socket.socketpair()
        thread = threading.Thread(
            target=self._accept, args=(listening, bell), name="fault-server", daemon=True
        )
        self._door = _Door(thread, rope)
        thread.start()

    def _shut(self) -> None:
        if self._door is not None:
            with self._door.bell as rope:
                rope.send(b"!")
            self._door.thread.join()
            self._door = None

    def _accept(self, listening: socket.socket, bell: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, listening, bell:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            while all(key.fileobj is not bell for key, _ in selector.select()):
                try:
                    connection, _ = listening.accept()
                except OSError:
                    continue  # the client was gone before it was let in
                self._admit(connection)


def _bound(port: int, *, shared: bool = True) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections may linger from before
        if shared and hasattr(socket, "SO_REUSEPORT"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound
