"""A server on the loopback that answers, breaks off, hangs or vanishes, as a test's script says."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

Act = Callable[["Server", socket.socket], bool]


def answer(status: int, body: bytes = b'{"error": {"message": "x"}}', **headers: str) -> Act:
    """Answer the request, and keep the connection for the next one."""
    lines = {"content-type": "application/json", "content-length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}

    def act(server: Server, connection: socket.socket) -> bool:
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"HTTP/1.1 {status} Told\r\n{head}\r\n".encode() + body)
        return True

    return act


def half(server: Server, connection: socket.socket) -> bool:
    """Announce a hundred bytes and write ten."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n")
    connection.sendall(b'{"done": 1')
    return False


def half_chunk(server: Server, connection: socket.socket) -> bool:
    """Announce a chunk and break off within it."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf of it")
    return False


def garbage(server: Server, connection: socket.socket) -> bool:
    """Answer something that is no HTTP."""
    connection.sendall(b"+OK ready to serve\r\n\r\n")
    return False


def reset(server: Server, connection: socket.socket) -> bool:
    """Break the connection after the request has been read: it may have been done."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def unread(server: Server, connection: socket.socket) -> bool:
    """Break the connection when the request is there, but has not been read."""
    connection.recv(1, socket.MSG_PEEK)
    return reset(server, connection)


def vanish(server: Server, connection: socket.socket) -> bool:
    """Break the connection after the request has been read, and be gone: the next attempt is refused."""
    server.leave()
    return reset(server, connection)


def hang(server: Server, connection: socket.socket) -> bool:
    """Read the request and never answer."""
    server.gone.wait(30)
    return False


class Server:
    """A server on the loopback that does with each request what the script says; the last act repeats.

    Attributes:
        url: Where it listens.
        requests: First line of each request that was read.
        gone: Set when the test is over.
    """

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.gone = threading.Event()
        self._script = list(script)
        self._tls = tls
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gone.set()
        self.leave()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # clients that keep theirs would keep us waiting
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def leave(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _next(self) -> Act:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(suppress(OSError))
            stack.enter_context(connection)
            if self._script[0] is unread:
                self._next()(self, connection)
                return
            if self._tls:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            connection.settimeout(10)
            while self._read(connection) and self._next()(self, connection):
                pass

    def _read(self, connection: socket.socket) -> bool:
        text = b""
        while b"\r\n\r\n" not in text:
            if not (more := connection.recv(65536)):
                return False
            text += more
        head, _, body = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "100-continue" in headers.get("expect", ""):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        is_chunked = "chunked" in headers.get("transfer-encoding", "")
        while (
            not body.endswith(b"0\r\n\r\n")
            if is_chunked
            else len(body) < int(headers.get("content-length", 0))
        ):
            body += connection.recv(65536)
        self.requests.append(first)
        return True


def nobody() -> str:
    """The URL of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def crowded() -> Iterator[str]:
    """The URL of a port whose queue is full: connections to it are neither made nor refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
