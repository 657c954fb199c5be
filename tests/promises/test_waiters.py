"""PER-03 and STA-13: waiters are woken rather than hammering, and connections are bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from holdfast import Ledger, Settings, SyncLedger, ToolCall
from promises.ledgers import CALL, Calls, Gate, Place
from promises.watched import Watched

WAITERS = 16
HELD_S = 0.6


async def test_sixteen_waiters_are_woken_and_do_not_hammer_the_database(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    """PER-03: few looks per second each; how soon they woke is reported, not asserted, for machines are busy."""
    owner, gate, calls = place.open(), Gate(), Calls()
    watched = Watched(place)
    waiter = place.open(watched)
    woken: list[float] = []

    def charge(amount: int, currency: str) -> Any:
        gate.wait()
        return calls.charge(amount, currency)

    async def wait_for_it() -> None:
        assert await waiter.run(CALL, handler=waiter.handler(calls.charge)) == calls.result
        woken.append(time.monotonic())

    owning = asyncio.ensure_future(owner.run(CALL, handler=charge))
    await gate.reached()
    waiting = [asyncio.ensure_future(wait_for_it()) for _ in range(WAITERS)]
    await watched.found(WAITERS)
    started, before = time.monotonic(), watched.finds
    await asyncio.wait(waiting, timeout=HELD_S)  # nobody may be done yet
    looks = (watched.finds - before) / WAITERS / (time.monotonic() - started)
    gate.open()
    await owning
    opened = time.monotonic()
    await asyncio.gather(*waiting)

    record_property(f"looks_per_second_{place.kind}", round(looks, 1))
    record_property(f"last_woken_after_ms_{place.kind}", round((max(woken) - opened) * 1000))
    assert calls.count == 1
    assert looks <= 25, "more than few"
    assert max(woken) - opened < 10


def connections(url: str, name: str) -> int:
    with psycopg.connect(url) as db:
        row = db.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [name]
        ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_thousand_calls_at_once_stay_within_the_pool_and_closing_leaves_nothing(
    ledger_url: str, group_commit: bool
) -> None:
    """STA-13: the pool, and one connection each for commits, notifications and leases."""
    settings = Settings(pool_size=4, group_commit=group_commit)
    seen: list[int] = []
    async with Ledger(f"{ledger_url}&application_name=crowd", settings=settings, migrate=True) as ledger:

        async def handler(n: int) -> int:
            if n % 100 == 0:
                seen.append(await asyncio.to_thread(connections, ledger_url, "crowd"))
            return n

        calls = [ToolCall(workflow_id="w", tool="t", args={"n": n}) for n in range(1000)]
        results = await asyncio.gather(*(ledger.run(call, handler=handler) for call in calls))

    assert results == list(range(1000))
    assert 0 < max(seen) <= settings.pool_size + 3
    assert await gone(ledger_url, "crowd")


async def test_threads_of_a_sync_ledger_stay_within_the_pool_too(ledger_url: str) -> None:
    """STA-13."""
    settings = Settings(pool_size=4)
    place = Place("sync-postgres", f"{ledger_url}&application_name=threads")
    book, seen = place.open(settings=settings), []

    def handler(n: int) -> int:
        if n % 20 == 0:
            seen.append(connections(ledger_url, "threads"))
        return n

    assert isinstance(book.ledger, SyncLedger)
    calls = [ToolCall(workflow_id="w", tool="t", args={"n": n}) for n in range(100)]
    results = await asyncio.gather(*(book.run(call, handler=handler) for call in calls))
    await place.close()

    assert results == list(range(100))
    assert 0 < max(seen) <= settings.pool_size + 3
    assert await gone(ledger_url, "threads")


async def gone(url: str, name: str) -> bool:
    """Whether the server has noticed, soon, that all clients of *name* hung up."""
    deadline = time.monotonic() + 10
    while count := await asyncio.to_thread(connections, url, name):
        assert time.monotonic() < deadline, f"{count} connections are still open"
    return True
