"""A server on loopback whose network breaks as its script says: what all services in here have in common."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from holdfast.errors import InvalidCall
from holdfast.testing.faultscript import Chances, Fault, FaultScript
from holdfast.testing.faultserver.books import Books, LogEntry, Stats
from holdfast.testing.faultserver.exchange import Exchange
from holdfast.testing.faultserver.listener import HOST, Listener
from holdfast.testing.faultserver.served import Refusal, Service
from holdfast.testing.faultserver.wire import Wire


def utc_now() -> datetime:
    """Return the present time (aware, UTC)."""
    return datetime.now(UTC)


class Host:
    """Lets clients in to a service, breaks their connections as planned or drawn, and keeps the books.

    Args:
        service: Does what is asked for.
        refusal: How the service says no; the faults that have a status speak its language.
        chances: What may befall requests, e.g. ``"drop_after=0.1,503=0.1:2*3"``; see :class:`FaultKind`.
        seed: Another seed is another story.
        port: Which port of 127.0.0.1; 0 for a free one.
        log_path: A file that each committed change is appended to before the client is answered.
        clock: What time it is (aware, UTC), for ``Date``, ``Retry-After`` and the log.

    Raises:
        InvalidCall: The chances cannot be read.
    """

    def __init__(
        self,
        service: Service,
        refusal: Refusal,
        *,
        chances: Chances,
        seed: int,
        port: int,
        log_path: str | os.PathLike[str] | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._wanted_port = port
        self._log_path = log_path
        self._stopping = threading.Event()
        self._books = Books(clock)
        self._script = FaultScript(chances, seed=seed)
        self._exchange = Exchange(
            script=self._script,
            service=service,
            books=self._books,
            clock=clock,
            go_down=self._go_down,
            stopping=self._stopping,
            refusal=refusal,
        )
        self._listener: Listener | None = None
        self._lock = threading.Lock()  # the connections
        self._wires: dict[threading.Thread, Wire] = {}

    def start(self) -> Self:
        """Let clients in; ``with`` does it for you.

        Raises:
            InvalidCall: It was started before.
            OSError: The port is taken, or the log cannot be opened.
        """
        if self._listener is not None or self._stopping.is_set():
            raise InvalidCall("the server was started before", "make a new one")
        self._listener = Listener(self._wanted_port, self._admit)
        try:
            self._books.open(self._log_path)
        except OSError:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop: hung clients are released, all sockets closed, all threads ended. The log stays readable."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.close()
        self._abort()
        for thread in self._threads():
            if thread is not threading.current_thread():  # a webhook's consumer may close the server
                thread.join()
        self._books.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port, which stays the same until the server is closed."""
        return self._started().port

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def plan(self, *faults: Fault | str, method: str = "*", path: str = "*") -> None:
        """Say what befalls the next requests, one after another: ``plan("drop_after", "ok", "503:2*3")``.

        Args:
            faults: ``Fault.LATENCY.lasting(0.2)`` is the same as ``"latency:0.2"``.
            method: Only requests with this method.
            path: Only requests to this path, without its query; ``*`` stands for anything.

        Raises:
            InvalidCall: A text names no fault.
        """
        self._script.plan(*faults, method=method, path=path)

    @property
    def planned(self) -> int:
        """How many planned faults have befallen nobody yet."""
        return self._script.planned

    def down(self) -> None:
        """Refuse connections and end all that are open, until :meth:`up`; the port is kept."""
        self._started().down(self)
        self._abort()

    def up(self) -> None:
        """Let clients in again after :meth:`down`."""
        self._started().up(self)

    @property
    def log(self) -> tuple[LogEntry, ...]:
        """Every change that was asked for, oldest first, and whether it was committed."""
        return self._books.entries

    @property
    def requests(self) -> int:
        """How many requests arrived, the dropped ones included."""
        return self._books.requests

    def stats(self) -> Stats:
        """Return how much happened."""
        return self._books.stats()

    def _started(self) -> Listener:
        if self._listener is None:
            raise InvalidCall("the server is not started", "use it with `with`, or call start()")
        return self._listener

    def _admit(self, connection: socket.socket) -> None:
        wire = Wire(connection)
        thread = threading.Thread(target=self._serve, args=(wire,), name="fault-server-client", daemon=True)
        with self._lock:
            self._wires[thread] = wire
        thread.start()

    def _serve(self, wire: Wire) -> None:
        try:
            self._exchange.serve(wire)
        finally:
            wire.close()
            with self._lock:
                del self._wires[threading.current_thread()]

    def _go_down(self, seconds: float) -> None:
        reason = object()  # of this one alone: down() of the user's may last longer
        listener = self._started()
        listener.down(reason)
        self._abort()
        self._stopping.wait(seconds)
        listener.up(reason)

    def _abort(self) -> None:
        with self._lock:
            wires = list(self._wires.values())
        for wire in wires:
            wire.abort()

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._wires)
