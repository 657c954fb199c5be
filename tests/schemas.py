"""Schemas with the ledger's tables, lent to one test after the other: to make the tables takes longer than most tests.

A schema is lent again only if nobody can tell it from a new one: its tables are empty, its numbers begin anew, and
whatever makes up its structure (tables, columns, indexes, triggers, functions, rights, the migrations on record) is
what it was made as, to the row. It is not lent while anybody who connected in its test's time is still there.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from holdfast.stores.postgres.schema import migrate

_STRUCTURE: Final = sql.SQL("""
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
  SELECT 'schema ' || oid || ' ' || xmin AS part FROM pg_namespace WHERE oid = {name}::regnamespace
  UNION ALL SELECT 'relation ' || oid || ' ' || xmin || ' ' || reltuples
    FROM pg_class WHERE relnamespace = {name}::regnamespace
  UNION ALL SELECT 'type ' || oid || ' ' || xmin FROM pg_type WHERE typnamespace = {name}::regnamespace
  UNION ALL SELECT 'function ' || oid || ' ' || xmin FROM pg_proc WHERE pronamespace = {name}::regnamespace
  UNION ALL SELECT 'constraint ' || oid || ' ' || xmin FROM pg_constraint WHERE connamespace = {name}::regnamespace
  UNION ALL SELECT 'label ' || e.oid || ' ' || e.xmin
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE t.typnamespace = {name}::regnamespace
  UNION ALL SELECT 'column ' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = {name}::regnamespace
  UNION ALL SELECT 'default ' || d.oid || ' ' || d.xmin
    FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid WHERE c.relnamespace = {name}::regnamespace
  UNION ALL SELECT 'index ' || i.indexrelid || ' ' || i.xmin
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = {name}::regnamespace
  UNION ALL SELECT 'trigger ' || t.oid || ' ' || t.xmin
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = {name}::regnamespace
  UNION ALL SELECT 'rule ' || r.oid || ' ' || r.xmin
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = {name}::regnamespace
  UNION ALL SELECT 'policy ' || p.oid || ' ' || p.xmin
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = {name}::regnamespace
  UNION ALL SELECT 'migration ' || name || ' ' || xmin FROM {migrations}
) AS structure
""")
"""Whatever changes a row of the catalogue writes it anew, and then it has another xmin. What ANALYZE learns is the
exception, and seen by itself: the planner must not know more of a table than of a new one."""

_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND relname <> 'holdfast_migration'
"""
_NUMBERS: Final = """
SELECT setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
WHERE relnamespace = %s::regnamespace
"""
_STILL_THERE: Final = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND backend_start >= %s
  AND pid <> pg_backend_pid())
"""


AS_OFTEN: Final = 100
"""So often a schema is lent: what was deleted from its tables still takes room in them."""


@dataclass(slots=True)
class Schema:
    """A schema, its tables but that of the migrations, what its structure was when it was made, and who has it."""

    name: str
    tables: list[sql.Identifier]
    structure: str
    since: datetime
    times: int = 1


class Schemas:
    """The schemas of one server, and the connection by which they are looked after."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: deque[Schema] = deque()
        self._admin: psycopg.Connection[Any] | None = None

    def url(self, schema: Schema) -> str:
        """Where connections live in *schema*."""
        return with_options(self._url, f"-csearch_path={schema.name}")

    def lend(self) -> Schema:
        """Return a schema with empty tables."""
        for _ in range(len(self._free)):
            schema = self._free.popleft()
            if not self._one(_STILL_THERE, schema.since):
                self._empty(schema)
                return schema
            self._free.append(schema)
        return self._made()

    def take_back(self, schema: Schema) -> None:
        """Keep it for another test if it is as it was made, else drop it.

        A test that leaves a transaction open fails here instead of hanging.
        """
        with self._connection().transaction():
            self._run("SET LOCAL lock_timeout = '10s'")
            if schema.times < AS_OFTEN and self._is_as_made(schema):
                tables = sql.SQL(", ").join(schema.tables)
                self._run(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
                self._free.append(schema)
            else:
                self._drop(schema)

    def close(self) -> None:
        """Drop every schema."""
        while self._free:
            self._drop(self._free.pop())
        if self._admin is not None:
            self._admin.close()

    def _made(self) -> Schema:
        name = f"holdfast_test_{uuid.uuid4().hex[:12]}"
        self._run(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        migrate(with_options(self._url, f"-csearch_path={name}"))
        tables = [sql.Identifier(name, row[0]) for row in self._run(_TABLES, name).fetchall()]
        return Schema(name, tables, self._structure(name), self._one("SELECT now()"))

    def _empty(self, schema: Schema) -> None:
        # Rows are few: to delete them takes a fiftieth of what it takes to truncate as many tables. The tables' own
        # triggers look for other tables on the path.
        self._run("SELECT set_config('search_path', %s, false)", schema.name)
        self._run(sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(table) for table in schema.tables))
        self._run(_NUMBERS, schema.name)
        schema.since = self._one("SELECT now()")
        schema.times += 1

    def _drop(self, schema: Schema) -> None:
        self._run(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema.name)))

    def _is_as_made(self, schema: Schema) -> bool:
        there = self._one("SELECT to_regclass(%s) IS NOT NULL", f"{schema.name}.holdfast_migration")
        return bool(there) and self._structure(schema.name) == schema.structure

    def _structure(self, name: str) -> str:
        migrations = sql.Identifier(name, "holdfast_migration")
        return str(self._one(_STRUCTURE.format(name=sql.Literal(name), migrations=migrations)))

    def _one(self, statement: Any, *given: Any) -> Any:
        row = self._run(statement, *given).fetchone()
        assert row is not None
        return row[0]

    def _run(self, statement: Any, *given: Any) -> psycopg.Cursor[Any]:
        return self._connection().execute(statement, given or None)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._admin is None or self._admin.closed:
            self._admin = psycopg.connect(self._url, autocommit=True)
        return self._admin


def with_options(url: str, options: str) -> str:
    """The same URL with *options* for the server's command line."""
    parts = urlsplit(url)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}options={options.replace('=', '%3D')}"))
