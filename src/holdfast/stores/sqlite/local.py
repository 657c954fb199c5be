"""Transactions that a handler's rows and the record of its effect share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from holdfast._core.change import Change, Committed, Conflict
from holdfast.errors import InvalidTool
from holdfast.stores.sqlite.connect import translate
from holdfast.stores.sqlite.db import Database


class LocalConnection:
    """What a local effect's handler gets as ``effect.tx``: the ledger's database, without commit."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()  # a statement is either before the end or refused
        self._ended = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run one statement inside the transaction."""
        with self._lock:
            self._refuse_if_ended()
            return self._db.execute(sql, parameters)

    def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
        """Run one statement per row inside the transaction."""
        with self._lock:
            self._refuse_if_ended()
            return self._db.executemany(sql, rows)

    def end(self) -> None:
        """Refuse everything from now on: a thread that outlived its timeout may still hold this."""
        with self._lock:
            self._ended = True

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise InvalidTool(
                "this local effect's transaction has ended", "use effect.tx inside the handler only"
            )

    def commit(self) -> None:
        """Refused: the handler's rows commit together with the record."""
        what = "a local effect's handler tried to commit"
        raise InvalidTool(what, "return from the handler: its rows commit together with the record")


class Local:
    """A transaction on the ledger's file that a handler's rows and our record share."""

    def __init__(self, database: Database, db: sqlite3.Connection) -> None:
        self._database = database
        self._db = db
        self.connection = LocalConnection(db)

    @property
    def is_open(self) -> bool:
        """See :attr:`holdfast.ports.LocalTransaction.is_open`."""
        return self._db.in_transaction

    async def commit(self, change: Change) -> Committed | Conflict:
        """See :meth:`holdfast.ports.LocalTransaction.commit`."""
        self.connection.end()
        try:
            bells: list[str] = []
            answer = self._database.apply_one(self._db, change, bells)
            is_committed = isinstance(answer, Committed)
            self._db.execute("COMMIT" if is_committed else "ROLLBACK")
            self._database.bells.extend(bells if is_committed else ())
        except sqlite3.Error as error:
            raise translate(error, "commit a local effect") from error
        return answer


@asynccontextmanager
async def opened(
    database: Database, db: sqlite3.Connection, begin: Callable[[sqlite3.Connection], Any]
) -> AsyncGenerator[Local]:
    """Begin a transaction on *db*; whatever is not committed is rolled back."""
    try:
        await begin(db)
    except sqlite3.Error as error:
        raise translate(error, "begin a local effect") from error
    local = Local(database, db)
    try:
        yield local
    finally:
        local.connection.end()
        if db.in_transaction:
            db.execute("ROLLBACK")
