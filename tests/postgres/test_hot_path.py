"""What a call costs on PostgreSQL, in counts: they cannot be noise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from wire_proxy import WireProxy

from holdfast import Ledger, SyncLedger, ToolCall


@pytest.fixture
def wire(ledger_url: str) -> Iterator[WireProxy]:
    with WireProxy(ledger_url) as proxy:
        yield proxy


def call(number: int) -> ToolCall:
    return ToolCall(workflow_id="order-1", tool="charge", args={"amount": number})


def charge(amount: int) -> dict[str, int]:
    return {"charged": amount}


async def acharge(amount: int) -> dict[str, int]:
    return {"charged": amount}


def commits(admin: psycopg.Connection) -> int:
    """Transactions of this database that wrote something, by the ids that they were given."""
    row = admin.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return row[0]


async def test_a_new_call_is_two_round_trips_and_two_commits_and_a_replay_one_and_none(
    wire: WireProxy, ledger_url: str
) -> None:
    """PER-01, X15: claim and record are one statement, one round trip and one durable commit each."""
    async with Ledger(wire.url, migrate=True) as ledger:
        await ledger.run(call(0), acharge)  # connects, prepares
        with psycopg.connect(ledger_url, autocommit=True) as admin:
            before = commits(admin)
            wire.take()
            await ledger.run(call(1), acharge)
            new = wire.take(), commits(admin) - before - 1  # looking takes an id as well

            before = commits(admin)
            wire.take()
            receipt = await ledger.call(call(1), acharge)
            replay = wire.take(), commits(admin) - before - 1

            written = []
            for _ in range(5):  # the server writes on its own as well, now and then: that can only add
                lsn = admin.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
                await ledger.call(call(1), acharge)
                wal = admin.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", lsn).fetchone()
                assert wal is not None
                written.append(wal[0])

    assert new == (2, 2)
    assert replay == (1, 0)
    assert receipt.replayed
    assert min(written) == 0


async def test_a_new_call_after_a_replay_costs_no_more(wire: WireProxy) -> None:
    async with Ledger(wire.url, migrate=True) as ledger:
        await ledger.run(call(0), acharge)
        counts = []
        for number in (1, 1, 2, 1, 3):
            wire.take()
            await ledger.run(call(number), acharge)
            counts.append(wire.take())

    assert counts == [2, 1, 2, 1, 2]


def test_the_blocking_ledger_costs_the_same(wire: WireProxy) -> None:
    with SyncLedger(wire.url, migrate=True) as ledger:
        ledger.run(call(0), charge)
        wire.take()
        ledger.run(call(1), charge)
        new = wire.take()
        ledger.run(call(1), charge)
        replay = wire.take()

    assert (new, replay) == (2, 1)


async def test_calls_that_meet_share_their_round_trips(wire: WireProxy) -> None:
    """Group commit: 64 calls at once need far fewer than 128 round trips, and lose nothing."""
    async with Ledger(wire.url, migrate=True) as ledger:
        await ledger.run(call(0), acharge)
        wire.take()
        results = await asyncio.gather(*(ledger.run(call(n), acharge) for n in range(1, 65)))
        shared = wire.take()

    assert results == [{"charged": n} for n in range(1, 65)]
    assert shared <= 16


async def test_reads_take_one_commit_and_at_most_one_look_at_their_dependency(wire: WireProxy) -> None:
    """RET-16: a read holds no claim whose guard could look; so it looks by itself, once a second."""
    async with Ledger(wire.url, migrate=True) as ledger:
        await ledger.run(call(0), acharge, safety="read")  # its look opens the connection for looks
        wire.take()
        await ledger.run(call(1), acharge, safety="read", dependency=False)
        alone = wire.take()
        await ledger.run(call(2), acharge, safety="read")
        looking = wire.take()

    assert alone == 1
    assert looking <= 2


async def test_nobody_is_notified_unless_somebody_waits(ledger_url: str) -> None:
    """PER-03: NOTIFY takes a global lock at commit, so it is sent only for a row that a joiner marked."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(amount: int) -> int:
        entered.set()
        await leave.wait()
        return amount

    heard: list[str] = []
    async with Ledger(ledger_url, migrate=True) as ledger, Ledger(ledger_url) as other:
        await ledger.run(call(0), acharge)
        listener = await psycopg.AsyncConnection.connect(ledger_url, autocommit=True)
        await listener.execute("LISTEN holdfast")
        await ledger.run(call(1), acharge)
        owner = asyncio.create_task(ledger.run(call(2), slow))
        await entered.wait()
        joiner = asyncio.create_task(other.call(call(2), slow))
        async with asyncio.timeout(20):
            while not (await ledger._engine.records.record((await ledger.effects(limit=1))[0].key)).joined:
                await asyncio.sleep(0)
        leave.set()
        joined = await joiner
        await owner
        heard += [notice.payload async for notice in listener.notifies(timeout=1)]
        await listener.close()

    assert joined.result == 2
    assert joined.replayed
    assert heard == [joined.key]
