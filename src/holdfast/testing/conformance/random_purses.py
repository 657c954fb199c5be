"""Sequences of claims that hold and ends that settle, for comparing a store with the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, get_args

from hypothesis import strategies as st

from holdfast._core.budget import Demand, HoldOp
from holdfast._core.change import Change, Committed, Head, PlainOutcome
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import Event, State
from holdfast.ports import (
    AccountQuery,
    BurnQuery,
    CapChange,
    CostBy,
    CostQuery,
    CostRow,
    FullestQuery,
    HoldQuery,
    SpreadBy,
    SpreadQuery,
)
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.purses import CLAIM, hold, settled
from holdfast.testing.conformance.subject import Subject, new_effect, stamp

KEYS: Final = 4
_CAP: Final = 60
_AMOUNTS: Final = st.sampled_from([0, 1, 7, 20, 40, _CAP, _CAP + 1])
_ACCOUNTS: Final = ("agent:a", "tenant", "workflow:order-0")
_BY: Final[tuple[CostBy, ...]] = get_args(CostBy)
_SPREAD: Final[tuple[SpreadBy, ...]] = ("tool", "model", "actor", "workflow_id", "outcome", "fate")
_ENDS: Final = (Event.SUCCEED, Event.FAIL, Event.RELEASE, Event.DOUBT, Event.TAKE_OVER)


@dataclass
class PurseTrial:
    """One sequence: after each step both stores have answered alike."""

    subject: Subject
    oracle: MemoryStore
    tenant: str
    heads: dict[int, Head] = field(default_factory=dict[int, Head])

    def step(self, data: st.DataObject) -> None:
        """Do one thing to both stores."""
        kind = data.draw(
            st.sampled_from(["claim", "claim", "end", "end", "end", "cap", "time"]), label="step"
        )
        if kind == "time":
            self.subject.clock.advance(data.draw(st.sampled_from([0.5, 11.0, 3600.0, 86400.0]), label="wait"))
        elif kind == "cap":
            self._cap(data)
        else:
            n = data.draw(st.integers(0, KEYS - 1), label="effect")
            self._claim(data, n) if kind == "claim" else self._end(data, n)
        self._agree(data)

    def _claim(self, data: st.DataObject, n: int) -> None:
        head = self.heads.get(n)
        op = hold(self.subject.clock, n, *self._demands(data), **self._told(data, n))
        if head is None:
            change, after = plan_insert(
                new_effect(n, tenant=self.tenant), Event.CLAIM, stamp(self.subject.clock), **CLAIM
            )
        elif head.state is State.RETRYABLE:
            change, after = plan_move(head, Event.CLAIM, stamp(self.subject.clock), **CLAIM)
            op = hold(
                self.subject.clock,
                n,
                *self._demands(data),
                **self._told(data, n),
                attempt=after.attempt,
            )
        else:
            return
        self._commit(n, along_with(change, [op]), after)

    def _end(self, data: st.DataObject, n: int) -> None:
        head = self.heads.get(n)
        if head is None or head.state not in {State.PENDING, State.UNKNOWN}:
            return
        events = _ENDS if head.state is State.PENDING else (Event.RESOLVE_DONE, Event.RESOLVE_NOT_DONE)
        event = data.draw(st.sampled_from(events), label="event")
        ops: list[HoldOp] = [self._settle(data, n, head)]
        options: dict[str, Any] = {}
        if event in {Event.SUCCEED, Event.RESOLVE_DONE}:
            options["outcome"] = PlainOutcome(result="null")
        if event is Event.TAKE_OVER:
            options = {**CLAIM, "lease_over": True}
            told = self._told(data, n)
            ops.append(hold(self.subject.clock, n, *self._demands(data), **told, attempt=head.attempt + 1))
        change, after = plan_move(head, event, stamp(self.subject.clock), **options)
        self._commit(n, along_with(change, ops), after)

    def _settle(self, data: st.DataObject, n: int, head: Head) -> HoldOp:
        amounts = data.draw(
            st.dictionaries(st.sampled_from(["tokens", "usd", "seats"]), _AMOUNTS), label="spent"
        )
        return settled(
            n,
            data.draw(st.sampled_from([head.attempt, head.attempt, None]), label="attempt"),
            tenant=self.tenant,
            basis=data.draw(st.sampled_from(["actual", "bound", "nothing"]), label="basis"),
            amounts=tuple(sorted(amounts.items())),
            usage=data.draw(st.sampled_from([None, '{"input":1}']), label="usage"),
        )

    def _demands(self, data: st.DataObject) -> list[Demand]:
        count = data.draw(st.integers(0, 3), label="demands")
        found: dict[tuple[str, str, str], Demand] = {}
        for _ in range(count):
            unit = data.draw(st.sampled_from(["tokens", "tokens", "usd", "seats"]), label="unit")
            demand = Demand(
                owner=self.tenant,
                account=data.draw(st.sampled_from(_ACCOUNTS), label="account"),
                unit=unit,
                per=data.draw(st.sampled_from(["", "", "hour", "day"]), label="per"),
                cap=data.draw(st.sampled_from([_CAP, _CAP, _CAP, _CAP // 2]), label="cap"),
                amount=data.draw(_AMOUNTS, label="amount"),
                returns=unit == "seats",
                slices=data.draw(st.sampled_from([0, 0, 3]), label="slices"),
            )
            found[demand.account, demand.unit, demand.per] = demand
        return list(found.values())

    def _told(self, data: st.DataObject, n: int) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "currency": data.draw(st.sampled_from(["", "usd"]), label="currency"),
            "money": data.draw(_AMOUNTS, label="money"),
            "tokens": data.draw(_AMOUNTS, label="tokens"),
            "slice": n,
            "model": data.draw(st.sampled_from(["", "m", "n"]), label="model"),
            "is_spent": data.draw(st.sampled_from([False, False, False, True]), label="spent at once"),
        }

    def _commit(self, n: int, change: Change, after: Head) -> None:
        answers = [
            self.subject.run(self.subject.store.commit(change)),
            self.subject.run(self.oracle.commit(change)),
        ]
        is_made = isinstance(answers[1], Committed)
        assert isinstance(answers[0], Committed) is is_made
        if isinstance(answers[0], Committed) and isinstance(answers[1], Committed):
            known = {(level.account, level.unit, level.per): level for level in answers[1].levels}
            told = [(level, known[level.account, level.unit, level.per]) for level in answers[0].levels]
            assert all(mine == theirs for mine, theirs in told)
            self.heads[n] = after
        else:
            assert answers[0] == answers[1]

    def _cap(self, data: st.DataObject) -> None:
        change = CapChange(
            owner=self.tenant,
            account=data.draw(st.sampled_from(_ACCOUNTS), label="account"),
            unit="tokens",
            per="",
            cap=_CAP,
            was=data.draw(st.sampled_from([0, 0, 5]), label="was"),
            raised=data.draw(st.sampled_from([5, 0, -10]), label="raised"),
            at=self.subject.clock(),
        )
        mine = self.subject.run(self.subject.store.budgets.put_cap(change))
        assert mine == self.subject.run(self.oracle.budgets.put_cap(change))

    def _agree(self, data: st.DataObject) -> None:
        mine, theirs, run = self.subject.store.budgets, self.oracle.budgets, self.subject.run
        accounts = AccountQuery(owner=self.tenant)
        levels = list(run(mine.levels(accounts)))
        assert levels == list(run(theirs.levels(accounts)))
        holds = HoldQuery(tenant=self.tenant)
        assert list(run(mine.holds(holds))) == list(run(theirs.holds(holds)))
        sums: list[dict[str, list[int]]] = []
        for by in _BY:
            costs = CostQuery(tenant=self.tenant, by=by)
            rows = list(run(mine.costs(costs)))
            assert rows == list(run(theirs.costs(costs)))
            sums.append(_sums(rows))
        assert all(each == sums[0] for each in sums), "the parts of every grouping add up to the same"
        self._agree_on_views(data)

    def _agree_on_views(self, data: st.DataObject) -> None:
        mine, theirs, run = self.subject.store.views, self.oracle.views, self.subject.run
        fullest = FullestQuery(tenant=self.tenant)
        assert run(mine.fullest(fullest)) == run(theirs.fullest(fullest))
        spread = SpreadQuery(
            tenant=self.tenant,
            by=_SPREAD,
            over=data.draw(st.sampled_from([None, *_SPREAD]), label="over"),
            step=timedelta(hours=1),
            most=data.draw(st.sampled_from([1, 2, 20]), label="most"),
        )
        assert sorted(map(repr, run(mine.spread(spread)))) == sorted(map(repr, run(theirs.spread(spread))))
        burnt = BurnQuery(
            owner=self.tenant,
            account=data.draw(st.sampled_from(_ACCOUNTS), label="burnt"),
            unit=data.draw(st.sampled_from(["tokens", "usd", "seats"]), label="unit"),
            per="",
            since=self.subject.clock() - timedelta(days=30),
            step=timedelta(minutes=1),
        )
        assert list(run(mine.burnt(burnt))) == list(run(theirs.burnt(burnt)))


def _sums(rows: Sequence[CostRow]) -> dict[str, list[int]]:
    """Add costs up by currency; nothing wasted is more than what was spent."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        assert 0 <= row.assumed_money <= row.wasted_money <= row.money
        assert 0 <= row.wasted_tokens <= row.tokens
        told = (row.attempts, row.money, row.tokens, row.assumed_money, row.held_money)
        parts = (*told, row.wasted_money, row.wasted_tokens)
        known = sums.setdefault(row.currency, [0] * len(parts))
        sums[row.currency] = [one + more for one, more in zip(known, parts, strict=True)]
    return sums
