"""What is written with every step: planned once, and shared only by what may share a transaction."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from ops import BEGIN, NOTE, PENDING, PROGRESS, SEND, STEP, TAKE
from test_executions import FILL
from wire_proxy import WireProxy

from holdfast import Settings
from holdfast._core.advance import Advanced, ExecutionOp, Leave, Outrun
from holdfast._core.states import WorkflowStatus
from holdfast.stores.postgres import PostgresStore
from holdfast.stores.postgres.executions import statement
from holdfast.stores.postgres.moving import move, numbered
from holdfast.stores.postgres.schema import migrate, statements

ENDED = replace(PROGRESS, steps=(STEP,))
NAMES = [f"w{n:02}" for n in range(32)]


@pytest.fixture
def admin(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    migrate(ledger_url)
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def store(ledger_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(ledger_url, settings=Settings(), migrate=True)
    await made.open()
    yield made
    await made.close()


async def all_of(store: PostgresStore, *ops: ExecutionOp) -> list[Advanced | Outrun]:
    """Apply *ops* to every workflow, all at once."""
    every = [replace(op, workflow_id=name) for name in NAMES for op in ops]
    return await asyncio.gather(*map(store.advance, every))


async def test_workflows_that_come_further_at_once_share_their_round_trips(ledger_url: str) -> None:
    """PER-01: 32 workers' steps are a few commits and not 64."""
    with WireProxy(ledger_url) as wire:
        store = PostgresStore(wire.url, settings=Settings(), migrate=True)
        await store.open()
        await all_of(store, BEGIN)
        await all_of(store, TAKE)
        await all_of(store, NOTE)
        counts: list[int] = []
        answers: list[Advanced | Outrun] = []
        for op in (NOTE, ENDED, SEND):
            wire.take()
            answers += await all_of(store, op)
            counts.append(wire.take())
        await store.close()

    assert all(isinstance(answer, Advanced) for answer in answers)
    assert max(counts) <= 4


WATCHED = """
CREATE TABLE watched (transaction text, state text, waits text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO watched VALUES (pg_current_xact_id()::text, NEW.state::text, current_setting('synchronous_commit'));
  RETURN NULL;
END $$;
CREATE TRIGGER watching AFTER INSERT OR UPDATE ON holdfast_step FOR EACH ROW EXECUTE FUNCTION watch();
"""


async def test_what_may_be_lost_with_the_machine_takes_nothing_along_that_may_not(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    """I6: a transaction waits for the disk as a whole, so notes have transactions of their own."""
    await all_of(store, BEGIN)
    await all_of(store, TAKE)
    admin.execute(WATCHED)

    other = replace(NOTE, steps=(replace(PENDING, name="another step"),))
    for _ in range(5):
        await all_of(store, other, ENDED)

    seen: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for transaction, state, waits in admin.execute("SELECT * FROM watched").fetchall():
        seen[transaction].add((state, waits))
    assert {frozenset(kinds) for kinds in seen.values()} == {
        frozenset({("pending", "off")}),
        frozenset({("succeeded", "on")}),
    }


async def test_one_that_is_refused_takes_no_other_along(store: PostgresStore) -> None:
    """What it was sent together with is tried again by itself."""
    await all_of(store, BEGIN)
    await all_of(store, TAKE)
    bad = replace(ENDED, steps=(replace(STEP, result="\x00"),))

    ends = await asyncio.gather(
        *(store.advance(replace(bad if name == "w07" else ENDED, workflow_id=name)) for name in NAMES),
        return_exceptions=True,
    )

    assert [name for name, end in zip(NAMES, ends, strict=True) if not isinstance(end, Advanced)] == ["w07"]


async def test_parents_and_children_that_come_further_and_end_at_once_wait_for_each_other_in_one_order(
    store: PostgresStore,
) -> None:
    """No deadlock: of 31 children of one parent all end while it and the others come further."""
    parent = NAMES[15]
    for name in NAMES:
        await store.advance(replace(BEGIN, workflow_id=name, parent="" if name == parent else parent))
    await all_of(store, TAKE)
    left = replace(ENDED, leave=Leave(to=WorkflowStatus.SUCCEEDED))

    async def live(name: str) -> list[Advanced | Outrun]:
        ops = [NOTE, ENDED] * 5 + ([] if name == parent else [left])
        return [await store.advance(replace(op, workflow_id=name)) for op in ops]

    lives = await asyncio.gather(*map(live, NAMES))

    journal = await store.journal("t", parent)
    assert all(isinstance(answer, Advanced) for life in lives for answer in life)
    assert journal is not None
    assert journal.execution.news == 31


def test_a_plan_that_was_made_for_empty_tables_serves_full_ones(
    admin: psycopg.Connection[Any], ledger_url: str
) -> None:
    """PER-05: such a statement keeps its plan; that finds its rows by their keys."""
    sql = statements()
    known = numbered(sql)
    with psycopg.connect(ledger_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(sql["begin_session"])
        connection.execute(sql["begin_writing"])
        raw = psycopg.RawCursor(connection)
        ops = (BEGIN, TAKE, NOTE, ENDED, SEND, replace(ENDED, leave=Leave(to=WorkflowStatus.SUCCEEDED)))
        calls: list[str] = []
        for at, op in enumerate(ops):
            name, values = statement(op, None)
            raw.execute(b"PREPARE p%d AS " % at + known[name].text)
            sent = move(op, name, known[name], values).values
            told = ["NULL" if v is None else psycopg.sql.quote(bytes(v).decode()) for v in sent]
            calls.append(f"EXECUTE p{at} ({', '.join(told)})")
            connection.execute(calls[-1].encode())
        admin.execute(FILL)
        plans = [connection.execute(f"EXPLAIN {call}".encode()).fetchall() for call in calls]

    for rows in plans:
        text = "\n".join(row[0] for row in rows)
        assert "Seq Scan on holdfast" not in text
        assert "holdfast_execution_pkey" in text
        for other in ("_open", "_due", "_known", "_running", "_by_key", "_started", "_parent", "_ended"):
            assert f"holdfast_execution{other}" not in text
