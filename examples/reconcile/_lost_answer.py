"""A wire between a client and a server that loses an answer at the worst moment: after the server has acted.

It forwards bytes and knows no protocol. ``cut_after(b"...")`` arms it: once the client has sent these bytes,
the next thing that the server says is its answer; it is dropped, and the wire is dead until it is mended.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Wire(socketserver.ThreadingTCPServer):
    """A TCP proxy on a free port of this machine."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, server: tuple[Any, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.server = server[:2]
        self.is_dead = False
        self.fatal: bytes | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        host, port = self.server_address[:2]
        return str(host), port

    def cut_after(self, sent: bytes) -> None:
        """Lose the server's answer to the request that contains *sent*, and everything from then on."""
        self.fatal = sent

    def mend(self) -> None:
        """Let everything through again."""
        self.fatal, self.is_dead = None, False


class _Connection(socketserver.BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        if self.server.is_dead:
            return
        with socket.create_connection(self.server.server) as beyond, suppress(OSError):
            self.has_sent = threading.Event()
            there = threading.Thread(target=self._there, args=(beyond,), daemon=True)
            there.start()
            while data := beyond.recv(65536):
                if self.has_sent.is_set():
                    self.server.is_dead = True
                    break
                self.request.sendall(data)
            with suppress(OSError):
                self.request.shutdown(socket.SHUT_RDWR)
            there.join()

    def _there(self, beyond: socket.socket) -> None:
        """Carry what the client sends, and watch for the bytes that the answer is lost to."""
        tail = b""
        with suppress(OSError):
            while data := self.request.recv(65536):
                fatal = self.server.fatal
                if fatal is not None:
                    tail += data
                    if fatal in tail:
                        self.has_sent.set()
                    tail = tail[-len(fatal) :]  # it may come in two pieces
                beyond.sendall(data)
            beyond.shutdown(socket.SHUT_WR)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread for the length of a ``with`` block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
