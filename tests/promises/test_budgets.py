"""Budgets hold whatever runs at once: what does not fit is refused before anything runs."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Budget, NotDone, Permanent, RetryPolicy, ToolCall, Undone
from holdfast._runtime.drive import run_sync
from holdfast.errors import BudgetExceeded, HoldfastError, InvalidTool, OutcomeUnknown
from holdfast.ports import AccountQuery, HoldQuery
from promises.ledgers import DEAD_SOON, Place

TOOLS: dict[str, Any] = {"safety": "idempotent", "retry": False}


def call(n: int, workflow_id: str = "w", tool: str = "pay") -> ToolCall:
    return ToolCall(workflow_id=workflow_id, tool=tool, args={"n": n})


class World:
    """What ran."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.at_once = self.most_at_once = 0

    def pay(self, n: int) -> int:
        self.ran.append(n)
        return n


async def test_the_call_after_the_last_that_fits_is_refused_and_says_why(place: Place) -> None:
    """COS-18."""
    book, world = place.open(budgets={"workflow": Budget(tool_calls=3)}), World()
    for n in range(3):
        await book.run(call(n), book.handler(world.pay), **TOOLS)

    with pytest.raises(BudgetExceeded, match="workflow:w/tool_calls has no room for 1 more") as refused:
        await book.run(call(3), book.handler(world.pay), **TOOLS)

    told = refused.value
    assert (told.account, told.unit, told.used, told.held, told.cap) == ("workflow:w", "tool_calls", 3, 0, 3)
    assert world.ran == [0, 1, 2]
    assert vars(pickle.loads(pickle.dumps(told))) == vars(told)
    assert await book.effects(workflow_id="w", limit=10) != []
    assert len(await book.effects(workflow_id="w", limit=10)) == 3


async def test_what_is_answered_from_the_record_costs_nothing(place: Place) -> None:
    """COS-15."""
    book, world = place.open(budgets={"tenant": Budget(tool_calls=1)}), World()

    for _ in range(20):
        assert await book.run(call(1), book.handler(world.pay), **TOOLS) == 1

    assert world.ran == [1]


async def test_as_many_as_fit_run_at_once_and_no_more(place: Place) -> None:
    """COS-02."""
    book, world = place.open(budgets={"agent": Budget(tool_calls=7)}), World()

    answers = await asyncio.gather(
        *(book.run(call(n), book.handler(world.pay), **TOOLS) for n in range(20)), return_exceptions=True
    )

    assert sum(isinstance(answer, BudgetExceeded) for answer in answers) == 13
    assert len(world.ran) == 7


async def test_each_retry_is_counted(place: Place) -> None:
    """COS-16."""
    retry = RetryPolicy(maximum_attempts=5, initial_interval=0.001, maximum_interval=0.001)
    book = place.open(budgets={"tenant": Budget(tool_calls=3)})
    tries: list[int] = []

    def fails(n: int) -> None:
        tries.append(n)
        raise NotDone("not this time")

    with pytest.raises(HoldfastError) as refused:
        await book.run(call(1), book.handler(fails), safety="idempotent", retry=retry)

    assert isinstance(refused.value, BudgetExceeded)
    assert len(tries) == 3


async def test_nothing_that_ends_leaves_anything_held(place: Place) -> None:
    """COS-14."""
    book, world = place.open(budgets={"tenant": Budget(tool_calls=10, concurrency=2)}), World()

    def raises(error: Exception) -> Any:
        def handler(n: int) -> None:
            raise error

        return book.handler(handler)

    await book.run(call(1), book.handler(world.pay), **TOOLS)
    for n, error in enumerate((NotDone("no"), Permanent("never"), RuntimeError("who knows")), 2):
        with suppress(Exception):
            await book.run(call(n), raises(error), safety="unsafe", retry=False)

    store = book.ledger._engine.parts.store
    asked = (
        store.budgets.levels(AccountQuery(owner="default")),
        store.budgets.holds(HoldQuery(tenant="default")),
    )
    found, holds = [run_sync(each) if book.is_sync else await each for each in asked]
    assert {(level.unit, level.spent, level.held) for level in found} == {
        ("tool_calls", 4, 0),
        ("concurrency", 0, 0),
    }
    assert sorted(hold.state for hold in holds) == ["assumed", "settled", "settled", "settled"]


async def test_what_a_dead_worker_held_is_free_once_its_claim_is_over(place: Place) -> None:
    """COS-14: its seat at once; what it may have spent counts as spent."""
    settings = DEAD_SOON
    dead = place.open(settings=settings, budgets={"tenant": Budget(concurrency=1, tool_calls=5)})
    await dead.die_holding(call(1), safety="idempotent")
    world = World()
    book = place.open(settings=settings, budgets={"tenant": Budget(concurrency=1, tool_calls=5)})

    assert await book.run(call(1), book.handler(world.pay), **TOOLS) == 1  # it takes over

    assert await book.run(call(2), book.handler(world.pay), **TOOLS) == 2


async def test_undoing_needs_no_room(place: Place) -> None:
    book, world = place.open(budgets={"tenant": Budget(tool_calls=1)}), World()
    undone: list[Undone] = []

    def refund(undo: Undone) -> None:
        undone.append(undo)

    pay = book.tool(world.pay, name="pay", safety="idempotent", compensate=book.handler(refund))
    await pay("w", n=1)

    report = await book.compensate("w", reason="the customer changed her mind")

    assert len(undone) == 1
    assert not report.needs_review


async def test_reads_are_counted_when_they_are_recorded(place: Place) -> None:
    book, world = place.open(budgets={"tenant": Budget(tool_calls=2)}), World()
    for n in range(2):
        await book.run(call(n), book.handler(world.pay), safety="read")

    with pytest.raises(BudgetExceeded, match="it was read") as refused:
        await book.run(call(2), book.handler(world.pay), safety="read")

    assert refused.value.was_read


async def test_blocks_of_one_name_share_a_budget(place: Place) -> None:
    """COS-13."""
    book, other, world = place.open(), place.open(), World()
    with book.ledger.budget("night", Budget(tool_calls=2)):
        await book.run(call(1), book.handler(world.pay), **TOOLS)
    with (
        other.ledger.budget("night", Budget(tool_calls=2)),
        other.ledger.budget("inner", Budget(tool_calls=9)),
    ):
        await other.run(call(2), other.handler(world.pay), **TOOLS)
        with pytest.raises(BudgetExceeded, match="scope:night"):
            await other.run(call(3), other.handler(world.pay), **TOOLS)
    await other.run(call(3), other.handler(world.pay), **TOOLS)

    assert world.ran == [1, 2, 3]


async def test_tenants_have_their_own_and_share_the_global_one(place: Place) -> None:
    """COS-13."""
    book, world = (
        place.open(budgets={"global": Budget(tool_calls=3), "tenant": Budget(tool_calls=2)}),
        World(),
    )
    one, two = book.scoped(tenant="one"), book.scoped(tenant="two")
    await one.run(call(1), one.handler(world.pay), **TOOLS)
    await one.run(call(2), one.handler(world.pay), **TOOLS)
    with pytest.raises(BudgetExceeded, match="tenant/tool_calls"):
        await one.run(call(3), one.handler(world.pay), **TOOLS)
    await two.run(call(1), two.handler(world.pay), **TOOLS)

    with pytest.raises(BudgetExceeded, match="global/tool_calls"):
        await two.run(call(2), two.handler(world.pay), **TOOLS)


@pytest.mark.kinds("memory")
@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"tokens": 0},
        {"tokens": True},
        {"tokens": 1.5},
        {"usd": "-1"},
        {"usd": 0.1},
        {"usd": "0"},
        {"steps": 2**60},
        {"steps": 1, "per": "week"},
        {"steps": 1, "slices": -1},
        {"money": {"euro": "1"}},
    ],
)
def test_a_cap_that_cannot_be_meant_is_refused(place: Place, odd: dict[str, Any]) -> None:
    with pytest.raises(InvalidTool, match="budget"):
        Budget(**odd)
    assert place.open() is not None


@pytest.mark.kinds("memory")
def test_a_budget_that_is_nobodys_is_refused(place: Place) -> None:
    for name, budget in (("everyone", Budget(tool_calls=1)), ("tenant", 5), (7, Budget(tool_calls=1))):
        with pytest.raises(InvalidTool, match="budget"):
            place.open(budgets={name: budget})


@pytest.mark.parametrize("cap", [{"usd": "2.00"}, {"tokens": 50_000}, {"steps": 50}, {"money": {"eur": "1"}}])
async def test_a_cap_on_what_a_call_does_not_need_holds_nothing_of_it(
    place: Place, cap: dict[str, Any]
) -> None:
    book, world = place.open(budgets={"tenant": Budget(tool_calls=2, **cap)}), World()
    with book.ledger.budget("b", Budget(**cap)):
        for n in range(2):
            await book.run(call(n), book.handler(world.pay), **TOOLS)

    assert [(level.unit, level.spent) for level in await book.budgets()] == [("tool_calls", 2)]


async def test_doubt_about_a_call_counts_as_spent_until_it_is_resolved(place: Place) -> None:
    """COS-14: known not to have happened, it is free again."""
    book, world = place.open(budgets={"tenant": Budget(tool_calls=1)}), World()

    def lost(n: int) -> None:
        raise TimeoutError

    with pytest.raises((OutcomeUnknown, TimeoutError)):
        await book.run(call(1), book.handler(lost), safety="unsafe", retry=False)
    [unknown] = await book.effects(workflow_id="w")
    with pytest.raises(BudgetExceeded):
        await book.run(call(2), book.handler(world.pay), **TOOLS)

    await book.resolve(unknown.key, NotDone(), by="ops", reason="looked")

    assert await book.run(call(2), book.handler(world.pay), **TOOLS) == 2


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "read"])
async def test_another_call_takes_the_seat_of_a_dead_worker_whose_claim_is_over(
    place: Place, safety: str
) -> None:
    """COS-14, COS-18: nobody has to sweep, nor to call again for what the dead one did."""
    budgets = {"tenant": Budget(concurrency=1)}
    dead = place.open(settings=DEAD_SOON, budgets=budgets)
    key = await dead.die_holding(call(1, tool="other"), safety="unsafe")
    book, world = place.open(settings=DEAD_SOON, budgets=budgets), World()
    while (await book.effect(key)).lease_until > datetime.now(UTC):
        pass

    assert await book.run(call(2), book.handler(world.pay), safety=safety, retry=False) == 2

    assert (await book.effect(key)).state == "unknown"


async def test_the_living_keep_their_seats(place: Place) -> None:
    """COS-18."""
    book, world = place.open(budgets={"tenant": Budget(concurrency=1)}), World()

    async def outer(n: int) -> None:
        with pytest.raises(BudgetExceeded, match="concurrency"):
            await book.ledger.run(call(7), book.handler(world.pay), **TOOLS)

    def plainly(n: int) -> None:
        with pytest.raises(BudgetExceeded, match="concurrency"):
            book.ledger.run(call(7), world.pay, **TOOLS)

    await book.run(call(1), plainly if book.is_sync else outer, **TOOLS)

    assert world.ran == []


@pytest.mark.parametrize("first", [0, 1])
async def test_a_budget_of_one_stands_in_the_place_of_everyones(place: Place, first: int) -> None:
    """COS-13: an exception is what it says: more than the others have, or less; in whatever order."""
    rest: dict[str, Budget] = {"agent": Budget(tool_calls=1), "workflow": Budget(tool_calls=2)}
    own = {"agent:agent": Budget(tool_calls=9), "workflow:big": Budget(tool_calls=3)}
    given = {**rest, **own} if first else {**own, **rest}
    book, world = place.open(budgets=given), World()
    made = {"big": 0, "small": 0}
    for workflow_id in made:
        with suppress(BudgetExceeded):
            for n in range(9):
                await book.run(call(n, workflow_id), book.handler(world.pay), **TOOLS)
                made[workflow_id] += 1

    assert made == {"big": 3, "small": 2}


def test_a_refusal_of_money_is_told_in_units_of_its_currency() -> None:
    refused = BudgetExceeded("tenant", "usd", "day", used=1_999_990, held=10, cap=2_000_000, needed=500_000)

    assert str(refused).startswith(
        "budget tenant/usd per day has no room for 0.500000 USD more: "
        "1.999990 USD used, 0.000010 USD held, cap 2.000000 USD; nothing ran; wait for its window, "
    )
    assert (refused.used, refused.cap) == (1_999_990, 2_000_000), "whole micro-units, for programs"
