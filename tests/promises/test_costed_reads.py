"""Reads that cost money hold it before they are made, and settle what they spent, whatever becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Budget, Effect, NotDone, Permanent
from holdfast.errors import BudgetExceeded, StoreUnavailable
from promises.ledgers import DEAD_SOON, Gate, Place, vanish
from promises.test_budget_alerts import quiet
from promises.test_budget_outage import BACK, GONE, Outage
from promises.test_budgets import World, call
from promises.test_costed_tools import QUICK, by_tool, level_of, spending, spent, states

LOOK: dict[str, Any] = {"safety": "read", "retry": False, "cost": "0.50 USD"}


async def test_a_read_that_no_longer_fits_is_refused_before_it_is_made(place: Place) -> None:
    """COS-03, COS-20: while one without a cost is counted when it is recorded."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00", tool_calls=9)}), World()
    for _ in range(4):  # a read is made each time
        assert await book.run(call(1), book.handler(world.pay), **LOOK) == 1

    with pytest.raises(BudgetExceeded, match="tenant/usd has no room") as refused:
        await book.run(call(1), book.handler(world.pay), **LOOK)

    assert not refused.value.was_read
    assert world.ran == [1, 1, 1, 1]
    assert await by_tool(book) == {("pay", "usd"): (4, 2_000_000)}
    assert await spent(book) == (2_000_000, 0)
    assert await spent(book, "tool_calls") == (4, 0)
    assert [effect.tool for effect in await book.effects(workflow_id="w")] == ["pay"]
    assert (await book.verify()).ok


async def test_while_a_read_is_made_the_most_that_it_costs_is_held(place: Place) -> None:
    """COS-02."""
    book, gate = place.open(budgets={"tenant": Budget(usd="0.80", concurrency=1)}), Gate()

    def slow(n: int, effect: Effect) -> int:
        gate.wait()
        effect.spend("0.20 USD", tokens=12)
        return n

    reading = asyncio.ensure_future(book.run(call(1), slow, **LOOK))
    await gate.reached()
    assert await spent(book) == (0, 500_000)
    assert (await level_of(book, "concurrency")).held == 1
    with pytest.raises(BudgetExceeded):
        await book.run(call(2), book.handler(World().pay), **LOOK)
    gate.open()

    assert await reading == 1
    assert await spent(book) == (200_000, 0)
    assert (await level_of(book, "concurrency")).held == 0
    [part] = (await book.costs(by="workflow")).parts
    assert (part.name, part.money, part.tokens, part.wasted_money) == ("w", 200_000, 12, 0)


async def test_each_attempt_of_a_read_counts_and_those_that_failed_were_for_nothing(place: Place) -> None:
    """COS-16."""
    book, tries = place.open(budgets={"tenant": Budget(usd="2.00")}), list[int]()

    def flaky(n: int, effect: Effect) -> int:
        tries.append(effect.attempt)
        if len(tries) == 1:
            effect.spend("0.20 USD")
        if len(tries) < 3:
            raise NotDone("not this time")
        return n

    assert await book.run(call(1), book.handler(flaky), **{**LOOK, "retry": QUICK}) == 1

    assert tries == [1, 2, 3]
    assert await spent(book) == (1_200_000, 0)
    assert sum(part.wasted_money for part in (await book.costs()).parts) == 700_000
    assert await by_tool(book) == {("pay", "usd"): (3, 1_200_000)}


@pytest.mark.parametrize(
    ("said", "error", "counts"),
    [
        (["0.03 USD"], Permanent("no"), 30_000),
        ([], Permanent("no"), 500_000),
        (["0 USD"], KeyError("x"), 0),
        ([], TimeoutError(), 500_000),
    ],
)
async def test_a_read_that_failed_costs_what_it_said_or_else_what_was_declared(
    place: Place, said: list[str], error: Exception, counts: int
) -> None:
    """COS-16."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00")}), World()

    with pytest.raises(type(error)):
        await book.run(call(1), book.handler(spending(world, *said, then=error)), **LOOK)

    assert await spent(book) == (counts, 0)
    assert await states(book) == [("settled", counts)]


async def test_what_a_read_says_after_its_time_is_over_is_too_late(place: Place) -> None:
    """COS-16: what was declared counts."""
    book, gate = place.open(budgets={"tenant": Budget(usd="2.00")}), Gate()

    def slow(n: int) -> None:
        gate.wait()

    with pytest.raises(TimeoutError):
        await book.run(call(1), slow, **LOOK, timeout=0.05)
    gate.open()

    assert await spent(book) == (500_000, 0)


async def test_who_dies_in_a_read_spent_what_it_may_cost_once_its_claim_is_over(place: Place) -> None:
    """COS-14."""
    budgets = {"tenant": Budget(usd="1.00", concurrency=1)}
    dead, gate = place.open(settings=DEAD_SOON, budgets=budgets), Gate()

    def dies(n: int) -> None:
        gate.wait()

    reading = asyncio.ensure_future(dead.run(call(1), dies, **LOOK))
    await gate.reached()
    await vanish(dead.ledger)
    book, world = place.open(settings=DEAD_SOON, budgets=budgets), World()
    [own] = await book.effects(tool="holdfast:read")
    while (await book.effect(own.key)).lease_until > datetime.now(UTC):
        pass

    assert await book.run(call(2), book.handler(world.pay), **LOOK) == 2  # and has the dead one's seat

    assert await spent(book) == (1_000_000, 0)
    assert await states(book) == [("assumed", 500_000), ("settled", 500_000)]
    gate.open()
    with suppress(Exception):
        await reading


async def test_a_read_that_outlives_its_claim_tells_what_it_spent_all_the_same(place: Place) -> None:
    """COS-14."""
    book, gate = place.open(settings=DEAD_SOON, budgets={"tenant": Budget(usd="1.00")}), Gate()

    def slow(n: int, effect: Effect) -> int:
        gate.wait()
        effect.spend("0.10 USD")
        return n

    reading = asyncio.ensure_future(book.run(call(1), slow, **LOOK))
    await gate.reached()
    book.ledger._engine.parts.heartbeat.forget_parent()  # it is frozen: nobody renews its claim
    [own] = await book.effects(tool="holdfast:read")
    while (await book.effect(own.key)).lease_until > datetime.now(UTC):
        pass
    assert (await book.sweep()).buried == (own.key,)
    assert await spent(book) == (500_000, 0)
    gate.open()

    assert await reading == 1
    assert await spent(book) == (100_000, 0)
    assert await states(book) == [("settled", 100_000)]


async def test_a_read_that_is_answered_from_the_record_costs_nothing(place: Place) -> None:
    """COS-15."""
    book, world = place.open(budgets={"tenant": Budget(usd="0.50")}), World()

    for _ in range(5):
        assert await book.run(call(1), book.handler(world.pay), **LOOK, max_age="1h") == 1

    assert world.ran == [1]
    assert await spent(book) == (500_000, 0)


async def test_a_read_that_costs_is_in_the_reports_where_no_budget_asks_for_it(place: Place) -> None:
    """COS-16."""
    book, world = place.open(), World()

    for n in range(3):
        await book.run(call(n), book.handler(spending(world, "0.01 USD")), **LOOK)

    assert await by_tool(book) == {("pay", "usd"): (3, 30_000)}


async def test_a_result_that_cannot_be_kept_was_paid_all_the_same(place: Place) -> None:
    book = place.open(budgets={"tenant": Budget(usd="2.00")})

    with pytest.raises(Exception, match="JSON"):
        await book.run(call(1), book.handler(lambda n: object()), **LOOK)

    assert await spent(book) == (500_000, 0)
    assert sum(part.wasted_money for part in (await book.costs()).parts) == 0


@pytest.mark.parametrize("budgets", [{}, {"tenant": Budget(usd="5.00")}])
async def test_without_the_store_a_read_that_costs_is_refused_before_it_is_made(
    place: Place, budgets: Any
) -> None:
    """COS-20: also where no budget caps it, for nobody could say later what was spent."""
    there = Outage(place, **budgets)
    await there.book.run(call(0), there.book.handler(there.world.pay), **LOOK)
    there.away.left = GONE

    with pytest.raises(StoreUnavailable):
        await there.book.run(call(1), there.book.handler(there.world.pay), **LOOK)

    there.away.left = BACK
    assert there.world.ran == [0]
    assert await by_tool(there.book) == {("pay", "usd"): (1, 500_000)}


async def test_reads_that_cost_are_let_through_without_the_store_and_counted_afterwards(place: Place) -> None:
    """COS-20: by the most that they may cost, beyond the cap if need be."""
    there = Outage(place, tenant=Budget(usd="1.20", on_outage="allow", alert_at=()))
    await there.book.run(call(0), there.book.handler(there.world.pay), **LOOK)
    there.away.left = GONE
    for n in range(1, 4):
        receipt = await there.book.call(call(n), there.book.handler(there.world.pay), **LOOK)
        assert [finding.code for finding in receipt.findings] == ["unaccounted"]
    there.away.left = BACK
    await there.book.sweep()
    await quiet(there.book)

    assert await there.levels() == {"tenant/usd": (2_000_000, 0, 1_200_000)}
    assert await by_tool(there.book) == {("pay", "usd"): (2, 2_000_000)}
    with pytest.raises(BudgetExceeded):
        await there.book.run(call(9), there.book.handler(there.world.pay), **LOOK)
    assert there.world.ran == [0, 1, 2, 3]


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_store_that_goes_away_while_a_read_is_made_counts_it_once(place: Place) -> None:
    """COS-14, COS-20: by what was held for it, when its claim is over."""
    there = Outage(place, tenant=Budget(usd="5.00", on_outage="allow", alert_at=()))
    await there.book.run(call(0), there.book.handler(there.world.pay), **LOOK)

    def goes(n: int) -> int:
        there.away.left = GONE
        return n

    receipt = await there.book.call(call(1), there.book.handler(goes), **LOOK)
    there.away.left = BACK
    [own] = [effect for effect in await there.book.effects(tool="holdfast:read") if effect.state == "pending"]
    while (await there.book.effect(own.key)).lease_until > datetime.now(UTC):
        pass
    await there.book.sweep()

    assert (receipt.result, [finding.code for finding in receipt.findings]) == (1, ["unaccounted"])
    assert await there.levels() == {"tenant/usd": (1_000_000, 0, 5_000_000)}
