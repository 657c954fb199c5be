"""Transactions that a handler's rows and the record of its effect share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from holdfast._core.change import Change, Committed, Conflict
from holdfast.errors import StoreInvariant
from holdfast.stores.postgres.parameters import execution
from holdfast.stores.postgres.pool import BlockingConnection, Connection
from holdfast.stores.postgres.wire import Again, answer_of, translate

Clock = Callable[[], datetime] | None
Heard = Callable[[Committed | Conflict], Committed | Conflict]
"""Rings for what was committed."""
Cursor = psycopg.AsyncRawCursor[Any] | psycopg.RawCursor[Any]
_BEGIN: Final = "begin a local effect"
_COMMIT: Final = "commit a local effect"


def _told(cursor: Cursor) -> bytes:
    """Return the function's JSON as it came; the cursor itself would hand out what it means."""
    result = cursor.pgresult
    return (None if result is None else result.get_value(0, 0)) or b"null"


def _answer(change: Change, cursor: Cursor) -> Committed | Conflict:
    answer = answer_of(change, _told(cursor))
    if isinstance(answer, Again):
        raise StoreInvariant(_COMMIT, "it was looked at slowly, and is to be again")
    return answer


class AsyncLocal:
    """A transaction on a psycopg connection, which psycopg keeps the handler from committing."""

    def __init__(
        self, connection: Connection, statements: Mapping[str, bytes], clock: Clock, heard: Heard
    ) -> None:
        self.connection = connection
        self._statements = statements
        self._clock = clock
        self._heard = heard
        self._transaction = psycopg.AsyncTransaction(connection)
        self._is_open = False

    async def begin(self) -> None:
        """Begin the transaction."""
        try:
            await self._transaction.__aenter__()
        except psycopg.Error as error:
            raise translate(error, _BEGIN) from error
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """See :attr:`holdfast.ports.LocalTransaction.is_open`."""
        return self.connection.info.transaction_status is not TransactionStatus.IDLE

    async def commit(self, change: Change) -> Committed | Conflict:
        """See :meth:`holdfast.ports.LocalTransaction.commit`."""
        prepared = execution(change, None if self._clock is None else self._clock(), slowly=True)
        try:
            async with psycopg.AsyncRawCursor(self.connection) as cursor:
                await cursor.execute(self._statements[prepared.statement], prepared.objects())
                answer = _answer(change, cursor)
            if isinstance(answer, Committed):
                self._is_open = False
                await self._transaction.__aexit__(None, None, None)
        except psycopg.Error as error:
            raise translate(error, _COMMIT) from error
        return self._heard(answer)

    async def end(self) -> None:
        """Roll back what was not committed; the connection is not lent again, somebody may still hold it."""
        if self._is_open:
            self._is_open = False
            await self.connection.close()


class BlockingLocal:
    """The same over a blocking connection."""

    def __init__(
        self, connection: BlockingConnection, statements: Mapping[str, bytes], clock: Clock, heard: Heard
    ) -> None:
        self.connection = connection
        self._statements = statements
        self._clock = clock
        self._heard = heard
        self._transaction = psycopg.Transaction(connection)
        self._is_open = False

    def begin(self) -> None:
        """Begin the transaction."""
        try:
            self._transaction.__enter__()
        except psycopg.Error as error:
            raise translate(error, _BEGIN) from error
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """See :attr:`holdfast.ports.LocalTransaction.is_open`."""
        return self.connection.info.transaction_status is not TransactionStatus.IDLE

    async def commit(self, change: Change) -> Committed | Conflict:
        """See :meth:`holdfast.ports.LocalTransaction.commit`."""
        prepared = execution(change, None if self._clock is None else self._clock(), slowly=True)
        try:
            with psycopg.RawCursor(self.connection) as cursor:
                cursor.execute(self._statements[prepared.statement], prepared.objects())
                answer = _answer(change, cursor)
            if isinstance(answer, Committed):
                self._is_open = False
                self._transaction.__exit__(None, None, None)
        except psycopg.Error as error:
            raise translate(error, _COMMIT) from error
        return self._heard(answer)

    def end(self) -> None:
        """Roll back what was not committed; the connection is not lent again, a thread may still hold it."""
        if self._is_open:
            self._is_open = False
            self.connection.close()
