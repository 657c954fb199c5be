"""People are told when budgets run out: each mark once, at least once through a crash, beside the calls."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from holdfast import Alert, Budget, ToolCall
from holdfast.errors import BudgetExceeded, InvalidTool
from holdfast.ports import CapChange
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.faults import Faults, FaultyRuntime, FaultyStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import FakeRuntime
from promises.ledgers import Book, Place

TOOLS: dict[str, Any] = {"safety": "idempotent", "retry": False}


def call(n: int, workflow_id: str = "w") -> ToolCall:
    return ToolCall(workflow_id=workflow_id, tool="pay", args={"n": n})


def paid(n: int) -> int:
    return n


async def spend(book: Book, *numbers: int, workflow_id: str = "w") -> None:
    for n in numbers:
        await book.run(call(n, workflow_id), book.handler(paid), **TOOLS)


async def quiet(*books: Book) -> None:
    """Return once nothing goes on beside the callers any more."""
    for book in books:
        runtime = book.ledger._engine.parts.runtime
        if book.is_sync:
            while threads := list(runtime._abandoned):
                await asyncio.to_thread(threads[0].join)
        while not book.is_sync and (tasks := set(runtime._tasks)):
            await asyncio.wait(tasks)


def subjects(alerts: list[Alert]) -> list[str]:
    return [alert.subject for alert in alerts if alert.code == "budget_threshold"]


async def test_each_mark_is_told_once_and_says_whose_budget_it_is_and_how_full(place: Place) -> None:
    """COS-08."""
    alerts: list[Alert] = []
    book = place.open(budgets={"tenant": Budget(tool_calls=10)}, on_alert=alerts.append)
    for n in range(10):
        await spend(book, n)
        await quiet(book)
    with pytest.raises(BudgetExceeded):
        await spend(book, 10)
    await quiet(book)

    assert subjects(alerts) == [f"tenant/tool_calls@{share}%" for share in (50, 80, 100)]
    assert [alert.tenant for alert in alerts] == ["default"] * 3
    assert alerts[1].message.startswith(
        "budget tenant/tool_calls of tenant 'default' has reached 80 %: 8 used, 0 held, cap 10; see who"
    )


async def test_many_processes_that_see_one_mark_tell_of_it_once(place: Place) -> None:
    """COS-08: over processes, races and restarts."""
    alerts: list[Alert] = []
    options: dict[str, Any] = {"budgets": {"tenant": Budget(tool_calls=12)}, "on_alert": alerts.append}
    books = [place.open(**options) for _ in range(3)]

    await asyncio.gather(*(spend(book, *range(n, n + 4)) for n, book in enumerate(books)))
    for start in (10, 20):
        await asyncio.gather(
            *(spend(book, start + n) for n, book in enumerate(books)), return_exceptions=True
        )
    await quiet(*books)
    after = place.open(**options)
    with pytest.raises(BudgetExceeded):
        await spend(after, 99)
    await after.sweep()
    await quiet(after)

    assert sorted(subjects(alerts)) == [f"tenant/tool_calls@{share}%" for share in (100, 50, 80)]
    assert len({alert.id for alert in alerts}) == 3


async def test_a_refusal_tells_of_the_end_although_what_was_spent_is_less(place: Place) -> None:
    """COS-08: a call that does not fit is the end of the budget, whatever else is held."""
    alerts: list[Alert] = []
    book = place.open(budgets={"tenant": Budget(tool_calls=1)}, on_alert=alerts.append)

    def inner(n: int) -> int:
        return n

    async def outer(n: int) -> None:
        with pytest.raises(BudgetExceeded):
            await book.ledger.run(call(7), book.handler(inner), **TOOLS)

    def plainly(n: int) -> None:
        with pytest.raises(BudgetExceeded):
            book.ledger.run(call(7), inner, **TOOLS)

    await book.run(call(1), plainly if book.is_sync else outer, **TOOLS)
    await quiet(book)

    assert sorted(subjects(alerts)) == [f"tenant/tool_calls@{share}%" for share in (100, 50, 80)]
    told = next(alert for alert in alerts if alert.subject.endswith("100%"))
    assert "has no room: a call was refused: 0 used, 1 held, cap 1" in told.message


async def test_what_all_tenants_share_is_told_once_for_all_of_them(place: Place) -> None:
    """COS-08, COS-13."""
    alerts: list[Alert] = []
    book = place.open(budgets={"global": Budget(tool_calls=2, alert_at=[0.5])}, on_alert=alerts.append)
    one, two = book.scoped(tenant="one"), book.scoped(tenant="two")
    await spend(one, 1)
    await spend(two, 1)
    await quiet(book)
    await one.sweep()
    await two.sweep()

    assert [(alert.subject, alert.tenant) for alert in alerts] == [("global/tool_calls@50%", "")]


async def test_each_budget_says_where_its_marks_are_and_seats_have_none(place: Place) -> None:
    """COS-08."""
    alerts: list[Alert] = []
    budgets = {
        "tenant": Budget(tool_calls=10, alert_at=[0.3], concurrency=1),
        "workflow": Budget(tool_calls=4, alert_at=()),
    }
    book = place.open(budgets=budgets, on_alert=alerts.append)
    with book.ledger.budget("night", Budget(tool_calls=2, alert_at=(1.0,))):
        await spend(book, 1, 2)
    await spend(book, 3, 4)
    await quiet(book)

    assert sorted(subjects(alerts)) == ["scope:night/tool_calls@100%", "tenant/tool_calls@30%"]


async def test_a_listener_that_raises_fails_no_call(place: Place) -> None:
    """COS-08: telling is beside the call."""

    def broken(alert: Alert) -> None:
        raise RuntimeError(alert.code)

    book = place.open(budgets={"tenant": Budget(tool_calls=2)}, on_alert=broken)
    await spend(book, 1, 2)
    await quiet(book)

    assert len(await book.effects(workflow_id="w")) == 2


@pytest.mark.kinds("memory")
@pytest.mark.parametrize("odd", [0.5, [0], [1.1], [True], ["0.5"], [float("nan")], [0.00001], [10**400]])
def test_marks_that_are_no_shares_are_refused(place: Place, odd: Any) -> None:
    with pytest.raises(InvalidTool, match="alert_at"):
        Budget(tool_calls=1, alert_at=odd)
    assert place.open() is not None


async def test_an_alert_is_told_anew_in_each_window_and_for_a_cap_that_people_raised() -> None:
    """COS-08."""
    clock, alerts = FakeClock(), list[Alert]()
    store = MemoryStore(clock=clock)
    budgets = {"tenant": Budget(tool_calls=2, per="hour", alert_at=[0.5, 1])}
    ledger = ledger_on(store, FakeRuntime(clock), budgets=budgets, on_alert=alerts.append)

    async def pay(n: int) -> int:
        return n

    async def spend_to(n: int) -> list[str]:
        alerts.clear()
        await ledger.run(call(n), pay, **TOOLS)
        return subjects(alerts)

    half, full = "tenant/tool_calls/hour@50%", "tenant/tool_calls/hour@100%"
    assert [await spend_to(n) for n in range(2)] == [[half], [full]]
    raise_cap = CapChange(
        owner="default", account="tenant", unit="tool_calls", per="hour", cap=2, was=0, raised=4, at=clock()
    )
    assert await store.budgets.put_cap(raise_cap) is not None
    assert [await spend_to(n) for n in range(2, 6)] == [[half], [], [], [full]]
    clock.advance(3600)
    assert [await spend_to(n) for n in range(6, 9)] == [[], [], [half]]
    assert len({alert.id for alert in alerts}) == 1
    await ledger.close()


@pytest.mark.kinds("postgres", "sync-postgres")
async def test_a_divided_budget_tells_when_its_slices_are_filled_and_at_the_latest_at_its_end(
    place: Place,
) -> None:
    """COS-08: what a slice grants tells nothing of the whole."""
    alerts: list[Alert] = []
    options: dict[str, Any] = {
        "budgets": {"tenant": Budget(tool_calls=40, slices=4)},
        "on_alert": alerts.append,
    }
    books = [place.open(**options) for _ in range(3)]
    for n in range(39):
        await spend(books[n % 3], n)
    for book in books:
        with suppress(BudgetExceeded):
            await spend(book, 100)
        with pytest.raises(BudgetExceeded):
            await spend(book, 101)
    await quiet(*books)

    assert sorted(subjects(alerts)) == [f"tenant/tool_calls@{share}%" for share in (100, 50, 80)]


async def test_a_call_whose_budget_has_reached_no_new_mark_costs_nothing_more() -> None:
    """COS-08: nothing is asked, nothing is written, nothing is begun beside it."""
    clock, faults, begun = FakeClock(), Faults(), list[Any]()

    class Watched(FakeRuntime):
        def aside(self, work: Any) -> None:
            begun.append(work)
            super().aside(work)

    ledger = ledger_on(
        FaultyStore(MemoryStore(clock=clock), faults),
        FaultyRuntime(Watched(clock), faults),
        budgets={"tenant": Budget(tool_calls=4), "workflow": Budget(tool_calls=1000)},
    )

    async def pay(n: int) -> int:
        return n

    async def cost(n: int) -> list[str]:
        faults.trace.clear()
        await ledger.run(call(n), pay, **TOOLS)
        return [point for point in faults.trace if point.startswith("after")]

    await ledger.run(call(0), pay, **TOOLS)
    plain = ["after claim", "after handler", "after succeed"]
    costs = [(await cost(n), len(begun)) for n in range(1, 3)]

    assert costs[0] == (plain + plain, 1), "half of it is used: one alert, which is one effect"
    assert costs[1] == (plain, 1)
    await ledger.close()


async def test_a_rate_that_will_not_last_is_told_once_in_a_window() -> None:
    """COS-08: "at this rate the cap is reached in 12 min"."""
    clock, alerts = FakeClock(), list[Alert]()
    budgets = {"tenant": Budget(tool_calls=100, per="day", alert_at=())}
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock), budgets=budgets, on_alert=alerts.append)

    async def pay(n: int) -> int:
        return n

    for n in range(40):  # four a minute
        await ledger.run(call(n), pay, **TOOLS)
        clock.advance(15)
    assert [alert.code for alert in alerts] == ["budget_burn"]
    assert "will be used up in 20 min at this rate: 20 used, 1 held" in alerts[0].message
    clock.advance(86_400)
    for n in range(40, 100):
        await ledger.run(call(n), pay, **TOOLS)
        clock.advance(15)

    assert [alert.subject for alert in alerts] == ["tenant/tool_calls/day"] * 2
    assert len({alert.id for alert in alerts}) == 2
    await ledger.close()


@pytest.mark.parametrize("within", [None, "1m"])
async def test_a_cap_that_lasts_for_as_long_as_it_has_to_is_told_of_by_nobody(within: Any) -> None:
    """COS-08."""
    clock, alerts = FakeClock(), list[Alert]()
    budgets = {"tenant": Budget(tool_calls=100, alert_at=(), alert_within=within)}
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock), budgets=budgets, on_alert=alerts.append)

    async def pay(n: int) -> int:
        return n

    for n in range(60):
        await ledger.run(call(n), pay, **TOOLS)
        clock.advance(15)

    assert alerts == []
    await ledger.close()
