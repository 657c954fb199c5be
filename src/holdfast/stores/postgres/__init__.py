"""Ledgers in PostgreSQL, through psycopg 3: one SQL, an async and a blocking store."""

from holdfast.errors import MissingExtra

try:
    import psycopg as _psycopg
except ImportError as error:
    raise MissingExtra("postgres", "psycopg") from error

from holdfast.stores.postgres.blocking import BlockingPostgresStore
from holdfast.stores.postgres.store import PostgresStore

__all__ = ["BlockingPostgresStore", "PostgresStore"]

del _psycopg
