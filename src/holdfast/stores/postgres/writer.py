"""A blocking connection of the hot path: sends a batch, waits for its answer."""

from __future__ import annotations

import selectors
from collections.abc import Mapping, Sequence

import psycopg

from holdfast.stores.postgres.link import PATIENCE_S
from holdfast.stores.postgres.parameters import Sent
from holdfast.stores.postgres.pipe import Pipe, Results
from holdfast.stores.postgres.pool import BlockingConnection


class Writer:
    """Commits batches, one at a time.

    Raises:
        psycopg.Error: The connection was lost at once.
    """

    def __init__(self, connection: BlockingConnection, statements: Mapping[str, bytes]) -> None:
        self._connection = connection
        self._selector = selectors.DefaultSelector()
        self._events = selectors.EVENT_READ
        self._selector.register(connection.fileno(), self._events)
        self._pipe = Pipe(connection.pgconn, statements)
        self._pipe.start()

    @property
    def info(self) -> psycopg.ConnectionInfo:
        """What the connection is at."""
        return self._connection.info

    def fileno(self) -> int:
        """Return the socket."""
        return self._connection.fileno()

    def commit(self, executions: Sequence[Sent]) -> Results:
        """Commit a batch.

        Raises:
            psycopg.Error: The connection is gone, and whether it was committed is not known.
        """
        self._pipe.send(executions)
        return self._exchange()

    def _exchange(self) -> Results:
        try:
            while True:
                more = self._pipe.flush()
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if more else 0)
                if events != self._events:
                    self._selector.modify(self._connection.fileno(), events)
                    self._events = events
                self._wait()
                results = next(self._pipe.receive(), None)
                if results is not None:
                    return results
        except BaseException:  # interrupted half-way: what the connection is at is anybody's guess
            self.close()
            raise

    def _wait(self) -> None:
        if not self._selector.select(PATIENCE_S):
            msg = f"the server has not answered for {PATIENCE_S:g} s"
            raise psycopg.OperationalError(msg)

    def close(self) -> None:
        """Close the connection."""
        self._selector.close()
        self._connection.close()
