"""While the database is away budgets refuse; only reads go on, where all of their budgets say so, and are counted."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from holdfast import Budget
from holdfast.errors import BudgetExceeded, InvalidTool, StoreUnavailable
from holdfast.ports import AccountQuery
from promises.ledgers import HASTY, Book, Place
from promises.test_budget_alerts import quiet
from promises.test_budgets import TOOLS, World, call
from promises.test_compensation_review import Away

GONE, BACK = -1, None


class Known(Away):
    """One that was opened while it was there."""

    async def open(self) -> None:
        await self._real.open()


class Outage:
    """A ledger whose store can be away."""

    def __init__(self, place: Place, **budgets: Budget) -> None:
        self.away = Known(place, HASTY)
        self.book: Book = place.open(self.away, settings=HASTY, budgets=budgets)  # type: ignore[arg-type]  # looks like one
        self.world = World()

    async def read(self, n: int) -> Any:
        return await self.book.call(call(n), self.book.handler(self.world.pay), safety="read")

    async def levels(self) -> dict[str, tuple[int, int, int]]:
        query = AccountQuery(owner="default")
        found = (
            await self.book.do(_levels, self.book, query)
            if self.book.is_sync
            else await _asked(self.book, query)
        )
        return {f"{level.account}/{level.unit}": (level.spent, level.held, level.cap) for level in found}


async def _asked(book: Book, query: AccountQuery) -> Any:
    return await book.ledger._engine.parts.store.budgets.levels(query)


def _levels(book: Book, query: AccountQuery) -> Any:
    from holdfast._runtime.drive import run_sync

    return run_sync(_asked(book, query))


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "read"])
async def test_a_call_under_budgets_is_refused_while_the_store_is_away_and_nothing_runs(
    place: Place, safety: str
) -> None:
    """COS-20: a read as well, for it could not be counted."""
    there = Outage(place, tenant=Budget(tool_calls=5), workflow=Budget(tool_calls=5, on_outage="allow"))
    await there.read(0)
    there.away.left = GONE
    with pytest.raises(StoreUnavailable):
        await there.book.run(call(1), there.book.handler(there.world.pay), safety=safety, retry=False)

    assert there.world.ran == [0]
    there.away.left = BACK
    assert await there.book.run(call(1), there.book.handler(there.world.pay), safety=safety, retry=False) == 1
    assert await there.levels() == {"tenant/tool_calls": (2, 0, 5), "workflow:w/tool_calls": (2, 0, 5)}


async def test_what_changes_something_is_refused_whatever_its_budgets_say(place: Place) -> None:
    """COS-20."""
    there = Outage(place, tenant=Budget(tool_calls=5, on_outage="allow"))
    await there.read(0)
    there.away.left = GONE
    for safety in ("unsafe", "idempotent"):
        with pytest.raises(StoreUnavailable):
            await there.book.run(call(1), there.book.handler(there.world.pay), safety=safety, retry=False)
    there.away.left = BACK

    assert there.world.ran == [0]
    assert await there.levels() == {"tenant/tool_calls": (1, 0, 5)}


async def test_reads_that_were_let_through_are_told_of_and_counted_once_the_store_is_back(
    place: Place,
) -> None:
    """COS-20: as an effect of the ledger's own, which says what, how often and when; beyond the cap if need be."""
    there = Outage(
        place,
        tenant=Budget(tool_calls=4, concurrency=2, on_outage="allow", alert_at=()),
        agent=Budget(tool_calls=90, on_outage="allow", alert_at=()),
    )
    receipt = await there.read(0)
    assert receipt.findings == ()
    there.away.left = GONE
    receipts = [await there.read(n) for n in range(1, 6)]
    assert [(one.result, [finding.code for finding in one.findings]) for one in receipts] == [
        (n, ["unaccounted"]) for n in range(1, 6)
    ]
    assert {one.audit_hash for one in receipts} == {""}
    there.away.left = BACK
    await there.book.run(call(9), there.book.handler(there.world.pay), **TOOLS)
    await quiet(there.book)

    with pytest.raises(BudgetExceeded, match="7 used, 0 held, cap 4"):
        await there.read(6)
    assert there.world.ran == [0, 1, 2, 3, 4, 5, 9, 6], "a read that does not fit was made"
    assert await there.levels() == {
        "tenant/tool_calls": (7, 0, 4),
        "tenant/concurrency": (0, 0, 2),
        "agent:agent/tool_calls": (7, 0, 90),
    }
    [effect] = await there.book.effects(tool="holdfast:unaccounted")
    assert effect.state == "succeeded"
    entries = await there.book.audit(effect.key)
    assert entries[-1].details["count"] == 5
    assert (await there.book.verify()).ok


async def test_what_was_let_through_twice_is_counted_twice_although_the_cap_is_passed(place: Place) -> None:
    """COS-20."""
    there = Outage(place, tenant=Budget(tool_calls=2, on_outage="allow", alert_at=()))
    await there.read(0)
    for round_ in range(2):
        there.away.left = GONE
        for n in range(3):
            await there.read(10 * round_ + n)
        there.away.left = BACK
        with suppress(BudgetExceeded):
            await there.read(99)
        with pytest.raises(BudgetExceeded):
            await there.read(98)
        await there.book.sweep()
        await quiet(there.book)

    spent, held, _ = (await there.levels())["tenant/tool_calls"]
    assert (spent, held) in {(7, 0), (8, 0)}  # whether one more fitted before it was counted
    assert spent == len([n for n in there.world.ran if n not in {98, 99}]) + (spent - 7)


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_read_whose_record_the_store_did_not_take_any_more_is_told_all_the_same(place: Place) -> None:
    """COS-20: it went away while the read was made."""
    there = Outage(place, tenant=Budget(tool_calls=2, on_outage="allow", alert_at=()))
    await there.read(0)

    def goes(n: int) -> int:
        there.away.left = GONE
        return n

    receipt = await there.book.call(call(1), there.book.handler(goes), safety="read")
    there.away.left = BACK
    await there.book.sweep()

    assert (receipt.result, [finding.code for finding in receipt.findings]) == (1, ["unaccounted"])
    assert await there.levels() == {"tenant/tool_calls": (2, 0, 2)}


@pytest.mark.kinds("memory", "sync-memory")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_one_budget_that_is_declared_twice_both_have_to_say_so(
    place: Place, order: tuple[int, int]
) -> None:
    """COS-20."""
    there = Outage(place)
    said = Budget(tool_calls=5, on_outage="allow", alert_at=()), Budget(tool_calls=5, alert_at=())
    outer, inner = (said[n] for n in order)
    ledger = there.book.ledger

    with ledger.budget("night", outer), ledger.budget("night", inner):
        await there.read(0)
        there.away.left = GONE
        with pytest.raises(StoreUnavailable):
            await there.read(1)
    there.away.left = BACK

    assert there.world.ran == [0]


@pytest.mark.kinds("memory")
def test_an_outage_is_refused_or_allowed(place: Place) -> None:
    with pytest.raises(InvalidTool, match="on_outage"):
        Budget(tool_calls=1, on_outage="open")  # type: ignore[arg-type]  # as somebody may write it
    assert place.open() is not None
