"""LISTEN, in a thread with a connection of its own: a hint that an effect or an execution has moved.

Notifications may be lost (a broken connection, a failover); waiters look again by themselves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import psycopg

from holdfast.errors import StoreError
from holdfast.stores.postgres.schema import connect

log = logging.getLogger("holdfast")
READY_S: Final = 2.0
"""How long a waiter waits for the subscription before it does without."""
_FIRST_DELAY_S: Final = 0.1
_LAST_DELAY_S: Final = 10.0


class Listener:
    """Rings for every effect that another process moved while somebody waits for it, and for executions.

    Attributes:
        ready: Done as soon as the first try to subscribe is over.
    """

    def __init__(self, where: str, ring: Callable[[str], None]) -> None:
        self._where = where
        self._ring = ring
        self._pid = os.getpid()
        self._is_over = False
        self._asleep, self._wake = socket.socketpair()
        self.ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="holdfast-listen", daemon=True)
        self._thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether it runs in this process; a fork leaves the thread behind."""
        return self._pid == os.getpid()

    def close(self) -> None:
        """Stop listening."""
        if self.is_ours:
            self._is_over = True
            with contextlib.suppress(OSError):  # it has ended already
                self._wake.send(b"x")
            self._thread.join(timeout=2)  # longer only while it connects; it ends by itself then
        self._wake.close()

    def _run(self) -> None:
        delay = _FIRST_DELAY_S
        with self._asleep:
            while not self._is_over:
                try:
                    with connect(self._where) as connection:
                        connection.execute("LISTEN holdfast")
                        delay = _FIRST_DELAY_S
                        self._tried()
                        self._listen(connection)
                except (psycopg.Error, StoreError) as error:
                    self._tried()
                    if self._is_over:
                        return
                    log.warning("not listening for outcomes, looking instead: %s", error)
                    self._pause(delay)
                    delay = min(delay * 2, _LAST_DELAY_S)

    def _tried(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _pause(self, seconds: float) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._asleep, selectors.EVENT_READ)
            waiting.select(seconds)

    def _listen(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._asleep, selectors.EVENT_READ)
            waiting.register(connection.fileno(), selectors.EVENT_READ)
            while not self._is_over:
                for notice in connection.notifies(timeout=0):
                    self._ring(notice.payload)
                waiting.select()
