"""A real HTTP server on loopback that fails as real ones do, and knows what it really did."""

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
from holdfast.testing.faultserver.payments import Service
from holdfast.testing.faultserver.webhooks import Delivery, Fate, Target, Webhooks
from holdfast.testing.faultserver.wire import Wire


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FaultServer:
    """A payments service whose network breaks as you say: ``with FaultServer(seed=7) as server: server.url``.

    ``POST /v1/charges`` takes JSON or a form with an ``amount`` and an ``Idempotency-Key``;
    ``GET /v1/charges/{id}``, ``GET /v1/charges?idempotency_key=…`` (or any other field) find charges;
    ``POST`` and ``GET /v1/charges/{id}/refunds`` do the same for refunds. Any other path is a thing that
    is kept and echoed. For the same seed and order of requests everything happens the same way again.

    Args:
        chances: What may befall requests, e.g. ``"drop_after=0.1,503=0.1:2*3"``; see :class:`FaultKind`.
        seed: Another seed is another story.
        deduplicates: Whether a request with a known ``Idempotency-Key`` gets the first one's answer.
        port: Which port of 127.0.0.1; 0 for a free one.
        log_path: A file that each committed change is appended to before the client is answered.
        clock: What time it is (aware, UTC), for ``Date``, ``Retry-After`` and the log.

    Raises:
        InvalidCall: The chances cannot be read.
    """

    def __init__(
        self,
        chances: Chances = "",
        *,
        seed: int = 0,
        deduplicates: bool = True,
        port: int = 0,
        log_path: str | os.PathLike[str] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._seed = seed
        self._wanted_port = port
        self._log_path = log_path
        self._stopping = threading.Event()
        self._books = Books(clock)
        self._script = FaultScript(chances, seed=seed)
        self._exchange = Exchange(
            script=self._script,
            service=Service(deduplicates, seed),
            books=self._books,
            clock=clock,
            go_down=self._go_down,
            stopping=self._stopping,
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
            raise InvalidCall("the fault server was started before", "make a new one")
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

    def commits(self, *, path: str = "", key: str = "") -> tuple[LogEntry, ...]:
        """Return what was really done, oldest first; only at *path* and with *key* when they are given."""
        return tuple(
            entry
            for entry in self.log
            if entry.committed and path in {"", entry.path} and key in {"", entry.key}
        )

    @property
    def requests(self) -> int:
        """How many requests arrived, the dropped ones included."""
        return self._books.requests

    def stats(self) -> Stats:
        """Return how much happened."""
        return self._books.stats()

    def webhooks(self, target: Target, *fates: Fate | str, chances: str = "") -> None:
        """Tell *target* of ``charge.processing``, ``charge.succeeded`` and ``charge.refunded`` from now on.

        Events are delivered one at a time, in the order of commits unless their fate is another. What is
        due at once is delivered before the client is answered, so that a test need not wait; with several
        clients at once it may be the answer to another one of them that comes after it.

        Args:
            target: A URL on loopback for HTTP POST, or a function, called in a thread of the server.
                What it raises or answers is kept in :attr:`deliveries`; nothing is delivered again for it.
            fates: ``now``, ``twice``, ``after_next``, ``late`` or ``lost``, for one event after another.
            chances: What may become of the others, e.g. ``"late=0.2,twice=0.1"``; the rest are delivered now.

        Raises:
            InvalidCall: The target is neither, or there is no such fate.
        """
        self._exchange.webhooks = Webhooks(target, fates, chances, self._seed)

    def deliver_webhooks(self) -> tuple[Delivery, ...]:
        """Deliver all events that are held, in order; return these deliveries once they are made."""
        webhooks = self._exchange.webhooks
        return () if webhooks is None else webhooks.flush()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What was delivered, in order."""
        webhooks = self._exchange.webhooks
        return () if webhooks is None else webhooks.deliveries

    def _started(self) -> Listener:
        if self._listener is None:
            raise InvalidCall("the fault server is not started", "use it with `with`, or call start()")
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
