"""Connecting and migrating. Blocking: both stores use it, the async one from a thread."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdfast.errors import InvalidURL, StoreUnavailable
from holdfast.stores.migrate import TRACKING, Migration, migrations, outstanding, queries
from holdfast.stores.postgres.wire import translate

_LOCK: Final = 0x686F6C6466617374  # "holdfast": serialises migrations of all processes
_KNOWN: Final = "SELECT name, sha256 FROM holdfast_migration"
_PRESENT: Final = "SELECT to_regclass('holdfast_migration') IS NOT NULL"
_PATIENCE: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "tcp_user_timeout": 20_000,
}
"""What holds unless the URL says otherwise: a server that vanished is noticed within seconds, not minutes."""

CONNECT: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None}
"""Nothing is prepared but the hot path: a read is planned for its parameters and for the table as it is."""

WRITES: Final = (
    "insert_effect",
    "move_effect",
    "insert_effect_asked",
    "move_effect_asked",
    "insert_effect_held",
    "move_effect_held",
    "lock_budgets",
)
"""The statements of the hot path: prepared, on connections of their own."""


def statements() -> dict[str, bytes]:
    """Return the named statements; as bytes, which psycopg takes from files as well as from code."""
    return {name: text.encode() for name, text in queries("postgres").items()}


def conninfo(url: str) -> str:
    """Return what libpq is told for *url*.

    Raises:
        InvalidURL: It cannot be read; its password is not shown.
    """
    try:
        given = conninfo_to_dict(url)
        patience = {name: value for name, value in _PATIENCE.items() if name not in given}
        return make_conninfo(url, **patience, client_encoding="UTF8")  # what we send and expect, always
    except psycopg.Error as error:
        raise InvalidURL(url.partition("://")[0] + "://…", "is not a PostgreSQL URL") from error


def connect(where: str, *session: bytes) -> psycopg.Connection[tuple[Any, ...]]:
    """Return a new blocking connection, on which the statements of *session* were run.

    Raises:
        StoreUnavailable: The database cannot be reached, or cannot hold all text.
    """
    try:
        connection = psycopg.connect(where, **CONNECT)
    except psycopg.Error as error:
        raise translate(error, "connect") from error
    except UnicodeError as error:  # a host name that is none
        raise StoreUnavailable("connect", f"its host is no name ({error})", lasts=True) from error
    try:
        check_encoding(connection.info)
        for statement in session:
            connection.execute(statement)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise translate(error, "connect") from error
        raise
    return connection


def check_encoding(info: psycopg.ConnectionInfo) -> None:
    """Refuse a database that cannot hold every text.

    Raises:
        StoreUnavailable: Its encoding is another than UTF8.
    """
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        why = f"its encoding is {encoding}, which cannot hold every text: create it with ENCODING 'UTF8'"
        raise StoreUnavailable("connect", why, lasts=True)


def pending_migrations(where: str) -> tuple[Migration, ...]:
    """Return what :func:`migrate` would run."""
    with connect(where) as connection:
        try:
            return _outstanding(connection)
        except psycopg.Error as error:
            raise translate(error, "read the schema") from error


def migrate(where: str) -> tuple[str, ...]:
    """Bring the tables up to date; safe when several processes do it at once."""
    done: list[str] = []
    with connect(where) as connection:
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                connection.execute(TRACKING["postgres"].encode())
                for migration in _outstanding(connection):
                    connection.execute(migration.sql.encode())
                    row = migration.name, migration.sha256
                    connection.execute("INSERT INTO holdfast_migration (name, sha256) VALUES (%s, %s)", row)
                    done.append(migration.name)
        except psycopg.Error as error:
            raise translate(error, "create the tables") from error
    return tuple(done)


def _outstanding(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[Migration, ...]:
    row = connection.execute(_PRESENT).fetchone()
    applied = dict(connection.execute(_KNOWN).fetchall()) if row is not None and row[0] else {}
    return outstanding(migrations("postgres"), applied)
