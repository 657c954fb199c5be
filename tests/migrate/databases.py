"""Databases of either dialect as older code made them, that code at work on them, and all that can be seen of them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from holdfast import Settings
from holdfast._core.change import AppendAudit, Change, InsertEffect, MoveEffect, ReviewWorkflow
from holdfast.ports import Store
from holdfast.stores.migrate import TRACKING, migrations
from holdfast.stores.postgres import BlockingPostgresStore
from holdfast.stores.postgres.parameters import execution
from holdfast.stores.postgres.schema import migrate
from holdfast.stores.sqlite.connect import connect, statements, transaction
from holdfast.stores.sqlite.parameters import Bound, audit_row, insert_row, move_row, review_row
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FakeClock

Rows = dict[str, list[dict[str, Any]]]
_AUDIT: Final = 13
"""Parameters of the audit entry: the last ones of each function, then as now."""


class Database(Protocol):
    """An empty database, and what the tests do with it."""

    def make(self, count: int) -> None:
        """Create the tables with the first *count* migrations, as the code of that time did."""

    def upgrade(self) -> tuple[str, ...]:
        """Run what is missing; return the names."""

    def wipe(self) -> None:
        """Remove everything."""

    def commit_old(self, change: Change, now: datetime) -> bool:
        """Apply *change* with the statements of the code that came with migration 0001."""

    def look_old(self, change: Change) -> tuple[Any, ...]:
        """Read the effect of *change* as that code did."""

    def catalog(self) -> list[tuple[Any, ...]]:
        """Describe every table, column, index, type, function and view."""

    def rows(self) -> Rows:
        """Return every row of every table."""

    def store(self, clock: FakeClock) -> Store:
        """Return a store of the present code."""

    def close(self) -> None:
        """Close the connection of the old code."""


def written(dialect: str) -> dict[str, str]:
    """The statements of the code that came with migration 0001."""
    text = (Path(__file__).parent / "code_0001" / f"{dialect}.sql").read_text()
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


class SqliteFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.old = written("sqlite")
        self.db = connect(str(path))

    def make(self, count: int) -> None:
        with transaction(self.db):
            self.db.execute(TRACKING["sqlite"])
            for migration in migrations("sqlite")[:count]:
                for statement in statements(migration.sql):
                    self.db.execute(statement)
                row = migration.name, migration.sha256
                self.db.execute("INSERT INTO holdfast_migration VALUES (?, ?, 0)", row)

    def upgrade(self) -> tuple[str, ...]:
        store = SqliteStore(str(self.path), blocking=True)
        try:
            return store.database.migrate()
        finally:
            store.database.close()

    def wipe(self) -> None:
        self.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()
        self.db = connect(str(self.path))

    def commit_old(self, change: Change, now: datetime) -> bool:
        self.db.execute("BEGIN IMMEDIATE")
        for op in change.ops:
            match op:
                case InsertEffect():
                    name, row = "insert_effect", insert_row(op, now)
                case MoveEffect():
                    name, row = "move_effect", move_row(op, now)
                case ReviewWorkflow():
                    name, row = "review_workflow", review_row(op)
                case AppendAudit():
                    name, row = "append_audit", audit_row(op)
            if not Bound(self.old[name]).run(self.db, row):
                self.db.execute("ROLLBACK")
                return False
        self.db.execute("COMMIT")
        return True

    def look_old(self, change: Change) -> tuple[Any, ...]:
        op = effect_of(change)
        return self.db.execute(self.old["get_effect"], {"tenant": op.tenant, "key": op.key}).fetchone()

    def catalog(self) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.db.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2"
        ).fetchall()
        for table in self._tables():
            found += [(table, *column) for column in self.db.execute(f"PRAGMA table_xinfo({table})")]
        return found + self.db.execute("SELECT name, sha256 FROM holdfast_migration ORDER BY 1").fetchall()

    def rows(self) -> Rows:
        found: Rows = {}
        index = {row[1] for row in self.db.execute("PRAGMA table_list") if row[2] == "shadow"}
        for table in set(self._tables()) - index:  # what is in an index is what its table has
            cursor = self.db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in sorted(cursor, key=repr)]
        return found

    def _tables(self) -> list[str]:
        return [row[0] for row in self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]

    def store(self, clock: FakeClock) -> Store:
        return SqliteStore(str(self.path), clock=clock, blocking=True)

    def close(self) -> None:
        self.db.close()


class PostgresSchema:
    def __init__(self, url: str) -> None:
        self.url = url
        self.old = {name: text.encode() for name, text in written("postgres").items()}
        self.db = psycopg.connect(url, autocommit=True)

    def make(self, count: int) -> None:
        with self.db.transaction():
            self.db.execute(TRACKING["postgres"].encode())
            for migration in migrations("postgres")[:count]:
                self.db.execute(migration.sql.encode())
                row = migration.name, migration.sha256
                self.db.execute("INSERT INTO holdfast_migration (name, sha256) VALUES (%s, %s)", row)

    def upgrade(self) -> tuple[str, ...]:
        return migrate(self.url)

    def wipe(self) -> None:
        self.db.execute(
            "DO $$ BEGIN EXECUTE format('DROP SCHEMA %1$I CASCADE; CREATE SCHEMA %1$I', current_schema()); END $$"
        )

    def commit_old(self, change: Change, now: datetime) -> bool:
        prepared = execution(change, now)
        values = prepared.objects()
        count = self.old[prepared.statement].count(b"$")
        with psycopg.RawCursor(self.db) as cursor:
            cursor.execute(
                self.old[prepared.statement], [*values[: count - _AUDIT], *values[len(values) - _AUDIT :]]
            )
            [told] = cursor.fetchone() or [None]
        return isinstance(told, str)

    def look_old(self, change: Change) -> tuple[Any, ...]:
        op = effect_of(change)
        found = self.db.execute(self.old["get_effect"], {"tenant": op.tenant, "key": op.key}).fetchone()
        return (found or ())[1:]  # without the clock

    def catalog(self) -> list[tuple[Any, ...]]:
        return [row for query in _CATALOG for row in self.db.execute(query.encode())]

    def rows(self) -> Rows:
        tables = self.db.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        ).fetchall()
        return {table: self._rows_of(table) for (table,) in tables}

    def _rows_of(self, table: str) -> list[dict[str, Any]]:
        rows = self.db.execute(
            f'SELECT row_to_json(t) FROM {table} AS t ORDER BY t::text COLLATE "C"'.encode()
        )
        return [row[0] for row in rows]

    def store(self, clock: FakeClock) -> Store:
        return BlockingPostgresStore(self.url, settings=Settings(), clock=clock)

    def close(self) -> None:
        self.db.close()


_CATALOG: Final = (
    """
    SELECT c.relname, c.relkind::text, c.reloptions, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.attidentity::text, pg_get_expr(d.adbin, d.adrelid), l.collname
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v')
    ORDER BY c.relname, a.attnum
    """,
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1",
    """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2
    """,
    """
    SELECT t.typname, t.typtype::text, format_type(t.typbasetype, t.typtypmod), e.enumlabel
    FROM pg_type AS t LEFT JOIN pg_enum AS e ON e.enumtypid = t.oid
    WHERE t.typnamespace = current_schema()::regnamespace AND t.typtype IN ('d', 'e')
    ORDER BY t.typname, e.enumsortorder
    """,
    """
    SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace ORDER BY 1
    """,
    "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() ORDER BY 1",
    "SELECT name, sha256 FROM holdfast_migration ORDER BY 1",
)


def effect_of(change: Change) -> InsertEffect | MoveEffect:
    op = change.ops[0]
    assert isinstance(op, InsertEffect | MoveEffect)
    return op
