"""Work within a budget ends when that is exhausted: with what it did, and an answer made of what was kept."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Budget, Ended, ToolCall
from holdfast.errors import BudgetExceeded, InvalidTool
from promises.ledgers import Place

SIX_AND_ONE = Budget(tool_calls=7, reserve=Budget(tool_calls=1))


class Digger:
    """Calls a tool for ever, and keeps what it found; its last call sums that up."""

    def __init__(self, book: Any, *, most: int = 100, wraps: bool = False) -> None:
        self.book, self.most, self.wraps = book, most, wraps
        self.found: list[int] = []
        self.told: list[BudgetExceeded] = []

    def call(self, n: int, tool: str = "dig") -> Any:
        call = ToolCall(workflow_id="mine", tool=tool, args={"n": n})
        return self.book.ledger.run(call, self.book.handler(lambda n: n), safety="idempotent")

    def forms(self) -> tuple[Any, Any]:
        """The work, and what ends it, as the users of this face write them."""
        if self.book.is_sync:
            return self.work, self.end
        return self.work_async, self.end_async

    def work(self) -> str:
        for n in range(self.most):
            try:
                self.found.append(self.call(n))
            except BudgetExceeded as refused:
                if self.wraps:
                    raise RuntimeError("a framework's own error") from refused
                raise
        return "all of it"

    async def work_async(self) -> str:
        for n in range(self.most):
            try:
                self.found.append(await self.call(n))
            except BudgetExceeded as refused:
                if self.wraps:
                    raise RuntimeError("a framework's own error") from refused
                raise
        return "all of it"

    def end(self, refused: BudgetExceeded) -> str:
        self.told.append(refused)
        return f"{self.call(len(self.found), 'sum up')} found"

    async def end_async(self, refused: BudgetExceeded) -> str:
        self.told.append(refused)
        return f"{await self.call(len(self.found), 'sum up')} found"

    async def within(self, budget: Budget, *, ends: bool = True) -> Ended[str]:
        work, end = self.forms()
        ended: Ended[str] = await self.book.within("mine", budget, work, on_budget=end if ends else None)
        return ended


@pytest.mark.parametrize("wraps", [False, True])
async def test_work_that_a_budget_ends_has_an_answer_made_of_what_was_kept(place: Place, wraps: bool) -> None:
    """COS-10: six calls, and the seventh for the answer; also if a framework makes its own error of that."""
    digger = Digger(place.open(), wraps=wraps)

    ended = await digger.within(SIX_AND_ONE)

    assert (ended.status, ended.output) == ("budget_exhausted", "6 found")
    assert digger.found == [0, 1, 2, 3, 4, 5]
    assert ended.refused is digger.told[0]
    assert (ended.refused.account, ended.refused.used, ended.refused.cap) == ("scope:mine", 6, 6)
    [level] = await digger.book.budgets(prefix="scope:")
    assert (level.spent, level.held) == (7, 0)


async def test_work_that_fits_is_completed(place: Place) -> None:
    """COS-10: and what was kept for its end is left."""
    digger = Digger(place.open(), most=6)

    ended = await digger.within(SIX_AND_ONE)

    assert (ended.status, ended.output, ended.refused) == ("completed", "all of it", None)
    assert digger.told == []


async def test_an_end_that_does_not_fit_either_leaves_what_was_done(place: Place) -> None:
    """COS-10."""
    digger = Digger(place.open())

    ended = await digger.within(Budget(tool_calls=6))

    assert (ended.status, ended.output) == ("budget_exhausted", None)
    assert (len(digger.found), len(digger.told)) == (6, 1)


async def test_without_an_end_there_is_what_was_done(place: Place) -> None:
    """COS-10: and what was kept stays."""
    digger = Digger(place.open())

    ended = await digger.within(SIX_AND_ONE, ends=False)

    assert (ended.status, ended.output, len(digger.found)) == ("budget_exhausted", None, 6)


async def test_a_budget_around_it_ends_it_as_well(place: Place) -> None:
    """COS-13."""
    digger = Digger(place.open(budgets={"tenant": Budget(tool_calls=3)}))

    ended = await digger.within(SIX_AND_ONE)

    assert ended.refused is not None
    assert (ended.refused.account, ended.output, len(digger.found)) == ("tenant", None, 3)


@pytest.mark.kinds("memory", "sync-memory")
async def test_what_is_no_want_of_budget_is_raised(place: Place) -> None:
    """COS-10: neither a mistake is an end, nor a seat that is taken."""
    book = place.open(budgets={"tenant": Budget(concurrency=1)})

    def breaks() -> str:
        raise ZeroDivisionError

    def sits() -> Any:
        raise BudgetExceeded("tenant", "concurrency", "", used=0, held=1, cap=1, needed=1)

    async def of_sits() -> Any:
        return sits()

    async def of_breaks() -> str:
        return breaks()

    for work, error in ((breaks, ZeroDivisionError), (sits, BudgetExceeded)):
        form: Any = work if book.is_sync else {breaks: of_breaks, sits: of_sits}[work]
        with pytest.raises(error):
            await book.within("mine", SIX_AND_ONE, form)

    digger = Digger(book)
    failing: Any = breaks if book.is_sync else of_breaks
    with pytest.raises(ZeroDivisionError):
        await book.within("mine", Budget(tool_calls=1), digger.forms()[0], on_budget=lambda _: failing())
    with pytest.raises(InvalidTool):
        await book.within("", Budget(tool_calls=1), digger.forms()[0])
