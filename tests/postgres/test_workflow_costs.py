"""What workflows cost on PostgreSQL, in counts: round trips and commits of a step, connections of a thousand runs."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from wire_proxy import WireProxy

from holdfast import Ledger, Settings
from holdfast.engines import Worker

UNDISTURBED = Settings(lease=600, renew_every=200)
"""Nobody renews a lease while somebody counts."""

RUNS = 1_000


def commits(admin: psycopg.Connection[Any]) -> int:
    """Transactions of this database that wrote something, by the ids that they were given."""
    [(count,)] = admin.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
    return int(count)


async def price(wire: WireProxy, admin: psycopg.Connection[Any], *, of_tools: bool) -> tuple[float, float]:
    """Round trips and commits that each further step of a pipeline costs."""

    async def work(n: int) -> int:
        return n

    async with Ledger(wire.url, settings=UNDISTURBED, migrate=True) as ledger:
        charge = ledger.tool(dependency=False)(work)

        @ledger.workflow
        async def pipeline(ctx: Any, count: int) -> list[int]:
            steps = (charge(n=n) if of_tools else ctx.step(f"step {n}", work, n) for n in range(count))
            return [await step for step in steps]

        await pipeline.run("connects and prepares", count=1)
        counts = []
        for count in (16, 48):
            told = []
            for n in range(3):  # the server writes on its own as well, now and then: that can only add
                before = commits(admin)
                wire.take()
                assert await pipeline.run(f"run {n} of {count}", count=count) == list(range(count))
                told.append((wire.take(), commits(admin) - before - 1))  # looking takes an id as well
            counts.append(min(told))
    (trips, writes), (more_trips, more_writes) = counts
    return (more_trips - trips) / 32, (more_writes - writes) / 32


async def test_a_step_costs_two_round_trips_and_no_more_than_a_call(ledger_url: str) -> None:
    """PLN-05, PER-01: a note that it began, and its end; only the end waits for the disk."""
    with WireProxy(ledger_url) as wire, psycopg.connect(ledger_url, autocommit=True) as admin:
        assert await price(wire, admin, of_tools=False) == (2, 2)


async def test_a_tool_costs_a_note_more_inside_of_a_workflow_than_outside(ledger_url: str) -> None:
    """PLN-05, PER-01: claim and record, which wait for the disk, and before them a note, which does not.

    That the workflow was told of it goes along with the next note.
    """
    with WireProxy(ledger_url) as wire, psycopg.connect(ledger_url, autocommit=True) as admin:
        trips, writes = await price(wire, admin, of_tools=True)

    assert 3 <= trips <= 3.125
    assert 3 <= writes <= 3.125


async def test_a_thousand_workflows_stay_within_the_pool_and_closing_leaves_no_connection(
    ledger_url: str,
) -> None:
    """STA-13: begun, put away, woken and gone on with by workers; the pool, and one connection each for notes, for
    steps, for what begins and ends, for notifications and for leases, two for what is looked up."""
    name = "holdfast_thousand_runs"
    settings = Settings(pool_size=4)
    seen: list[int] = []
    with psycopg.connect(ledger_url, autocommit=True) as admin:

        def connections() -> int:
            known = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            [(count,)] = admin.execute(known, (name,)).fetchall()
            return int(count)

        async with Ledger(f"{ledger_url}&application_name={name}", settings=settings, migrate=True) as ledger:

            async def look(n: int) -> int:
                if n % 50 == 0:
                    seen.append(connections())
                return n

            @ledger.workflow
            async def waits(ctx: Any, n: int) -> int:
                await ctx.wait_for("go")
                return await ctx.step("look", look, n)

            ids = [f"run-{n}" for n in range(RUNS)]
            await asyncio.gather(*(waits.enqueue(each, n=n) for n, each in enumerate(ids)))
            worker = Worker(ledger, concurrency=32)
            working = asyncio.create_task(worker.run())
            await asyncio.gather(*(ledger.signal(each, "go") for each in ids))
            assert [await waits.result(each) for each in ids] == list(range(RUNS))
            worker.stop()
            await working
        async with asyncio.timeout(10):
            while connections():
                await asyncio.sleep(0)  # the server takes note of a closed connection by itself

    assert len(seen) == RUNS / 50
    assert max(seen) <= settings.pool_size + 7
