"""What executions cost on PostgreSQL, in counts; what a writer that waited for another one learns; plans by an index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from ops import (
    BEGIN,
    FORK,
    HALT,
    LEAVE,
    LIFE,
    NOTE,
    NOW,
    PAUSE,
    PENDING,
    PROGRESS,
    RESTART,
    SEND,
    STEP,
    TAKE,
    UNHALT,
)
from planned import claim
from test_hot_path import commits
from test_tables import plan, updates
from wire_proxy import WireProxy

from holdfast import Settings
from holdfast._core.advance import Advanced, ExecutionOp, Leave, Outrun, Progress, Send
from holdfast._core.states import WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.postgres.executions import executions_of, statement
from holdfast.stores.postgres.schema import migrate, statements

SETTINGS = Settings()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres_url, settings=SETTINGS, migrate=True)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def admin(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    migrate(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_each_op_is_one_round_trip_and_one_commit_and_so_is_the_journal(
    postgres_url: str, admin: psycopg.Connection[Any], *, is_blocking: bool
) -> None:
    """PER-01: whatever the number of steps; a refused one tells what is there instead in the same one."""
    with WireProxy(postgres_url) as wire:
        made = (BlockingPostgresStore if is_blocking else PostgresStore)(wire.url, settings=SETTINGS)
        await made.open()
        await made.find("t", "k")  # connects
        for op in LIFE[:6]:
            await made.advance(replace(op, workflow_id="before"))  # connects and prepares
        await made.journal("t", "before")  # the same
        counts: list[tuple[int, int]] = []
        for op in LIFE:
            before = commits(admin)
            wire.take()
            answer = await made.advance(op)
            counts.append((wire.take(), commits(admin) - before - 1))  # looking takes an id as well
            assert isinstance(answer, Advanced)
        refused = [await made.advance(op) for op in (BEGIN, TAKE, PROGRESS, RESTART)]
        shared = wire.take()
        journal = await made.journal("t", "w")
        looked = wire.take()
        await made.close()

    assert counts == [(1, 1)] * len(LIFE)
    assert journal is not None
    assert refused == [Outrun(found=journal.execution, now=answer.now) for answer in refused]
    assert (shared, looked) == (4, 1)
    assert (len(journal.steps), len(journal.messages)) == (20, 1)


def writers(admin: psycopg.Connection[Any]) -> int:
    """How many transactions wrote the rows of executions that there are now."""
    [(count,)] = admin.execute("SELECT count(DISTINCT xmin::text) FROM holdfast_execution").fetchall()
    return int(count)


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_a_halt_is_one_round_trip_and_one_commit(
    postgres_url: str, admin: psycopg.Connection[Any], *, is_blocking: bool
) -> None:
    """PER-01: its lock, and what follows under it, however many executions it concerns."""
    with WireProxy(postgres_url) as wire:
        made = (BlockingPostgresStore if is_blocking else PostgresStore)(wire.url, settings=SETTINGS)
        await made.open()
        await made.find("t", "k")  # connects
        for n in range(20):
            await made.advance(replace(BEGIN, workflow_id=f"w{n}"))
        counts: list[tuple[int, int, int]] = []
        for op in (HALT, UNHALT):
            wire.take()
            concerned = await made.halt(op)
            counts.append((len(concerned), wire.take(), writers(admin)))
        await made.close()

    assert counts == [(20, 1, 1)] * 2


@pytest.mark.parametrize(("op", "is_lazy"), [(NOTE, True), (PROGRESS, False), (LEAVE, False)])
def test_only_a_note_may_be_lost_with_the_machine(
    postgres_url: str, admin: psycopg.Connection[Any], op: ExecutionOp, *, is_lazy: bool
) -> None:
    """I6: what has ended is on disk once it is told of, over the same connection."""
    sql = statements()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for known in (BEGIN, TAKE, SEND):
            name, values = statement(known, None)
            connection.execute(sql[name], values)
        with connection.transaction():
            name, values = statement(op, None)
            [(_, is_applied, *_)] = connection.execute(sql[name], values)
            within = connection.execute("SHOW synchronous_commit").fetchone()
        after = connection.execute("SHOW synchronous_commit").fetchone()

    assert is_applied
    assert (within, after) == (("off" if is_lazy else "on",), ("on",))


async def _behind(
    store: PostgresStore, admin: psycopg.Connection[Any], url: str, first: ExecutionOp, second: ExecutionOp
) -> Advanced | Outrun:
    """Apply *first* in a transaction that is committed once *second* waits for it; return the second's answer."""
    name, values = statement(first, None)
    with psycopg.connect(url) as other:
        other.execute(store._sql[name], values)
        waiting = asyncio.ensure_future(store.advance(second))
        async with asyncio.timeout(20):
            waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            while not admin.execute(waits).fetchone():
                await asyncio.sleep(0)
        other.commit()
        return await waiting


@pytest.mark.parametrize(
    ("known", "first", "second"),
    [
        pytest.param((), replace(BEGIN, owner="b"), BEGIN, id="begin"),
        pytest.param((BEGIN,), replace(TAKE, owner="b"), TAKE, id="take"),
        pytest.param(
            (BEGIN, TAKE), replace(LEAVE, leave=Leave(to=WorkflowStatus.FAILED)), PROGRESS, id="progress"
        ),
        pytest.param(
            (BEGIN, TAKE), SEND, replace(LEAVE, leave=Leave(to=WorkflowStatus.WAITING, seen=0)), id="leave"
        ),
        pytest.param((BEGIN, TAKE), replace(LEAVE, leave=Leave(to=WorkflowStatus.FAILED)), SEND, id="send"),
    ],
)
async def test_who_waited_for_another_writer_learns_what_that_one_left(
    store: PostgresStore,
    admin: psycopg.Connection[Any],
    postgres_url: str,
    known: tuple[ExecutionOp, ...],
    first: ExecutionOp,
    second: ExecutionOp,
) -> None:
    """I3: the guard looks at the row as it is, and so does the answer; nothing is written."""
    for op in known:
        assert isinstance(await store.advance(op), Advanced)

    answer = await _behind(store, admin, postgres_url, first, second)

    journal = await store.journal("t", "w")
    assert journal is not None
    assert answer == Outrun(found=journal.execution, now=answer.now)
    assert len(journal.steps) == (first.leave is not None and 1 if isinstance(first, Progress) else 0)
    assert len(journal.messages) == isinstance(first, Send)


@pytest.mark.parametrize("told_as", ["m1", "m2"])
async def test_a_sender_that_waited_for_another_one_neither_doubles_nor_loses_a_signal(
    store: PostgresStore, admin: psycopg.Connection[Any], postgres_url: str, told_as: str
) -> None:
    """IDE-27."""
    await store.advance(BEGIN)

    answer = await _behind(store, admin, postgres_url, SEND, replace(SEND, id=told_as, body="2"))

    journal = await store.journal("t", "w")
    assert journal is not None
    assert isinstance(answer, Advanced)
    assert answer.execution == journal.execution
    assert [(told.id, told.body, told.number) for told in journal.messages] == [
        ("m1", "1", 1),
        ("m2", "2", 2),
    ][: 1 + (told_as == "m2")]
    assert journal.execution.news == len(journal.messages)


async def test_steps_of_a_worker_that_waited_for_a_signal_are_kept(
    store: PostgresStore, admin: psycopg.Connection[Any], postgres_url: str
) -> None:
    """The row has moved meanwhile, but the guard holds."""
    await store.advance(BEGIN)
    await store.advance(TAKE)

    answer = await _behind(store, admin, postgres_url, SEND, PROGRESS)

    journal = await store.journal("t", "w")
    assert journal is not None
    assert isinstance(answer, Advanced)
    assert answer.execution == journal.execution
    assert (journal.execution.news, len(journal.steps)) == (1, 50)


async def test_steps_touch_no_index_of_their_execution(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    """PER-05: one row that is written with every step must not grow."""
    await store.advance(BEGIN)
    await store.advance(TAKE)
    for n in range(16):
        await store.advance(replace(NOTE, steps=(replace(PENDING, occurrence=n),)))
        await store.advance(replace(PROGRESS, steps=(replace(STEP, occurrence=n, position=n + 1),)))
        await store.advance(replace(SEND, id=f"m{n}"))
    await store.close()

    assert await updates(admin, "holdfast_execution", 49) == (49, 48)  # taking it is what indexes are for


async def test_claims_and_executions_are_renewed_in_one_round_trip(postgres_url: str) -> None:
    with WireProxy(postgres_url) as wire:
        store = PostgresStore(wire.url, settings=SETTINGS, migrate=True)
        await store.open()
        change, head = claim("a")
        await store.commit(change)
        await store.advance(BEGIN)
        await store.advance(TAKE)
        leases = [Lease("t", head.key, head.fence), Lease("t", "w", 1, is_execution=True)]
        renewer = await asyncio.to_thread(store.renewer)
        wire.take()
        held = await asyncio.to_thread(renewer.renew, leases, 10.0)
        shared = wire.take()
        renewer.close()
        await store.close()

    assert held == {*leases}
    assert shared == 1


@pytest.mark.parametrize("text", ["\x00", "\ud800"], ids=["NUL", "surrogate"])
@pytest.mark.parametrize("is_blocking", [False, True])
async def test_text_that_no_database_holds_is_refused_and_nothing_is_kept(
    postgres_url: str, text: str, *, is_blocking: bool
) -> None:
    made = (BlockingPostgresStore if is_blocking else PostgresStore)(
        postgres_url, settings=SETTINGS, migrate=True
    )
    await made.open()
    await made.advance(BEGIN)
    await made.advance(TAKE)
    before = await made.journal("t", "w")
    bad = [
        replace(BEGIN, workflow_id="w2", input=text),
        replace(TAKE, owner=text),
        replace(PROGRESS, steps=(STEP, replace(STEP, occurrence=1, result=text))),
        replace(LEAVE, leave=Leave(to=WorkflowStatus.FAILED, error=text)),
        replace(SEND, body=text),
        replace(PAUSE, reason=text),
        replace(FORK, workflow_id=text),
    ]

    ends = await asyncio.gather(*map(made.advance, bad), return_exceptions=True)

    assert [type(end) for end in ends] == [StoreInvariant] * len(bad)
    after = await made.journal("t", "w")
    assert before is not None
    assert after == replace(before, now=after.now if after is not None else before.now)
    assert await made.journal("t", "w2") is None
    await made.close()


FILL = """
INSERT INTO holdfast_execution (
    tenant, workflow_id, function, version, status, input, actor, queue, priority, limit_key, parent, on_failure, trace,
    epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason, is_cancelled, created_at,
    updated_at, ended_at)
SELECT 't', 'w' || n, 'f', '1', status, '{}', 'a', 'q', 0, '', CASE WHEN n % 10 = 0 THEN 'w' || n / 10 ELSE '' END,
       'leave', '', 1, '', now(), 0,
       CASE WHEN n % 3 = 0 AND n % 5 < 2 THEN now() + (n - 300) * interval '1 minute' END, '', 0, '', '', false, now(),
       now(), CASE WHEN status = 'succeeded' THEN now() - n * interval '1 minute' END
FROM generate_series(1, 30000) AS n,
     LATERAL (SELECT CASE WHEN n % 5 < 2 THEN 'waiting' WHEN n % 1000 = 7 THEN 'running' ELSE 'succeeded' END
                     ::holdfast_status) AS _ (status);
INSERT INTO holdfast_step (
    tenant, workflow_id, name, fingerprint, occurrence, kind, state, attempt, started_at, effect, child)
SELECT 't', 'w' || n % 3000, 's', 'f', n, 'effect', 'pending', 1, now(), 'v1:' || n, 'w' || n
FROM generate_series(1, 30000) AS n;
INSERT INTO holdfast_effect (
    tenant, key, workflow_id, tool, intent, safety, fingerprint, args, actor, state, fence, attempt, owner, lease_until,
    created_at, updated_at, audit_seq, audit_hash)
SELECT 't', 'v1:' || n, 'w', 'x', 'x', 'unsafe', 'f', '{}', 'a', 'succeeded', 2, 1, 'o', now(), now(), now(), 2, ''
FROM generate_series(1, 30000) AS n;
INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
SELECT 't', 'w' || n % 3000, 'm' || n, n, 'x', '1', now() FROM generate_series(1, 30000) AS n;
ANALYZE holdfast_execution; ANALYZE holdfast_step; ANALYZE holdfast_effect; ANALYZE holdfast_message;
"""


def test_what_is_due_what_has_ended_and_journals_are_found_by_an_index(
    admin: psycopg.Connection[Any],
) -> None:
    """PER-05, INT-08."""
    admin.execute(FILL)

    due = plan(admin, *executions_of(ExecutionQuery(tenant="t", is_due=True), None))
    ended = plan(admin, *executions_of(ExecutionQuery(tenant="t", status=WorkflowStatus.SUCCEEDED), None))
    running = plan(admin, *executions_of(ExecutionQuery(tenant="t", status=WorkflowStatus.RUNNING), None))
    one = plan(admin, *executions_of(ExecutionQuery(tenant="t", workflow_id="w5"), None))
    children = plan(admin, *executions_of(ExecutionQuery(tenant="t", parent="w5"), None))
    journal = plan(admin, "get_journal", {"tenant": "t", "workflow_id": "w5", "after": 0})
    old = plan(admin, "reap_rest", {"tenant": "t", "before": NOW - timedelta(days=999), "limit": 100})
    moved = [plan(admin, *statement(op, NOW)) for op in LIFE]

    assert "holdfast_execution_open" in due
    assert "holdfast_execution_ended" in ended
    assert "Sort" not in ended or "Incremental Sort" in ended
    assert "holdfast_execution" in running
    assert "holdfast_execution_pkey" in one
    assert "holdfast_execution_parent" in children
    assert "holdfast_execution_ended" in old
    for name in (
        "holdfast_execution_pkey",
        "holdfast_step_pkey",
        "holdfast_effect_pkey",
        "holdfast_message_pkey",
    ):
        assert name in journal
    assert "Seq Scan on holdfast_execution" not in old
    assert not any("Seq Scan on holdfast" in text for text in (due, ended, one, children, journal, *moved))
