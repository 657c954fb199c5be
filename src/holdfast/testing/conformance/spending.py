"""The part of the store contract that is about what people read of budgets and costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast._core.budget import EVERYBODY, Level
from holdfast._core.change import PlainOutcome
from holdfast._core.spending import filled
from holdfast._core.states import Event
from holdfast.ports import BurnQuery, Fullest, FullestQuery, SpreadBy, SpreadQuery, SpreadRow
from holdfast.ports.spending import Place
from holdfast.testing.conformance.purses import CLAIM, Purse, demand, hold, settled
from holdfast.testing.conformance.subject import TENANT, Subject

_DONE = PlainOutcome(result="null")
_ALL: tuple[SpreadBy, ...] = ("tool", "model", "actor", "workflow_id", "outcome", "fate")


class SpendingContract:
    """What :class:`holdfast.ports.SpendingStore` promises, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.fixture
    def spending(self, subject: Subject) -> Spending:
        """Return the store, spent from and looked at."""
        subject.clock.advance(1.234567)
        return Spending(subject)

    def test_the_fullest_budgets_come_first_and_are_counted_exactly(self, spending: Spending) -> None:
        spending.purse.claimed(
            0,
            demand(account="agent:a", cap=100, amount=79),
            demand(account="agent:b", cap=10, amount=8),
            demand(account="workflow:w", unit="usd", cap=3, amount=3),
            demand(account="agent:c", unit="concurrency", cap=1, amount=1, returns=True),
            demand(owner=EVERYBODY, account="global", cap=1_000_000, amount=799_999),
            demand(account="tenant", cap=2**53, amount=1),
            demand(owner="other", account="agent:theirs", cap=10, amount=10),
        )
        found = spending.fullest()

        wanted = ["agent:c", "workflow:w", "agent:b", "global", "agent:a", "tenant"]
        assert [level.account for level in found.levels] == wanted
        assert [filled(level) for level in found.levels] == [1000, 1000, 800, 799, 790, 0]
        assert (found.found, found.near) == (6, 2)
        assert spending.pages(1) == spending.pages(4) == list(found.levels)
        agents = spending.fullest(prefix="agent:", limit=1)
        assert ([level.account for level in agents.levels], agents.found, agents.near) == (["agent:c"], 3, 1)
        near = spending.fullest(is_near=True)
        assert ([level.account for level in near.levels], near.found) == (["workflow:w", "agent:b"], 2)

    def test_without_budgets_there_are_none_and_a_place_past_the_last_is_empty(
        self, spending: Spending
    ) -> None:
        assert spending.fullest() == Fullest(levels=(), found=0, near=0)
        spending.purse.claimed(0, demand(cap=100, amount=90))
        after: Place = 0, "", "", "", ""

        assert spending.fullest(after=after) == Fullest(levels=(), found=1, near=1)

    def test_a_window_that_is_over_and_a_raised_cap_count_as_they_are(self, spending: Spending) -> None:
        head = spending.purse.claimed(0, demand(per="hour", amount=90), demand(account="agent:a", amount=90))
        spending.purse.moved(head, Event.SUCCEED, settled(0), outcome=_DONE)
        spending.subject.clock.advance(3600)
        spending.purse.cap(0, 900, account="agent:a")
        spending.purse.cap(0, -100, account="agent:none")
        found = spending.fullest()

        assert [(level.account, level.cap, level.spent) for level in found.levels] == [
            ("agent:none", 0, 0),
            ("agent:a", 1000, 90),
            ("tenant", 100, 0),
        ]
        assert found.near == 1

    def test_a_divided_budget_is_as_full_as_its_slices(self, spending: Spending) -> None:
        for n in range(4):
            spending.purse.claimed(n, demand(cap=40, amount=9, slices=4), slice=n)

        assert [filled(level) for level in spending.fullest().levels] == [900]

    def test_money_that_bought_nothing_is_told_by_why(self, spending: Spending) -> None:
        spending.various()
        fates = {row.name: row for row in spending.spread("fate")}

        assert {name: row.money for name, row in fates.items()} == {
            "": 50,
            "held": 0,
            "failed": 20,
            "superseded": 30,
            "assumed": 100,
        }
        assert fates["held"].held == 100
        [tool] = spending.spread("tool")
        assert (tool.failed, tool.superseded, tool.assumed, tool.held) == (20, 30, 100, 100)
        assert (tool.money, tool.attempts) == (10 + 20 + 30 + 100 + 40, 6)

    def test_each_way_to_tell_costs_adds_up_to_the_same(self, spending: Spending) -> None:
        """COS-12: no way to tell them leaves anything out."""
        spending.various()
        for most in (1, 2, 20):
            rows = spending.spread(*_ALL, over="model", step=timedelta(hours=1), most=most)
            sums = {by: _sums([row for row in rows if row.by == by]) for by in _ALL}

            assert set(sums.values()) == {(6, 200, 100, 20, 30, 100, 100)}
            assert all(len(_named(rows, by)) <= most for by in _ALL)
            assert all((row.at is not None) is (row.by == "model") for row in rows)

    def test_beyond_the_dearest_names_are_put_together(self, spending: Spending) -> None:
        for n, money in enumerate((30, 50, 10, 50)):
            spending.spent(n, money, model=f"m{n}")
        spending.spent(4, 1, model="m9", currency="eur")
        rows = {(row.currency, row.name): row for row in spending.spread("model", most=2)}

        assert {place: row.money for place, row in rows.items()} == {
            ("usd", "m1"): 50,
            ("usd", "m3"): 50,
            ("usd", ""): 40,
            ("eur", "m9"): 1,
        }
        rest = rows["usd", ""]
        assert (rest.is_rest, rest.names, rest.attempts) == (True, 2, 2)

    def test_costs_are_told_by_the_step_that_attempts_began_in(self, spending: Spending) -> None:
        began = spending.subject.clock()
        spending.spent(0, 10, model="m")
        spending.subject.clock.advance(60)
        spending.spent(1, 20, model="m")
        spending.spent(2, 5, model="n")
        rows = spending.spread("model", "tool", over="model", step=timedelta(minutes=1))

        of = sorted((row.at, row.name, row.money) for row in rows if row.at is not None)
        first = began.replace(second=began.second - began.second % 60, microsecond=0)
        later = first + timedelta(minutes=1)
        assert of == [(first, "m", 10), (later, "m", 20), (later, "n", 5)]
        assert [row.money for row in rows if row.at is None] == [35]
        since = spending.subject.clock()
        assert [row.money for row in spending.spread("tool", since=since)] == [25]
        assert [row.money for row in spending.spread("tool", until=since)] == [10]
        assert [row.money for row in spending.spread("tool", workflow_id="order-1")] == [20]

    def test_how_a_budget_is_used_up_is_told_by_when_it_was_settled(self, spending: Spending) -> None:
        purse, clock = spending.purse, spending.subject.clock
        money = demand(unit="usd", cap=1000, amount=100)
        demands = (money, demand(unit="steps", amount=1), demand(unit="concurrency", amount=1, returns=True))
        begun = clock()
        heads = [purse.claimed(n, *demands, currency="usd", money=100, tokens=10) for n in range(4)]
        for n, head in enumerate(heads[:3]):
            clock.advance(60)
            op = settled(n, amounts=(("usd", 10 * n),)) if n else settled(n, basis="nothing")
            purse.moved(head, Event.SUCCEED, op, outcome=_DONE)

        assert [spent for _, spent in spending.burnt("usd", begun)] == [0, 10, 20]
        assert [spent for _, spent in spending.burnt("steps", begun)] == [0, 1, 1]
        assert spending.burnt("concurrency", begun) == []
        assert [spent for _, spent in spending.burnt("usd", clock())] == [20]
        at = [at for at, _ in spending.burnt("usd", begun)]
        assert [(one.second, one.microsecond) for one in at] == [(0, 0)] * 3
        assert purse.level(unit="usd") == (30, 100)


class Spending:
    """The store under test, spent from and looked at."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.purse = Purse(subject)

    def fullest(self, **query: Any) -> Fullest:
        """Return budgets, the fullest first."""
        return self.subject.run(self.subject.store.views.fullest(FullestQuery(tenant=TENANT, **query)))

    def pages(self, limit: int) -> list[Level]:
        """Return all budgets, read page by page."""
        found: list[Level] = []
        after: Place | None = None
        while page := self.fullest(after=after, limit=limit).levels:
            found += page
            last = page[-1]
            after = filled(last), last.owner, last.account, last.unit, last.per
        return found

    def spread(self, *by: SpreadBy, **query: Any) -> list[SpreadRow]:
        """Return what was spent."""
        wanted = SpreadQuery(tenant=TENANT, by=by, **query)
        return list(self.subject.run(self.subject.store.views.spread(wanted)))

    def burnt(self, unit: str, since: Any) -> list[tuple[Any, int]]:
        """Return how one of the tenant's budgets was used up, by minutes."""
        wanted = BurnQuery(
            owner=TENANT, account="tenant", unit=unit, per="", since=since, step=timedelta(minutes=1)
        )
        return list(self.subject.run(self.subject.store.views.burnt(wanted)))

    def spent(self, n: int, money: int, *, event: Event = Event.SUCCEED, **told: Any) -> None:
        """Let the n-th effect end, after it cost so much of at most 100."""
        told = {"currency": "usd", "tokens": 20, **told}
        head = self.purse.claimed(n, demand(cap=1000, amount=20), money=100, **told)
        op = settled(n, amounts=((told["currency"], money), ("tokens", 20)))
        options = {"outcome": _DONE} if event is Event.SUCCEED else {}
        self.purse.moved(head, event, op, **options)

    def various(self) -> None:
        """Let effects end in every way: well, badly, in doubt, after another attempt, and not at all."""
        self.spent(0, 10, model="m", actor="a")
        self.spent(1, 20, model="n", actor="b", event=Event.FAIL)
        doubtful = self.purse.claimed(
            2, demand(cap=1000, amount=20), currency="usd", money=100, tokens=20, model="m"
        )
        self.purse.moved(doubtful, Event.DOUBT, settled(2))
        self.purse.claimed(3, demand(cap=1000, amount=20), currency="usd", money=100, tokens=20)
        told: dict[str, Any] = {"currency": "usd", "money": 100, "tokens": 20, "model": "o"}
        head = self.purse.claimed(4, demand(cap=1000, amount=20), **told)
        op = settled(4, amounts=(("usd", 30), ("tokens", 20)))
        head = self.purse.moved(head, Event.RELEASE, op)
        again = hold(self.subject.clock, 4, demand(cap=1000, amount=20), attempt=2, **told)
        head = self.purse.moved(head, Event.CLAIM, again, **CLAIM)
        op = settled(4, 2, amounts=(("usd", 40), ("tokens", 20)))
        self.purse.moved(head, Event.SUCCEED, op, outcome=_DONE)


def _sums(rows: list[SpreadRow]) -> tuple[int, ...]:
    return (
        sum(row.attempts for row in rows),
        sum(row.money for row in rows),
        sum(row.tokens for row in rows),
        sum(row.failed for row in rows),
        sum(row.superseded for row in rows),
        sum(row.assumed for row in rows),
        sum(row.held for row in rows),
    )


def _named(rows: list[SpreadRow], by: SpreadBy) -> set[str]:
    return {row.name for row in rows if row.by == by and not row.is_rest}
