"""Tools that cost money: the most that an attempt costs is held before it is made, what it spent counts after it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, get_args

import pytest

from holdfast import Budget, Done, Effect, NotDone, Permanent, RetryPolicy, Undone
from holdfast._runtime.drive import run_sync
from holdfast.errors import (
    BudgetExceeded,
    CurrencyMismatch,
    InvalidCall,
    InvalidTool,
    LeaseLost,
    OutcomeUnknown,
)
from holdfast.ledger import Level, SpentBy
from holdfast.ports import HoldQuery
from promises.ledgers import DEAD_SOON, PATIENCE_S, Book, Gate, Place
from promises.test_budgets import World, call

HALF: dict[str, Any] = {"safety": "idempotent", "retry": False, "cost": "0.50 USD"}
QUICK = RetryPolicy(maximum_attempts=5, initial_interval=0.001, maximum_interval=0.001)


async def level_of(book: Book, unit: str = "usd", account: str = "tenant") -> Level:
    [found] = [level for level in await book.budgets(account=account) if level.unit == unit]
    assert isinstance(found, Level)
    return found


async def spent(book: Book, unit: str = "usd") -> tuple[int, int]:
    """What the tenant's budget says is spent and held."""
    level = await level_of(book, unit)
    return level.spent, level.held


async def by_tool(book: Book) -> dict[tuple[str, str], tuple[int, int]]:
    """Attempts and money by tool and currency; and whatever it is divided by, the sums are the same."""
    reports = [await book.costs(by=by) for by in get_args(SpentBy)]
    assert all(report.totals == reports[0].totals for report in reports)
    [tools] = [report for report in reports if report.by == "tool"]
    return {(part.name, part.currency): (part.attempts, part.money) for part in tools.parts}


async def states(book: Book) -> list[tuple[str, int | None]]:
    """Where the holds stand, and what they came to, the oldest first."""
    asked = book.ledger._engine.parts.store.budgets.holds(HoldQuery(tenant="default"))
    found = await book.do(run_sync, asked) if book.is_sync else await asked
    return [
        (hold.state, hold.spent_money) for hold in sorted(found, key=lambda hold: (hold.at, hold.attempt))
    ]


def spending(world: World, *said: str, then: Exception | None = None) -> Any:
    """A handler that says what it spent, and ends so."""

    def pay(n: int, effect: Effect) -> int:
        world.ran.append(n)
        for cost in said:
            effect.spend(cost)
        if then is not None:
            raise then
        return n

    return pay


async def test_the_fifth_call_of_half_a_dollar_is_refused_under_a_cap_of_two(place: Place) -> None:
    """COS-03, COS-16: before anything ran."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00")}), World()
    for n in range(4):
        await book.run(call(n), book.handler(world.pay), **HALF)

    with pytest.raises(BudgetExceeded, match="tenant/usd has no room") as refused:
        await book.run(call(4), book.handler(world.pay), **HALF)

    told = refused.value
    assert (told.used, told.held, told.cap, told.needed) == (2_000_000, 0, 2_000_000, 500_000)
    assert world.ran == [0, 1, 2, 3]
    assert await by_tool(book) == {("pay", "usd"): (4, 2_000_000)}


async def test_while_a_call_is_under_way_the_most_that_it_costs_is_held(place: Place) -> None:
    """COS-02: also when its handler has said already that it spent less."""
    book, seen = place.open(budgets={"tenant": Budget(usd="0.60")}), list[tuple[int, int]]()
    other = place.open(budgets={"tenant": Budget(usd="0.60")})
    world = World()

    async def outer(n: int, effect: Effect) -> int:
        effect.spend("0.10 USD")
        seen.append(await spent(other))
        with pytest.raises(BudgetExceeded, match="tenant/usd"):
            await other.run(call(2), other.handler(world.pay), **HALF)
        return n

    def plainly(n: int, effect: Effect) -> int:
        effect.spend("0.10 USD")
        [level] = other.ledger.budgets(account="tenant")
        seen.append((level.spent, level.held))
        with pytest.raises(BudgetExceeded, match="tenant/usd"):
            other.ledger.run(call(2), world.pay, **HALF)
        return n

    await book.run(call(1), plainly if book.is_sync else outer, **HALF)

    assert seen == [(0, 500_000)]
    assert await spent(book) == (100_000, 0)
    assert await other.run(call(2), other.handler(world.pay), **HALF) == 2


async def test_what_a_handler_says_that_it_spent_counts_instead_and_its_last_word(place: Place) -> None:
    """COS-16."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00")}), World()

    await book.run(call(1), book.handler(spending(world, "0.40 USD", "0.013 USD")), **HALF)
    await book.run(call(2), book.handler(spending(world, "0 USD")), **HALF)
    await book.run(call(3), book.handler(world.pay), **HALF)

    assert await spent(book) == (513_000, 0)
    assert await by_tool(book) == {("pay", "usd"): (3, 513_000)}


async def test_more_than_was_declared_is_told_as_it_was_and_stops_the_next_call(place: Place) -> None:
    """COS-16: what is so is on record, although a cap is passed; then nothing more fits."""
    book, world = place.open(budgets={"tenant": Budget(usd="1.00")}), World()

    await book.run(call(1), book.handler(spending(world, "3.00 USD")), **HALF)

    assert await spent(book) == (3_000_000, 0)
    assert await by_tool(book) == {("pay", "usd"): (1, 3_000_000)}
    with pytest.raises(BudgetExceeded, match="tenant/usd"):
        await book.run(call(2), book.handler(world.pay), **HALF)
    assert world.ran == [1]


async def test_each_retry_of_a_tool_that_costs_is_counted(place: Place) -> None:
    """COS-16: by what it declared where it said nothing, and by what it said where it failed."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00")}), World()

    def flaky(n: int, effect: Effect) -> int:
        world.ran.append(n)
        if len(world.ran) == 1:
            effect.spend("0.20 USD")
        if len(world.ran) < 3:
            raise NotDone("not this time")
        return n

    await book.run(call(1), book.handler(flaky), **{**HALF, "retry": QUICK})

    assert await spent(book) == (1_200_000, 0)
    assert await by_tool(book) == {("pay", "usd"): (3, 1_200_000)}
    waste = await book.costs(by="waste")
    assert {part.name: part.money for part in waste.parts} == {"": 500_000, "retried": 700_000}


async def test_a_retry_that_no_longer_fits_is_not_made(place: Place) -> None:
    """COS-03, COS-16."""
    book, world = place.open(budgets={"tenant": Budget(usd="1.20")}), World()

    with pytest.raises(BudgetExceeded):
        await book.run(call(1), book.handler(spending(world, then=NotDone("no"))), **{**HALF, "retry": QUICK})

    assert world.ran == [1, 1]
    assert await spent(book) == (1_000_000, 0)


async def test_what_was_spent_before_a_call_failed_counts(place: Place) -> None:
    """COS-16."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00")}), World()

    with pytest.raises(Permanent):
        await book.run(call(1), book.handler(spending(world, "0.03 USD", then=Permanent("no"))), **HALF)

    assert await spent(book) == (30_000, 0)
    waste = await book.costs(by="waste")
    assert {part.name: part.money for part in waste.parts} == {"failed": 30_000}


@pytest.mark.parametrize(("evidence", "counts"), [(Done(result=1), 500_000), (NotDone(), 0)])
async def test_doubt_counts_by_what_was_declared_until_it_is_resolved(
    place: Place, evidence: Any, counts: int
) -> None:
    """COS-14, COS-16."""
    book, world = place.open(budgets={"tenant": Budget(usd="0.80")}), World()
    unsure = {**HALF, "safety": "unsafe"}
    with pytest.raises((OutcomeUnknown, TimeoutError)):
        await book.run(call(1), book.handler(spending(world, then=TimeoutError())), **unsure)
    assert await states(book) == [("assumed", 500_000)]
    assert await spent(book) == (500_000, 0)
    with pytest.raises(BudgetExceeded):
        await book.run(call(2), book.handler(world.pay), **HALF)

    [unknown] = await book.effects(workflow_id="w")
    await book.resolve(unknown.key, evidence, by="ops", reason="looked")

    assert await spent(book) == (counts, 0)
    assert await by_tool(book) == {("pay", "usd"): (1, counts)}


async def test_what_was_said_to_be_spent_stays_so_whatever_becomes_of_the_doubt(place: Place) -> None:
    """COS-16: the money is gone, also where what was bought never came."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00")}), World()
    with pytest.raises((OutcomeUnknown, TimeoutError)):
        await book.run(
            call(1),
            book.handler(spending(world, "0.07 USD", then=TimeoutError())),
            **{**HALF, "safety": "unsafe"},
        )
    [unknown] = await book.effects(workflow_id="w")

    await book.resolve(unknown.key, NotDone(), by="ops", reason="looked")

    assert await spent(book) == (70_000, 0)
    assert await by_tool(book) == {("pay", "usd"): (1, 70_000)}


async def test_who_died_in_a_call_spent_what_it_declared(place: Place) -> None:
    """COS-14."""
    budgets = {"tenant": Budget(usd="1.00")}
    dead = place.open(settings=DEAD_SOON, budgets=budgets)
    await dead.die_holding(call(1), safety="idempotent", cost="0.50 USD")
    book, world = place.open(settings=DEAD_SOON, budgets=budgets), World()

    await book.run(call(1), book.handler(spending(world, "0.10 USD")), **HALF)  # it takes over

    assert await spent(book) == (600_000, 0)
    assert await states(book) == [("assumed", 500_000), ("settled", 100_000)]


@pytest.mark.parametrize(
    ("end", "state"), [(None, "succeeded"), (NotDone("no"), "retryable"), (KeyError(), "unknown")]
)
async def test_what_an_attempt_says_after_its_time_is_over_counts_instead_of_what_was_assumed(
    place: Place, end: Exception | None, state: str
) -> None:
    """COS-14, COS-16: whatever its outcome is worth."""
    book, gate = place.open(budgets={"tenant": Budget(usd="2.00")}), Gate()

    def slow(n: int, effect: Effect) -> int:
        gate.wait()
        effect.spend("0.07 USD")
        if end is not None:
            raise end
        return n

    with pytest.raises((OutcomeUnknown, TimeoutError)):
        await book.run(call(1), slow, **{**HALF, "safety": "unsafe"}, timeout=0.05)
    assert await spent(book) == (500_000, 0)
    gate.open()
    await book.close(drain=PATIENCE_S)

    later = place.open()
    assert [effect.state for effect in await later.effects(workflow_id="w")] == [state]
    assert await spent(later) == (70_000, 0)
    assert await states(later) == [("settled", 70_000)]


async def test_who_lost_its_claim_tells_of_its_own_spending_only(place: Place) -> None:
    """COS-14, COS-16: a successor's stays what it is."""
    budgets = {"tenant": Budget(usd="2.00")}
    slow, gate, world = place.open(settings=DEAD_SOON, budgets=budgets), Gate(), World()

    def first(n: int, effect: Effect) -> int:
        gate.wait()
        effect.spend("0.07 USD")
        return n

    owning = asyncio.ensure_future(slow.run(call(1), first, **HALF))
    await gate.reached()
    slow.ledger._engine.parts.heartbeat.forget_parent()  # it is frozen: nobody renews its claim
    book = place.open(settings=DEAD_SOON, budgets=budgets)
    await book.run(call(1), book.handler(spending(world, "0.20 USD")), **HALF)  # it takes over
    assert await spent(book) == (700_000, 0)
    gate.open()
    with suppress(LeaseLost):
        await owning

    assert await states(book) == [("settled", 70_000), ("settled", 200_000)]
    assert await spent(book) == (270_000, 0)


async def test_an_answer_from_the_record_costs_no_money(place: Place) -> None:
    """COS-15."""
    book, world = place.open(budgets={"tenant": Budget(usd="0.50")}), World()

    for _ in range(20):
        assert await book.run(call(1), book.handler(world.pay), **HALF) == 1

    assert world.ran == [1]
    assert await by_tool(book) == {("pay", "usd"): (1, 500_000)}


async def test_what_costs_is_in_the_reports_where_no_budget_asks_for_it(place: Place) -> None:
    """COS-16: a hold of no budget at all, alone and many at once."""
    book, world = place.open(), World()

    for n in range(3):
        await book.run(call(n), book.handler(spending(world, "0.01 USD")), **HALF)
    with pytest.raises((OutcomeUnknown, TimeoutError)):
        await book.run(
            call(9, tool="mail"),
            book.handler(spending(world, then=TimeoutError())),
            **{**HALF, "safety": "unsafe"},
        )

    assert await by_tool(book) == {("pay", "usd"): (3, 30_000), ("mail", "usd"): (1, 500_000)}
    assert await book.budgets() == []


async def test_a_local_effect_that_costs_is_held_and_settled(place: Place) -> None:
    """COS-16."""
    book, world = place.open(budgets={"tenant": Budget(usd="0.80")}), World()
    local = {**HALF, "safety": "local"}

    await book.run(call(1), book.handler(spending(world, "0.20 USD")), **local)
    with pytest.raises(Permanent):
        await book.run(call(2), book.handler(spending(world, "0.15 USD", then=Permanent("no"))), **local)

    assert await spent(book) == (350_000, 0)
    with pytest.raises(BudgetExceeded):
        await book.run(call(3), book.handler(world.pay), **local)
    assert await by_tool(book) == {("pay", "usd"): (2, 350_000)}


async def test_a_block_says_what_it_spent(place: Place) -> None:
    """COS-16."""
    book = place.open(budgets={"tenant": Budget(usd="0.80")})

    def bought(claim: Any) -> None:
        claim.effect.spend("0.35 USD")
        claim.succeed({"id": 1})

    await book.begin(call(1), bought, safety="unsafe", cost="0.50 USD")

    assert await spent(book) == (350_000, 0)
    with pytest.raises(BudgetExceeded):
        await book.begin(call(2), bought, safety="unsafe", cost="0.50 USD")
    await book.begin(call(3), lambda claim: claim.succeed(), safety="unsafe", cost="0.40 USD")
    assert await spent(book) == (750_000, 0)


async def test_undoing_that_costs_is_on_record_and_never_refused(place: Place) -> None:
    """COS-16: what undoes must not be what there is no more room for."""
    book, world = place.open(budgets={"tenant": Budget(usd="0.50")}), World()
    undone: list[Undone] = []

    def refund(undo: Undone, effect: Effect) -> None:
        undone.append(undo)
        effect.spend("0.25 USD")

    undo = book.ledger.tool(name="refund", safety="idempotent", cost="0.30 USD")(book.handler(refund))
    pay = book.tool(world.pay, name="pay", compensate=undo, **HALF)
    await pay("w", n=1)

    report = await book.compensate("w", reason="the customer changed her mind")

    assert len(undone) == 1
    assert not report.needs_review
    assert await spent(book) == (500_000, 0)
    assert await by_tool(book) == {("pay", "usd"): (1, 500_000), ("refund", "usd"): (1, 250_000)}


@pytest.mark.parametrize("cost", ["0.50 EUR", "1 JPY"])
async def test_a_cost_that_a_budget_cannot_count_is_refused(place: Place, cost: str) -> None:
    """COS-03: nothing ran, and nothing is on record."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00", tool_calls=9)}), World()

    for safety in ("idempotent", "unsafe", "read"):
        with pytest.raises(CurrencyMismatch):
            await book.run(call(1), book.handler(world.pay), safety=safety, cost=cost)

    assert world.ran == []
    assert await book.effects(workflow_id="w") == []


async def test_each_currency_is_counted_by_the_budget_that_has_it(place: Place) -> None:
    """COS-03."""
    book, world = place.open(budgets={"tenant": Budget(usd="2.00", money={"eur": "0.50"})}), World()
    await book.run(call(1), book.handler(world.pay), **HALF)
    await book.run(call(2), book.handler(world.pay), **{**HALF, "cost": "0.50 EUR"})

    with pytest.raises(BudgetExceeded, match="tenant/eur"):
        await book.run(call(3), book.handler(world.pay), **{**HALF, "cost": "0.50 EUR"})

    assert (await spent(book, "usd"), await spent(book, "eur")) == ((500_000, 0), (500_000, 0))
    assert await by_tool(book) == {("pay", "usd"): (1, 500_000), ("pay", "eur"): (1, 500_000)}


async def test_a_cap_on_money_holds_nothing_of_tools_that_cost_none(place: Place) -> None:
    book, world = place.open(budgets={"tenant": Budget(usd="2.00", tokens=5, steps=5)}), World()

    for n in range(9):
        await book.run(call(n), book.handler(world.pay), safety="idempotent")

    assert len(world.ran) == 9
    assert await book.budgets() == []


@pytest.mark.parametrize("said", ["0.10 EUR", "much", "-0.10 USD", 0.1, None])
async def test_what_was_spent_is_said_in_the_currency_that_was_declared(place: Place, said: Any) -> None:
    """The handler hears of it, and what it declared counts."""
    book, heard = place.open(budgets={"tenant": Budget(usd="2.00")}), list[type[Exception]]()

    def pay(n: int, effect: Effect) -> int:
        try:
            effect.spend(said, tokens=-1)
        except InvalidCall as error:
            heard.append(type(error))
        return n

    await book.run(call(1), book.handler(pay), **HALF)

    assert heard == [InvalidCall]
    assert await spent(book) == (500_000, 0)


async def test_a_tool_that_declares_no_cost_cannot_say_that_it_spent_money(place: Place) -> None:
    book, heard = place.open(), list[str]()

    def pay(n: int, effect: Effect) -> int:
        try:
            effect.spend("0.10 USD")
        except InvalidCall as error:
            heard.append(str(error))
        return n

    await book.run(call(1), book.handler(pay), safety="idempotent")

    assert len(heard) == 1
    assert "declared to cost no money" in heard[0]
    assert await by_tool(book) == {}


async def test_tokens_that_a_tool_used_are_told_in_reports(place: Place) -> None:
    """COS-16."""
    book = place.open()

    def ask(n: int, effect: Effect) -> int:
        effect.spend("0.02 USD", tokens=321)
        return n

    await book.run(call(1), book.handler(ask), **HALF)

    [part] = (await book.costs(by="tool")).parts
    assert (part.money, part.tokens) == (20_000, 321)


@pytest.mark.kinds("memory", "sync-memory")
@pytest.mark.parametrize(
    "cost", ["", "free", "0 USD", "-1 USD", 0.02, 2, "1e300 USD", "99999999999 USD", "0.02 DOLLARS", True]
)
async def test_a_cost_that_cannot_be_meant_is_refused(place: Place, cost: Any) -> None:
    book, world = place.open(), World()
    with pytest.raises(InvalidTool, match="pay"):
        await book.run(call(1), book.handler(world.pay), **{**HALF, "cost": cost})
    with pytest.raises(InvalidTool, match="pay"):
        book.tool(world.pay, name="pay", safety="idempotent", cost=cost)
    assert world.ran == []
