"""What workers are given of a queue on PostgreSQL: in counts, at once, and by an index."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from ops import BEGIN, NOW, dequeue
from test_executions import writers
from test_hot_path import commits
from test_tables import plan
from wire_proxy import WireProxy

from holdfast import Settings
from holdfast._core.advance import (
    Advanced,
    Dequeue,
    ExecutionOp,
    Leave,
    Progress,
    QueueRule,
    SteerExecution,
    Steering,
)
from holdfast._core.execution import ExecutionRecord, Pause
from holdfast._core.states import WorkflowStatus
from holdfast.errors import StoreUnavailable
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores.memory_queue import chosen
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore, queues
from holdfast.stores.postgres.schema import migrate, statements

SETTINGS = Settings(pool_size=16)
PAUSE = SteerExecution(tenant="t", workflow_id="slow", to=Steering.PAUSE, reason="ops", at=NOW)
LIMITS: list[dict[str, int]] = [{}, {"concurrency": 9}, {"per_key": 9}, {"rate": 9}]


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


@pytest.mark.parametrize("rule", LIMITS, ids=str)
@pytest.mark.parametrize("is_blocking", [False, True])
async def test_what_is_taken_is_one_round_trip_and_one_commit_and_nothing_is_none(
    postgres_url: str, admin: psycopg.Connection[Any], rule: dict[str, int], *, is_blocking: bool
) -> None:
    """PER-01: however many are taken, within limits or without; an empty queue costs the disk nothing."""
    with WireProxy(postgres_url) as wire:
        made = (BlockingPostgresStore if is_blocking else PostgresStore)(wire.url, settings=SETTINGS)
        await made.open()
        await made.dequeue(dequeue(**rule))  # connects, and listens
        for n in range(5):
            await made.advance(replace(BEGIN, workflow_id=f"w{n}"))
        wire.take()
        taken = await made.dequeue(dequeue(**rule))
        full = len(taken), wire.take(), writers(admin)
        empty = []
        for _ in range(10):
            before = commits(admin)
            wire.take()
            taken = await made.dequeue(dequeue(**rule))
            empty.append((len(taken), wire.take(), commits(admin) - before - 1))
        await made.close()

    assert full == (5, 1, 1)
    assert min(empty) == (0, 1, 0)  # the server's own care for its tables takes an id now and then


@pytest.mark.parametrize("rule", LIMITS, ids=str)
async def test_sixteen_who_dequeue_are_given_everything_once(
    store: PostgresStore, rule: dict[str, int]
) -> None:
    """I3: nobody waits for a row that another one takes, and none is passed over for good."""
    count = 160 if not rule else 9
    for n in range(count):
        await store.advance(replace(BEGIN, workflow_id=f"w{n:03}"))
    given: list[tuple[str, str]] = []

    async def work(owner: str) -> None:
        while taken := await store.dequeue(dequeue(3, owner, **rule)):
            given.extend((row.workflow_id, row.owner) for row in taken)
            assert {row.owner for row in taken} == {owner}

    await asyncio.gather(*(work(f"o{n}") for n in range(16)))
    given += [(row.workflow_id, row.owner) for row in await store.dequeue(dequeue())]

    assert sorted(name for name, _ in given) == [f"w{n:03}" for n in range(count)]


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        pytest.param({"concurrency": 5}, 5, id="concurrency"),
        pytest.param({"per_key": 2}, 6, id="per key"),
        pytest.param({"concurrency": 5, "per_key": 2}, 5, id="both"),
    ],
)
async def test_at_no_moment_do_sixteen_workers_run_more_than_the_queue_allows(
    store: PostgresStore, admin: psycopg.Connection[Any], rule: dict[str, int], most: int
) -> None:
    """While others leave what they had, and take the next."""
    for n in range(60):
        await store.advance(replace(BEGIN, workflow_id=f"w{n:02}", limit_key=f"k{n % 3}"))
    running = "SELECT limit_key, count(*) FROM holdfast_execution WHERE status = 'running' GROUP BY limit_key"
    seen: list[Counter[str]] = []
    ended: list[str] = []

    async def work(owner: str) -> None:
        while len(ended) < 60:
            for row in await store.dequeue(dequeue(2, owner, **rule)):
                seen.append(Counter(dict(admin.execute(running).fetchall())))
                await asyncio.sleep(0)
                left = await store.advance(
                    Progress(
                        tenant="t",
                        workflow_id=row.workflow_id,
                        epoch=row.epoch,
                        lease_s=10.0,
                        at=NOW,
                        leave=Leave(to=WorkflowStatus.SUCCEEDED),
                    )
                )
                assert isinstance(left, Advanced)
                ended.append(row.workflow_id)

    async with asyncio.timeout(120):
        await asyncio.gather(*(work(f"o{n}") for n in range(16)))

    assert sorted(ended) == [f"w{n:02}" for n in range(60)]
    assert max(counts.total() for counts in seen) <= most
    assert "per_key" not in rule or max(max(counts.values()) for counts in seen) <= 2


async def test_sixteen_workers_start_no_more_than_the_queue_allows(store: PostgresStore) -> None:
    for n in range(60):
        await store.advance(replace(BEGIN, workflow_id=f"w{n:02}"))

    given = await asyncio.gather(
        *(
            store.dequeue(
                Dequeue(
                    tenant="t",
                    rule=QueueRule(name="q", rate=20, rate_s=3600.0),
                    functions=("refund",),
                    owner=f"o{n}",
                    limit=3,
                    lease_s=10.0,
                    at=NOW,
                )
            )
            for n in range(16)
        )
    )

    assert sorted(row.workflow_id for rows in given for row in rows) == [f"w{n:02}" for n in range(20)]


@pytest.mark.parametrize("rule", LIMITS, ids=str)
async def test_what_somebody_holds_is_passed_by(
    store: PostgresStore, admin: psycopg.Connection[Any], rule: dict[str, int]
) -> None:
    """A signal that is being written, or a worker that dies in the middle, holds up nobody but itself."""
    for n in range(3):
        await store.advance(replace(BEGIN, workflow_id=f"w{n}"))

    with admin.transaction():
        admin.execute("SELECT 1 FROM holdfast_execution WHERE workflow_id = 'w0' FOR UPDATE")
        taken = await store.dequeue(dequeue(3, **rule))
    later = await store.dequeue(dequeue(3, **rule))

    assert [[row.workflow_id for row in rows] for rows in (taken, later)] == [["w1", "w2"], ["w0"]]


async def test_who_keeps_a_queues_limits_waits_for_who_does_and_counts_what_that_one_took(
    store: PostgresStore, admin: psycopg.Connection[Any], postgres_url: str
) -> None:
    """The count is taken once it is one's turn; another queue is nobody's business."""
    for n in range(3):
        await store.advance(replace(BEGIN, workflow_id=f"w{n}"))
    await store.advance(replace(BEGIN, workflow_id="elsewhere", queue="other"))
    names, values = queues.dequeue_of(dequeue(2, "first", concurrency=2), None)
    elsewhere = replace(dequeue(), rule=QueueRule(name="other", concurrency=1))

    with psycopg.connect(postgres_url) as other:
        taken = [other.execute(store._sql[name], values).fetchall() for name in names][-1]
        waiting = asyncio.ensure_future(store.dequeue(dequeue(3, "second", concurrency=2)))
        async with asyncio.timeout(20):
            waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not admin.execute(waits).fetchone():
                await asyncio.sleep(0)
        free = await store.dequeue(elsewhere)
        other.commit()
        second = await waiting

    assert [told["workflow_id"] for (told,) in taken] == ["w0", "w1"]
    assert [row.workflow_id for row in free] == ["elsewhere"]
    assert second == []


async def test_a_lease_that_is_being_renewed_while_it_runs_out_is_counted(
    store: PostgresStore, admin: psycopg.Connection[Any], postgres_url: str
) -> None:
    """DUR-13: of a paused worker that was nearly too late, and of one who takes its place, one has it."""
    await store.advance(replace(BEGIN, workflow_id="slow", owner="a", lease_s=0.0))
    await store.advance(PAUSE)
    await store.advance(replace(BEGIN, workflow_id="next"))

    with psycopg.connect(postgres_url) as other:
        later = (
            "UPDATE holdfast_execution SET lease_until = now() + interval '1 hour' WHERE workflow_id = 'slow'"
        )
        other.execute(later)
        meanwhile = await store.dequeue(dequeue(3, concurrency=1))
        other.commit()

    assert meanwhile == await store.dequeue(dequeue(3, concurrency=1)) == []


async def test_a_place_that_is_being_given_away_is_not_had_again(
    store: PostgresStore, admin: psycopg.Connection[Any], postgres_url: str
) -> None:
    """DUR-13, I3: neither by a renewal, nor by a step, nor by going on."""
    await store.advance(replace(BEGIN, workflow_id="slow", owner="a", lease_s=0.0))
    await store.advance(PAUSE)
    await store.advance(replace(BEGIN, workflow_id="next"))
    names, values = queues.dequeue_of(dequeue(2, "b", concurrency=1), None)
    lease, renewer = Lease("t", "slow", 1, is_execution=True), store.renewer()
    held = Progress(tenant="t", workflow_id="slow", epoch=1, lease_s=60.0, at=NOW)

    async def insist(op: ExecutionOp) -> None:
        """Wait for the row again and again: no wait for a lock is long."""
        with contextlib.suppress(StoreUnavailable):
            await store.advance(op)
            return
        await insist(op)

    with psycopg.connect(postgres_url) as other:
        [taken] = [other.execute(store._sql[name], values).fetchall() for name in names][-1]
        renewed = await asyncio.to_thread(renewer.renew, [lease], 60.0)
        writing = asyncio.ensure_future(insist(held))
        going_on = asyncio.ensure_future(insist(replace(PAUSE, to=Steering.RESUME)))
        async with asyncio.timeout(20):
            waits = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
            )
            while admin.execute(waits).fetchone() != (2,):
                await asyncio.sleep(0)
        other.commit()
        await asyncio.gather(writing, going_on)
    renewer.close()
    [slow] = await store.executions(ExecutionQuery(tenant="t", workflow_id="slow"))

    assert (taken[0]["workflow_id"], renewed) == ("next", set())
    assert (slow.status, slow.owner) == (WorkflowStatus.QUEUED, "")
    assert await store.dequeue(dequeue(3, concurrency=1)) == []


@pytest.mark.parametrize("rule", LIMITS[1:], ids=str)
async def test_what_gave_up_its_place_costs_an_empty_queue_nothing(
    store: PostgresStore, admin: psycopg.Connection[Any], rule: dict[str, int]
) -> None:
    """PER-01: as long as it is paused, nobody writes on its account."""
    await store.advance(replace(BEGIN, workflow_id="slow", owner="a", lease_s=0.0))
    await store.advance(PAUSE)
    await store.advance(replace(BEGIN, workflow_id="later", start_at=NOW + timedelta(days=9000)))

    costs = []
    for _ in range(10):
        before = commits(admin)
        assert await store.dequeue(dequeue(**rule)) == []
        costs.append(commits(admin) - before - 1)
    assert min(costs) == 0


def execution(n: int, chance: random.Random) -> ExecutionRecord:
    """Return one of the many that a queue may hold."""

    def about(seconds: int) -> datetime:
        return NOW + timedelta(seconds=chance.randint(-seconds, seconds // 2))

    status = chance.choice([*WorkflowStatus, *[WorkflowStatus.QUEUED] * 4, *[WorkflowStatus.WAITING] * 2])
    is_running = status is WorkflowStatus.RUNNING
    return ExecutionRecord(
        tenant="t",
        workflow_id=f"w{n}",
        function=chance.choice(["refund", "refund", "refund", "mail"]),
        version="1",
        status=status,
        input="{}",
        output=None,
        error=None,
        actor="a",
        queue=chance.choice(["q", "q", "q", "other"]),
        priority=chance.choice([0, 0, 1, -1]),
        limit_key=chance.choice(["", "k1", "k1", "k2", "k3"]),
        parent="",
        on_failure="leave",
        trace="",
        epoch=1,
        owner="x" if is_running else "",
        lease_until=about(9),
        crashes=0,
        wake_at=None if is_running or chance.random() < 0.1 else about(9),
        waits_for="",
        news=0,
        pause=chance.choice([Pause.NO] * 6 + [Pause.PERSON]),
        pause_reason="",
        is_cancelled=False,
        deadline_at=None,
        started_at=None if status is WorkflowStatus.QUEUED and chance.random() < 0.8 else about(9),
        created_at=NOW,
        updated_at=NOW,
        ended_at=None,
    )


INSERT = """
INSERT INTO holdfast_execution
SELECT (json_populate_record(NULL::holdfast_execution, e)).* FROM json_array_elements(%s::json) AS e
"""


def fill(admin: psycopg.Connection[Any], rows: Sequence[ExecutionRecord]) -> None:
    told = [{field.name: getattr(row, field.name) for field in fields(row)} for row in rows]
    admin.execute("TRUNCATE holdfast_execution")
    admin.execute(INSERT, [json.dumps(told, default=datetime.isoformat)])


@pytest.mark.parametrize("look", [1, 3, 100])
async def test_what_is_taken_within_limits_is_what_the_oracle_takes(
    postgres_url: str, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """However little of the queue is looked at before each key is; and so it is in a queue without a name."""
    monkeypatch.setattr(queues, "LOOK", look)
    store = PostgresStore(postgres_url, settings=SETTINGS, clock=lambda: NOW)
    chance = random.Random(look)
    far = 0
    for _ in range(60):
        rows = [execution(n, chance) for n in range(chance.randint(1, 40))]
        fill(admin, rows)
        rule = QueueRule(
            name="q",
            concurrency=chance.choice([None, 0, 1, 3, 8, 20]),
            per_key=chance.choice([None, 1, 2, 3]),
            rate=chance.choice([None, 2, 5, 10]),
            rate_s=4.0,
        )
        op = replace(dequeue(chance.randint(1, 6)), rule=rule, at=NOW)
        wanted = [row.workflow_id for row in chosen([row for row in rows if row.queue == "q"], op, NOW)]

        assert [row.workflow_id for row in await store.dequeue(op)] == wanted, rule
        far += len(wanted) > look
    await store.close()

    assert far > 0 or look == 100


BACKLOG = """
ALTER TABLE holdfast_execution SET (autovacuum_enabled = off);
INSERT INTO holdfast_execution (
    tenant, workflow_id, function, version, status, input, actor, queue, priority, limit_key, parent, on_failure, trace,
    epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason, is_cancelled, created_at,
    updated_at, started_at)
SELECT 't', kind || n, 'refund', '1', status::holdfast_status, '{}', 'a', 'q', n % 3,
       CASE WHEN n % 1000 = 0 THEN 'k' || n % 20000 ELSE 'noisy' END, '', 'leave', '', 0, '', now() + lasts, 0, due, '',
       0, '', '', false, now(), now(), since
FROM (VALUES ('queued-', 'queued', 100000, now() - interval '1 hour', NULL::timestamptz, interval '0'),
             ('asleep-', 'waiting', 20000, now() + interval '1 hour', now() - interval '1 day', interval '0'),
             ('signal-', 'waiting', 20000, NULL, now() - interval '1 day', interval '0'),
             ('running-', 'running', 30, NULL, now() - interval '1 day', interval '1 hour'),
             ('ended-', 'succeeded', 20000, NULL, now() - interval '1 day', interval '0'))
         AS of (kind, status, count, due, since, lasts),
     generate_series(1, count) AS n;
UPDATE holdfast_execution SET ended_at = now() WHERE status = 'succeeded';
"""


def visited(admin: psycopg.Connection[Any], op: Dequeue) -> tuple[int, int]:
    """How many were taken, and how many rows of executions were looked at for that, at most."""
    names, values = queues.dequeue_of(op, None)
    with admin.transaction(force_rollback=True):
        for name in names[:-1]:
            admin.execute(statements()[name], values)
        explained = b"EXPLAIN (ANALYZE, FORMAT JSON) " + statements()[names[-1]]
        [(told,)] = admin.execute(explained, values).fetchall()
    total = 0
    left = [told[0]["Plan"]]
    for node in left:
        left += node.get("Plans", ())
        if node.get("Relation Name") == "holdfast_execution" and node["Node Type"] != "ModifyTable":
            assert "Seq Scan" not in node["Node Type"]
            found = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            total += round(found * node["Actual Loops"])
    return round(told[0]["Plan"]["Actual Rows"]), total


@pytest.mark.parametrize("is_known", [False, True])
def test_of_a_hundred_thousand_that_wait_only_the_first_are_looked_at(
    admin: psycopg.Connection[Any], *, is_known: bool
) -> None:
    """PER-05: no sort, no scan of the queue; neither before there are statistics nor after, whatever the limits."""
    admin.execute(BACKLOG)
    if is_known:
        admin.execute("ANALYZE holdfast_execution")

    plain = visited(admin, dequeue(10))
    concurrency = visited(admin, dequeue(10, concurrency=100))
    full = visited(admin, dequeue(10, concurrency=30))
    rate = visited(admin, dequeue(10, rate=5))
    spent = visited(admin, dequeue(10, rate=0))
    noisy = visited(admin, dequeue(10, per_key=29))
    all_three = visited(admin, dequeue(10, concurrency=100, rate=5, per_key=29))
    texts = [plan(admin, name, queues.dequeue_of(dequeue(10), None)[1]) for name in ("dequeue",)]

    assert (plain[0], concurrency[0], full[0], rate[0], spent[0]) == (10, 10, 0, 5, 0)
    assert (noisy[0], all_three[0]) == (10, 5)
    assert plain[1] <= 100 + 30
    assert concurrency[1] <= 100 + 60
    assert full[1] <= 60
    assert max(rate[1], spent[1]) <= 150 + 60
    assert max(noisy[1], all_three[1]) <= 2000
    assert "holdfast_execution_due" in texts[0]
