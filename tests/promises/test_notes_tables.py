"""STA-10: what the tables of notes promise, in the databases themselves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from holdfast._core.notes import MemoryKind, Section
from holdfast._core.words import scope_word
from holdfast.stores.postgres.schema import migrate, statements
from promises.ledgers import Book, Place
from promises.test_memory import Remembering


def columns_without_default(place: Place) -> list[tuple[str, str]]:
    """The columns of an execution that have to be given, and their types."""
    if place.store == "postgres":
        rows = place.sql(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'holdfast_execution'::regclass"
            " AND attnum > 0 AND attnotnull AND NOT atthasdef AND NOT attisdropped"
        )
    else:
        rows = place.sql(
            "SELECT name, type FROM pragma_table_info('holdfast_execution') WHERE \"notnull\" AND dflt_value IS NULL"
        )
    return [(row[0], row[1]) for row in rows]


def put_execution(place: Place, workflow_id: str, *, ended: bool) -> None:
    """Put an execution on record as SQL would, whatever else its table has."""
    plain: dict[str, str] = {
        "text": "'x'",
        "TEXT": "'x'",
        "boolean": "false",
        "timestamp with time zone": "now()",
    }
    row = {name: plain.get(kind, "0") for name, kind in columns_without_default(place)}
    row |= {
        "tenant": "'default'",
        "workflow_id": f"'{workflow_id}'",
        "status": "'succeeded'" if ended else "'running'",
    }
    for name, kind in columns_without_default(place):
        if (
            kind.startswith("holdfast_")
            and name != "status"
            and kind not in {"holdfast_count", "holdfast_ordinal"}
        ):
            row[name] = f"(SELECT min(v)::text::{kind} FROM unnest(enum_range(NULL::{kind})) AS v)"
    if ended:
        row["ended_at"] = "now()" if place.store == "postgres" else "1"
    if "pause" in row:
        row["pause"] = "''"
    if "on_failure" in row:
        row["on_failure"] = "'leave'"
    place.sql(f"INSERT INTO holdfast_execution ({', '.join(row)}) VALUES ({', '.join(row.values())})")


@pytest.mark.kinds("sqlite", "postgres")
async def test_working_memory_does_not_outlive_its_execution(place: Place, book: Book) -> None:
    """STA-10: it is over when that has ended, and does not come back when its row is deleted."""
    memory = Remembering(book)
    for run in ("ended", "running", "unknown"):
        await memory.remember(f"of {run}", kind="working", workflow_id=run)
        await memory.remember(f"story of {run}", kind="episodic", workflow_id=run)
    put_execution(place, "ended", ended=True)
    put_execution(place, "running", ended=False)
    lives = {"of running", "of unknown"}

    assert set(await memory.texts(kind="working")) == lives
    place.sql("DELETE FROM holdfast_execution WHERE workflow_id = 'ended'")
    assert set(await memory.texts(kind="working")) == lives
    assert set(await memory.texts("of", kind="working")) == lives
    await book.reap(older_than="1ms")
    assert place.sql("SELECT count(*) FROM holdfast_memory WHERE workflow_id = 'ended'") == [(1,)]
    assert len(await memory.texts("story")) == 3


@pytest.mark.kinds("sqlite")
async def test_the_index_has_the_words_of_what_is_on_record_and_no_others(place: Place, book: Book) -> None:
    """STA-10: replaced, forgotten, ended, expired: none of them leaves a word."""
    memory = Remembering(book)
    for n in range(3):
        await memory.remember(f"word{n} replaced", key="k")
        await memory.remember(f"forgotten{n}")
        await memory.remember(f"ended{n}", kind="working", workflow_id="w")
        await memory.remember(f"expired{n}", expires_in="1ms")
    for each in await memory.recall("forgotten0 forgotten1 forgotten2"):
        await memory.forget(each.id)
    await memory.end("w")
    await book.reap(older_than="90d")
    await book.close()

    with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as db:
        words = db.execute("SELECT rowid, words FROM holdfast_memory_words").fetchall()
        numbers = db.execute("SELECT number FROM holdfast_memory").fetchall()
        db.execute("INSERT INTO holdfast_memory_words (holdfast_memory_words) VALUES ('integrity-check')")

    [(number, text)] = words
    assert numbers == [(number,)]
    assert text.split()[1:] == ["word2", "replaced", "k"]


@pytest.mark.parametrize(("name", "words"), [("memory_kind", tuple(MemoryKind)), ("section", tuple(Section))])
def test_the_database_knows_the_kinds_and_the_lists_and_no_others(
    postgres_url: str, name: str, words: tuple[str, ...]
) -> None:
    migrate(postgres_url)

    with psycopg.connect(postgres_url) as db:
        rows = db.execute("SELECT unnest(enum_range(NULL::holdfast_" + name + "))::text").fetchall()

    assert [row[0] for row in rows] == [str(word) for word in words]


def test_among_many_memories_a_search_uses_the_index_of_words(postgres_url: str) -> None:
    """STA-10: those of one namespace alone are looked at."""
    migrate(postgres_url)
    values: dict[str, Any] = {
        "tenant": "t",
        "namespace": "n7",
        "now": datetime.now(UTC),
        "kind": None,
        "workflow_id": None,
        "run": None,
        "tags": [],
        "ids": None,
        "limit": 10,
        "scope": f"'{scope_word('t', 'n7')}'",
        "wanted": "'common' | 'word3'",
    }
    with psycopg.connect(postgres_url, autocommit=True) as db:
        for space in range(20):
            db.execute(
                "INSERT INTO holdfast_memory (tenant, id, namespace, kind, workflow_id, body, words, tags, created_at, updated_at)"
                " SELECT 't', 'm' || n || '-' || %(space)s, %(space)s, 'semantic', '', '{}',"
                " (%(scope)s || ' common word' || n)::tsvector, '{}', now(), now() FROM generate_series(1, 500) AS n",
                {"space": f"n{space}", "scope": scope_word("t", f"n{space}")},
            )
        db.execute("VACUUM ANALYZE holdfast_memory")
        rows = db.execute(
            b"EXPLAIN (ANALYZE, COSTS OFF) " + statements()["search_memories"], values
        ).fetchall()

    plan = "\n".join(row[0] for row in rows)
    assert "Bitmap Index Scan on holdfast_memory_words" in plan
    assert "Seq Scan on holdfast_memory" not in plan
