"""What budgets cost a call on PostgreSQL, in counts; and that nobody waits for another in a circle."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import pytest
from wire_proxy import WireProxy

from holdfast import Budget, Ledger, Settings, SyncLedger, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import BudgetExceeded
from holdfast.ports import AccountQuery, CapChange, HoldQuery
from holdfast.stores.postgres.schema import migrate

MANY: Final = 10**6
THREE: Final = {
    "global": Budget(tool_calls=MANY, concurrency=MANY),
    "tenant": Budget(tool_calls=MANY, per="day"),
    "workflow": Budget(tool_calls=MANY),
}


@pytest.fixture
def wire(ledger_url: str) -> Iterator[WireProxy]:
    with WireProxy(ledger_url) as proxy:
        yield proxy


def call(number: int, workflow: str = "order-1") -> ToolCall:
    return ToolCall(workflow_id=workflow, tool="charge", args={"amount": number})


def charge(amount: int) -> int:
    return amount


async def acharge(amount: int) -> int:
    return amount


def commits(admin: psycopg.Connection) -> int:
    """Transactions of this database that wrote something, by the ids that they were given."""
    row = admin.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return row[0]


async def test_a_call_under_budgets_takes_the_trips_and_commits_of_one_without(
    wire: WireProxy, ledger_url: str
) -> None:
    """PER-04, COS-02: what is held and settled goes along; a replay reads one row and locks no budget."""
    async with Ledger(wire.url, migrate=True, budgets=THREE) as ledger:
        await ledger.run(call(0), acharge)  # connects, prepares
        with psycopg.connect(ledger_url, autocommit=True) as admin:
            costs = []
            for number, workflow in ((1, "order-1"), (2, "never-seen"), (1, "order-1")):
                before = commits(admin)
                wire.take()
                await ledger.run(call(number, workflow), acharge)
                costs.append((wire.take(), commits(admin) - before - 1))  # looking takes an id as well

    assert costs == [(2, 2), (2, 2), (1, 0)]


def test_the_blocking_ledger_pays_no_more_for_budgets(wire: WireProxy) -> None:
    with SyncLedger(wire.url, migrate=True, budgets=THREE) as ledger:
        ledger.run(call(0), charge)
        wire.take()
        ledger.run(call(1), charge)
        new = wire.take()
        ledger.run(call(1), charge)
        replay = wire.take()

    assert (new, replay) == (2, 1)


async def test_calls_under_budgets_that_meet_share_their_round_trips(wire: WireProxy) -> None:
    """PER-04: 64 calls on one row need far fewer than 128 round trips, and each counts once."""
    async with Ledger(wire.url, migrate=True, budgets=THREE) as ledger:
        await ledger.run(call(0), acharge)
        wire.take()
        results = await asyncio.gather(*(ledger.run(call(n), acharge) for n in range(1, 65)))
        shared = wire.take()
        levels = await ledger._engine.parts.store.budgets.levels(AccountQuery(owner=""))

    assert results == list(range(1, 65))
    assert shared <= 16
    assert [(level.unit, level.spent, level.held) for level in levels] == [
        ("concurrency", 0, 0),
        ("tool_calls", 65, 0),
    ]


async def test_a_batch_admits_what_fits_and_refuses_the_rest(ledger_url: str) -> None:
    """COS-02, I5: of 40 calls at once 13 fit, and none of the others has left anything."""
    budgets = {"tenant": Budget(tool_calls=13), "workflow": Budget(tool_calls=MANY)}
    async with Ledger(ledger_url, migrate=True, budgets=budgets) as ledger:
        told = await asyncio.gather(
            *(ledger.run(call(n, f"w{n % 3}"), acharge) for n in range(40)), return_exceptions=True
        )
        store = ledger._engine.parts.store
        levels = await store.budgets.levels(AccountQuery(owner="default"))
        holds = await store.budgets.holds(HoldQuery(tenant="default"))

    assert sum(isinstance(each, int) for each in told) == len(holds) == 13
    assert sum(isinstance(each, BudgetExceeded) for each in told) == 27
    assert {level.held for level in levels} == {0}
    assert [level.spent for level in levels if level.account == "tenant"] == [13]
    assert sum(level.spent for level in levels if level.account != "tenant") == 13


@pytest.mark.parametrize("statement", ["holdfast_settled_v2('t', 'k', 1, 'actual')"])
def test_what_an_effect_holds_is_looked_up_by_its_key(ledger_url: str, statement: str) -> None:
    """PER-04: also in a table without statistics; else each settlement reads every hold of the tenant."""
    migrate(ledger_url)
    with psycopg.connect(ledger_url, autocommit=True) as db:
        db.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in db.execute(f"EXPLAIN SELECT * FROM {statement}".encode()))

    assert "holdfast_hold_pkey" in plan


def test_a_settlement_rewrites_no_index(ledger_url: str) -> None:
    """What is settled changes no indexed column, so that the update stays on its page."""
    migrate(ledger_url)
    with psycopg.connect(ledger_url, autocommit=True) as db:
        indexed = db.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid IN ('holdfast_hold'::regclass, 'holdfast_budget'::regclass)"
        ).fetchall()

    changing = ("state", "spent", "settled", "usage", "held", "granted", "raised", "cap", "window", "updated")
    assert len(indexed) == 4
    assert not [row[0] for row in indexed if any(name in row[0] for name in changing)]


def test_nobody_waits_in_a_circle_whatever_sets_of_budgets_meet(ledger_url: str) -> None:
    """I5: claims on new and old budgets, divided ones too, caps that people change, and housekeeping, all at once."""
    accounts = [f"agent:{n}" for n in range(6)]
    wrong: list[BaseException] = []
    begin = threading.Barrier(4)

    def spend(worker: int) -> int:
        chance = random.Random(worker)
        made = 0
        with SyncLedger(ledger_url, settings=Settings(pool_size=4)) as ledger:
            begin.wait()
            with ThreadPoolExecutor(4) as threads:
                for told in threads.map(
                    lambda n: once(ledger, chance.sample(accounts, 3), worker, n), range(40)
                ):
                    made += told
        return made

    def once(ledger: SyncLedger, names: list[str], worker: int, n: int) -> int:
        around = [(name, Budget(tool_calls=MANY, slices=3 * (n % 2 + len(name) % 2))) for name in names]
        try:
            with ledger.budget(*around[0]), ledger.budget(*around[1]), ledger.budget(*around[2]):
                ledger.run(call(n, f"w{worker}"), charge)
        except BaseException as error:  # noqa: BLE001 - shown at the end
            wrong.append(error)
            return 0
        return 1

    def keep(store_url: str, over: threading.Event) -> None:
        with SyncLedger(store_url) as ledger:
            store = ledger._engine.parts.store
            run_sync(store.open())
            while not over.is_set():
                now = datetime.now(UTC)
                for name in accounts:
                    change = CapChange(
                        owner="default", account=f"scope:{name}", unit="tool_calls", per="", cap=MANY, was=0,
                        raised=0, at=now,
                    )  # fmt: skip
                    run_sync(store.budgets.put_cap(change))
                run_sync(store.reap_rest("default", now - timedelta(days=1), 100))

    migrate(ledger_url)
    over = threading.Event()
    keeper = threading.Thread(target=keep, args=(ledger_url, over))
    keeper.start()
    try:
        with ThreadPoolExecutor(4) as workers:
            made = sum(workers.map(spend, range(4)))
    finally:
        over.set()
        keeper.join()
    with SyncLedger(ledger_url) as ledger:
        levels = run_sync(ledger._engine.parts.store.budgets.levels(AccountQuery(owner="default")))

    assert wrong == []
    assert made == 160
    assert {level.held for level in levels} == {0}
    assert sum(level.spent for level in levels) == 3 * made
