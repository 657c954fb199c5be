"""Opening a SQLite file, its transactions, and its errors as ours. Blocking."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast.errors import HoldfastError, SchemaOutdated, StoreInvariant, StoreUnavailable
from holdfast.stores.migrate import migrations

MEMORY: Final = ":memory:"
BUSY_S: Final = 5.0
"""How long a write waits for another process's."""
_RETRY_S: Final = 0.01
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
)


_LASTING: Final = ("SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CORRUPT")
"""What is wrong with a file, rather than with the moment."""


def translate(error: sqlite3.Error, operation: str, key: str | None = None) -> HoldfastError:
    """Return our error for the driver's."""
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        return StoreInvariant(operation, text, key)
    if isinstance(error, sqlite3.OperationalError) and "no such table" in text:
        return SchemaOutdated((), tuple(item.name for item in migrations("sqlite")))
    name: str = getattr(error, "sqlite_errorname", "")
    return StoreUnavailable(operation, text, key, lasts=name.startswith(_LASTING))


def is_busy(error: HoldfastError) -> bool:
    """Whether another process held the file's write lock."""
    return isinstance(error, StoreUnavailable) and "locked" in error.why


def connect(path: str, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Return a new connection; *path* is absolute, or ``":memory:"``.

    Raises:
        StoreUnavailable: It cannot be opened, or is not a database.
    """
    _check_file(path)
    # Threads share the one connection of a database in memory: they must not share a statement.
    cached = 0 if path == MEMORY else 64
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(
            path, timeout=busy_s, isolation_level=None, check_same_thread=False, cached_statements=cached
        )
        for pragma in _PRAGMAS:
            _insist(db, pragma)
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise translate(error, f"open {path}") from error
    return db


@contextmanager
def looking(path: str) -> Generator[sqlite3.Connection]:
    """Open the file to look only: asking must not turn somebody else's file into one of ours."""
    _check_file(path)
    db = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
    try:
        yield db
    finally:
        db.close()


def _check_file(path: str) -> None:
    """Refuse what is there but no file: opening a pipe or a device would wait for ever."""
    if path != MEMORY and Path(path).exists() and not Path(path).is_file():
        raise StoreUnavailable(f"open {path}", "it is no regular file", lasts=True)


def _insist(db: sqlite3.Connection, pragma: str) -> None:
    """Run *pragma*; switching a new file to WAL is refused at once while another process does the same."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute(pragma)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_RETRY_S)
        else:
            return


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """Take the write lock at once, commit at the end, roll back on any error."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class Savepoint:
    """A place within a transaction that one may go back to."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def roll_back(self) -> None:
        """Take back what was written since."""
        self._db.execute("ROLLBACK TO holdfast_change")


@contextmanager
def savepoint(db: sqlite3.Connection) -> Generator[Savepoint]:
    """Mark a place in an open transaction; an error leaves it to the transaction's own end."""
    db.execute("SAVEPOINT holdfast_change")
    yield Savepoint(db)
    db.execute("RELEASE holdfast_change")


@contextmanager
def lazy(db: sqlite3.Connection) -> Generator[None]:
    """Commit meanwhile without a flush to disk: what is written survives the process, not the machine.

    The next commit that flushes takes it along. It can be neither begun nor ended inside a transaction.
    """
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        db.execute("PRAGMA synchronous = FULL")


def statements(script: str) -> Iterator[str]:
    """Split a migration; ``executescript`` would commit the surrounding transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
