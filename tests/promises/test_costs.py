"""What was spent is told in parts that add up, whichever way it is divided."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from holdfast import Budget, NotDone, RetryPolicy, ToolCall
from holdfast._core.states import Event, State
from holdfast.errors import InvalidCall, InvalidTool
from holdfast.ledger import CostReport, Level, SpentBy
from holdfast.prices import CostHistory
from promises.ledgers import Book, Place
from promises.spending import ENDS, Spender


async def spent_at_random(spender: Spender, seed: int, effects: int = 12) -> None:
    """Spend on effects of many kinds, some of them tried again, some still under way."""
    chance = random.Random(seed)
    for n in range(effects):
        again = True
        while again:
            spender.at += timedelta(hours=chance.randrange(9))
            money = chance.choice([0, 0, 700, 25_000])
            await spender.begin(
                n,
                tool=chance.choice(["search", "mail"]),
                workflow_id=chance.choice(["w1", "w2"]),
                actor=chance.choice(["ann", "bot"]),
                model=chance.choice(["", "a/small", "b/large"]),
                currency=chance.choice(["usd", "eur"]) if money else "",
                money=money,
                tokens=chance.choice([0, 90]),
            )
            event = chance.choice([*ENDS, None])
            if event is None:
                break
            amounts: dict[str, Any] = {"usd": money // 2, "eur": money // 2, "tokens": chance.choice([0, 30])}
            await spender.end(n, event, **amounts)
            again = event is Event.RELEASE and chance.random() < 0.6


async def report(book: Book, by: str, **asked: object) -> CostReport:
    found: CostReport = await book.costs(by=by, **asked)
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_the_parts_of_every_division_add_up_to_the_same(place: Place, seed: int) -> None:
    """COS-12, COS-16: per currency; and no more is wasted than was spent."""
    book = place.open()
    spender = Spender(book)
    await spent_at_random(spender, seed)
    await spent_at_random(Spender(book, tenant="other"), seed + 100)
    begun = datetime(2026, 3, 2, tzinfo=UTC)

    for asked in ({}, {"workflow_id": "w1"}, {"since": begun}, {"until": begun}):
        reports = [await report(book, by, **asked) for by in get_args(SpentBy)]
        assert all(each.totals == reports[0].totals for each in reports)
        for part in (part for each in reports for part in each.parts):
            assert 0 <= part.assumed_money <= part.wasted_money <= part.money
            assert 0 <= part.wasted_tokens <= part.tokens
    whole = await report(book, "tenant")
    halves = [await report(book, "tenant", **{side: begun}) for side in ("since", "until")]
    counted = [sum(part.attempts for part in each.parts) for each in (whole, *halves)]
    assert counted[0] == counted[1] + counted[2]
    assert whole.parts
    assert {part.name for part in whole.parts} == {"default"}


async def test_what_a_workflow_cost_is_told_by_tool_model_agent_outcome_day_and_waste(place: Place) -> None:
    """COS-12."""
    book = place.open()
    spender = Spender(book)
    paid: dict[str, Any] = {"currency": "usd", "money": 100, "tokens": 50}
    await spender.begin(1, tool="ask", model="a/small", actor="ann", **paid)
    await spender.end(1, Event.RELEASE, usd=40, tokens=20)
    spender.at += timedelta(days=1)
    await spender.begin(1, tool="ask", model="a/small", actor="ann", **paid)
    await spender.end(1, Event.SUCCEED, usd=60, tokens=30)
    await spender.begin(2, tool="mail", actor="bot", currency="usd", money=7)
    await spender.end(2, Event.DOUBT)

    async def told(by: str) -> dict[str, tuple[int, int]]:
        found = await report(book, by, workflow_id="w")
        return {part.name: (part.money, part.wasted_money) for part in found.parts}

    assert await told("tool") == {"ask": (100, 40), "mail": (7, 7)}
    assert await told("model") == {"": (7, 7), "a/small": (100, 40)}
    assert await told("agent") == {"ann": (100, 40), "bot": (7, 7)}
    assert await told("workflow") == {"w": (107, 47)}
    assert await told("outcome") == {State.SUCCEEDED: (100, 40), State.UNKNOWN: (7, 7)}
    assert await told("day") == {"2026-03-01": (40, 40), "2026-03-02": (67, 7)}
    assert await told("waste") == {"": (60, 0), "retried": (40, 40), "unknown": (7, 7)}


async def test_a_hundred_answers_from_the_record_cost_nothing_and_each_retry_counts(place: Place) -> None:
    """COS-15, COS-16."""
    book = place.open(budgets={"tenant": Budget(tool_calls=100)})
    tries: list[int] = []

    def flaky(n: int) -> int:
        tries.append(n)
        if len(tries) < 3:
            raise NotDone("not this time")
        return n

    retry = RetryPolicy(maximum_attempts=5, initial_interval=0.001, maximum_interval=0.001)
    call = ToolCall(workflow_id="w", tool="flaky", args={"n": 1})
    for _ in range(100):
        assert await book.run(call, book.handler(flaky), safety="idempotent", retry=retry) == 1

    found = await report(book, "waste")
    assert {part.name: part.attempts for part in found.parts} == {"": 1, "retried": 2}
    assert [level.spent for level in await book.budgets(account="tenant")] == [3]


async def test_budgets_are_told_page_by_page_those_of_all_first(place: Place) -> None:
    """COS-12: and no tenant sees another's."""
    budgets = {"global": Budget(tool_calls=9), "tenant": Budget(tool_calls=9), "agent": Budget(concurrency=1)}
    book = place.open(budgets=budgets)
    for tenant in ("one", "two"):
        mine = book.scoped(tenant=tenant)
        call = ToolCall(workflow_id="w", tool="pay", args={})
        await mine.run(call, mine.handler(lambda: None), safety="idempotent")
    found: list[tuple[str, str, int]] = []
    after: Level | None = None
    while page := await book.scoped(tenant="one").budgets(limit=2, after=after):
        found += [(level.owner, level.account, level.spent) for level in page]
        after = page[-1]

    assert found == [("", "global", 2), ("one", "agent:agent", 0), ("one", "tenant", 1)]
    assert [level.account for level in await book.scoped(tenant="two").budgets(prefix="agent:")] == [
        "agent:agent"
    ]


async def test_what_earlier_runs_of_a_workflow_cost_is_known_before_the_next(place: Place) -> None:
    """COS-17: of those that have ended, also those that cost nothing; and of one agent alone."""
    book = place.open()

    async def coroutine(ctx: Any) -> None:
        del ctx

    def plain(ctx: Any) -> None:
        del ctx

    refund = book.ledger.workflow(plain if book.is_sync else coroutine, name="refund")
    spender = Spender(book)
    for n in range(20):
        await book.do(refund.run, f"refund-{n}")
        if n:
            await spender.begin(n, workflow_id=f"refund-{n}", currency="usd", money=n * 1000, tokens=n)
            await spender.end(n, Event.SUCCEED)
    await spender.begin(99, workflow_id="another", currency="usd", money=10**6)

    found: CostHistory = await book.cost_history("refund")

    told = [None if each is None else each.micros for each in (found.median, found.p95, found.most)]
    assert (found.runs, told) == (20, [9_000, 18_000, 19_000])
    assert (found.median_tokens, found.p95_tokens) == (9, 18)
    assert (await book.cost_history("refund", agent="agent")).runs == 20
    assert (await book.cost_history("refund", agent="nobody")).runs == 0
    with pytest.raises(InvalidCall, match="a history of nothing"):
        await book.cost_history()


@pytest.mark.kinds("memory", "sync-memory")
async def test_what_cannot_be_meant_is_refused(place: Place) -> None:
    book = place.open()
    for asked in ({"by": "week"}, {"since": datetime(2026, 1, 1)}, {"workflow_id": 5}):  # noqa: DTZ001
        with pytest.raises(InvalidCall):
            await book.costs(**asked)
    with pytest.raises(InvalidTool, match="since='soon'"):
        await book.costs(since="soon")
    with pytest.raises(InvalidCall, match="limit=0"):
        await book.budgets(limit=0)
    assert (await book.costs()).totals == ()
