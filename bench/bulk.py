"""Fills a ledger with a given number of effects by copying a real one, inside the database.

It knows the schema only from the catalogue: every table with the columns ``tenant`` and ``key`` holds rows of an effect.
A copy has its own key and workflow; the first lies 100 days in the past, the last in the present, as in a ledger that
was filled by and by.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator

PREFIX = "bulk-"  # tells copies' keys from real ones in the digest
BATCH = 200_000
DAYS = 100


def bulk_key(number: int) -> str:
    """The key of copy *number*: as long and as scattered as a real one."""
    return "v1:" + hashlib.sha256(f"{PREFIX}{number}".encode()).hexdigest()


def _batches(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, BATCH):
        yield start, min(start + BATCH, rows) - 1


def fill_postgres(dsn: str, template: str, rows: int, *, audit: bool) -> dict[str, int]:
    """Add *rows* copies of the effect *template*; return the bytes of each table with its indexes."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        tables: dict[str, list[tuple[str, str]]] = {}
        found = connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' "
            "AND is_identity = 'NO' AND is_generated = 'NEVER' ORDER BY ordinal_position"
        )
        for table, column, kind in found:
            tables.setdefault(table, []).append((column, kind))
        sizes = {}
        for table, columns in tables.items():
            names = [name for name, _ in columns]
            if not {"tenant", "key"} <= set(names) or ("seq" in names and not audit):
                continue
            values = [_postgres_value(name, kind, rows) for name, kind in columns]
            statement = (
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} "
                f"FROM {table} t, generate_series(%s::bigint, %s::bigint) AS n WHERE t.tenant = 'default' AND t.key = %s"
            )
            for first, last in _batches(rows):
                connection.execute(statement, (first, last, template))
            connection.execute(f"VACUUM (ANALYZE) {table}")
            size = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchone()
            sizes[table] = int(size[0]) if size else 0
        connection.execute("CHECKPOINT")
        return sizes


def _postgres_value(name: str, kind: str, rows: int) -> str:
    if name == "key":
        return f"'v1:' || encode(sha256(convert_to('{PREFIX}' || n, 'UTF8')), 'hex')"
    if name == "workflow_id":
        return f"'{PREFIX}' || n / 10"
    if kind == "timestamp with time zone":
        return f"t.{name} - ({rows} - n) * interval '{DAYS * 86400 / rows} seconds'"
    return f"t.{name}"


def fill_sqlite(path: str, template: str, rows: int, *, audit: bool) -> dict[str, int]:
    """Add *rows* copies of the effect *template*; return the bytes of the file."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA synchronous=OFF")  # of this connection only, for the filling
    connection.create_function("bulk_key", 1, bulk_key, deterministic=True)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    (newest,) = connection.execute("SELECT max(id) FROM holdfast_audit").fetchone()
    for table in tables:
        names = [name for (name,) in connection.execute(f"SELECT name FROM pragma_table_info('{table}')")]
        if not {"tenant", "key"} <= set(names) or ("seq" in names and not audit):
            continue
        values = [_sqlite_value(name, newest, rows) for name in names]
        statement = (
            f"WITH RECURSIVE numbers(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2) "
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} "
            f"FROM {table} t CROSS JOIN numbers WHERE t.tenant = 'default' AND t.key = ?3"  # in this order
        )
        for first, last in _batches(rows):
            connection.execute(statement, (first, last, template))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("ANALYZE")
    (size,) = connection.execute(
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    ).fetchone()
    connection.close()
    return {"the file": size}


def _trail_value(name: str, newest: int) -> str | None:
    """A copy's audit entries are as many as the template's, two, and point back to each other as those do."""
    first = f"({newest} + 2 * n + 1)"
    return {
        "id": f"{first} + t.seq - 1",
        "before": f"CASE t.seq WHEN 1 THEN NULL ELSE {first} END",
        "audit_id": f"{first} + 1",
        "audit_prev": first,
    }.get(name)


def _sqlite_value(name: str, newest: int, rows: int) -> str:
    if pointer := _trail_value(name, newest):
        return pointer
    if name == "key":
        return "bulk_key(n)"
    if name == "workflow_id":
        return f"'{PREFIX}' || (n / 10)"
    if name.endswith("_at") or name == "at":  # whole microseconds
        return f"t.{name} - ({rows} - n) * {DAYS * 86_400_000_000 // rows}"
    return f"t.{name}"
