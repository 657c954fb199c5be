"""Connections that are lent: at most so many, opened when needed; the last one back is the next one out."""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.schema import CONNECT, check_encoding
from holdfast.stores.postgres.wire import translate

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
BlockingConnection = psycopg.Connection[tuple[Any, ...]]


READ_S: Final = 60.0
"""How long a server may be silent about a question; a listing of a large ledger takes its time."""


async def connect(where: str, *session: bytes) -> Connection:
    """Return a new connection, on which the statements of *session* were run.

    Raises:
        StoreUnavailable: The database cannot be reached, or cannot hold all text.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(where, **CONNECT)
    except psycopg.Error as error:
        raise translate(error, "connect") from error
    except UnicodeError as error:  # a host name that is none
        raise StoreUnavailable("connect", f"its host is no name ({error})", lasts=True) from error
    try:
        check_encoding(connection.info)
        for statement in session:
            await connection.execute(statement)
    except BaseException as error:
        await connection.close()
        if isinstance(error, psycopg.Error):
            raise translate(error, "connect") from error
        raise
    return connection


class Lendable(Protocol):
    """What a pool asks of a connection."""

    @property
    def info(self) -> psycopg.ConnectionInfo: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


_T = TypeVar("_T", bound=Lendable)


def is_alive(connection: Connection | Lendable) -> bool:
    """Whether an idle connection can be lent: a server that closed it has left word in the socket."""
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        return False
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)
    return not select.select([connection.fileno()], [], [], 0)[0]


class Pool:
    """At most *size* connections of one event loop."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._slots = asyncio.Semaphore(size)
        self._free: list[Connection] = []

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Connection]:
        """Lend a connection; one that comes back broken, or inside a transaction, is closed."""
        async with self._slots:
            connection = await self._take()
            try:
                yield connection
            finally:
                if connection.info.transaction_status is TransactionStatus.IDLE:
                    self._free.append(connection)
                else:
                    await connection.close()

    async def _take(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if is_alive(connection):
                return connection
            await connection.close()
        return await self._connect()

    async def rows(
        self, statements: Sequence[bytes], values: Mapping[str, Any], operation: str
    ) -> list[tuple[Any, ...]]:
        """Run statements in a transaction of their own, in one round trip; return the rows of the last.

        Raises:
            HoldfastError: The database did not answer, or refused.
        """
        async with self.use() as connection:
            try:
                async with asyncio.timeout(READ_S):
                    *earlier, last = statements
                    if not earlier:
                        cursor = await connection.execute(last, values)
                    else:  # between two Syncs everything is one transaction
                        async with connection.pipeline():
                            for statement in earlier:
                                await connection.execute(statement, values)
                            cursor = await connection.execute(last, values)
                    return await cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise translate(error, operation) from error
            except TimeoutError as error:
                raise StoreUnavailable(operation, f"the server has not answered for {READ_S:g} s") from error

    async def close(self) -> None:
        """Close all connections that are not lent."""
        while self._free:
            await self._free.pop().close()

    def abandon(self) -> None:
        """Let go of connections whose event loop is gone."""
        while self._free:
            connection = self._free.pop()  # kept until it is closed: it would complain
            connection.pgconn.finish()


class BlockingPool(Generic[_T]):
    """At most *size* connections, shared by threads."""

    def __init__(self, connect: Callable[[], _T], size: int) -> None:
        self._connect = connect
        self._slots = threading.Semaphore(size)
        self._free: list[_T] = []

    @contextmanager
    def use(self) -> Generator[_T]:
        """Lend a connection; one that comes back broken, or inside a transaction, is closed."""
        with self._slots:
            connection = self._take()
            try:
                yield connection
            finally:
                if connection.info.transaction_status is TransactionStatus.IDLE:
                    self._free.append(connection)
                else:
                    connection.close()

    def _take(self) -> _T:
        while True:
            try:
                connection = self._free.pop()
            except IndexError:  # asking first would race with another thread
                return self._connect()
            if is_alive(connection):
                return connection
            connection.close()

    def close(self) -> None:
        """Close all connections that are not lent."""
        while self._free:
            self._free.pop().close()


def rows_of(
    connection: BlockingConnection, statements: Sequence[bytes], values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Run statements in a transaction of their own, in one round trip; return the rows of the last."""
    *earlier, last = statements
    if not earlier:
        cursor = connection.execute(last, values)
    else:
        with connection.pipeline():
            for statement in earlier:
                connection.execute(statement, values)
            cursor = connection.execute(last, values)
    return cursor.fetchall() if cursor.description else []
