"""Budgets in this process's memory: what holding and settling mean, in plain Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from holdfast._core.budget import (
    Demand,
    HoldRecord,
    HoldState,
    Level,
    PlaceHold,
    Refused,
    SettleHold,
    Taken,
    added,
    demanded,
    is_settled_by,
    placed,
    spent_in,
    state_after,
    wasted_as,
    window_start,
)
from holdfast._core.model import EffectKey, Record
from holdfast.errors import StoreInvariant
from holdfast.ports.budgets import AccountQuery, CapChange, CostQuery, CostRow, HoldQuery
from holdfast.stores.memory_spending import Purses

_Place = tuple[str, str, str, str]
Undo = list[Callable[[], object]]


class MemoryBudgets:
    """See :class:`holdfast.ports.BudgetStore`.

    Args:
        lock: Held by whoever writes.
        clock: The store's.
        effects: All of them.
    """

    def __init__(
        self,
        lock: threading.Lock,
        clock: Callable[[], datetime],
        effects: Mapping[tuple[str, str], Record],
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._effects = effects
        self._levels: dict[_Place, Level] = {}
        self._holds: dict[tuple[str, EffectKey, int], HoldRecord] = {}
        self._touched: dict[_Place, datetime] = {}

    def place(self, op: PlaceHold, now: datetime, undo: Undo) -> Refused | None:
        """Take what *op* demands; the caller takes it back when some of it is refused."""
        for demand in demanded(op):
            refused = self._take(demand, now, undo, is_spent=op.is_spent)
            if refused is not None:
                return refused
        place = op.tenant, op.key, op.attempt
        if place in self._holds:
            raise StoreInvariant("place a hold", f"attempt {op.attempt} has one", op.key)
        self._holds[place] = placed(op, now)
        undo.append(lambda: self._holds.pop(place))
        return None

    def _take(self, demand: Demand, now: datetime, undo: Undo, *, is_spent: bool) -> Refused | None:
        place = demand.owner, demand.account, demand.unit, demand.per
        known = self._levels.get(place) or _new(demand, now)
        level = _current(known, now)
        level = replace(level, cap=demand.cap + level.raised)
        if level.spent + level.held + demand.amount > level.cap:
            return Refused(level=level, amount=demand.amount)
        held, spent = added(demand, is_spent=is_spent)
        self._put(place, replace(level, held=level.held + held, spent=level.spent + spent), now, undo)
        return None

    def _put(self, place: _Place, level: Level, now: datetime, undo: Undo) -> None:
        before, touched = self._levels.get(place), self._touched.get(place)
        self._levels[place], self._touched[place] = level, now

        def back() -> None:
            if before is None or touched is None:
                del self._levels[place], self._touched[place]
            else:
                self._levels[place], self._touched[place] = before, touched

        undo.append(back)

    def settle(self, op: SettleHold, now: datetime, undo: Undo) -> list[Taken]:
        """Settle what *op* is about; return the budgets that were touched."""
        touched: list[Taken] = []
        of = [h for h in self._holds.values() if (h.tenant, h.key) == (op.tenant, op.key)]
        for hold in sorted(of, key=lambda each: each.attempt):
            if not is_settled_by(hold, op):
                continue
            for taken in hold.taken:
                self._shift(hold, taken, op, now, undo)
            touched += hold.taken
            place = hold.tenant, hold.key, hold.attempt
            self._holds[place] = replace(
                hold,
                state=state_after(op),
                spent_money=spent_in(op, hold.currency, hold.money),
                spent_tokens=spent_in(op, "tokens", hold.tokens),
                usage=op.usage or hold.usage,
                settled_at=now,
            )
            undo.append(partial(self._holds.update, {place: hold}))
        return touched

    def _shift(self, hold: HoldRecord, taken: Taken, op: SettleHold, now: datetime, undo: Undo) -> None:
        place = taken.owner, taken.account, taken.unit, taken.per
        level = self._levels.get(place)
        if level is None:  # it was reaped: nothing is left to be right about
            return
        spent = 0 if taken.returns else spent_in(op, taken.unit, taken.amount)
        level = _current(level, now)
        if hold.state == HoldState.HELD:
            level = replace(level, held=max(0, level.held - taken.amount), spent=level.spent + spent)
        elif not taken.returns and _in_window(level, taken, hold.settled_at):
            level = replace(level, spent=max(0, level.spent + spent - taken.amount))
        self._put(place, level, now, undo)

    def now_at(self, places: Sequence[Demand | Taken]) -> tuple[Level, ...]:
        """Return the budgets that were touched, as they are."""
        names = dict.fromkeys((each.owner, each.account, each.unit, each.per) for each in places)
        return tuple(self._levels[name] for name in sorted(names) if name in self._levels)

    def reap(self, tenant: str, before: datetime, limit: int, is_open: Callable[[str, str], bool]) -> int:
        """Delete the cost records of effects that are gone, and the budgets of workflows that are."""
        old = [
            place
            for place, hold in self._holds.items()
            if hold.tenant == tenant and hold.settled_at is not None and hold.settled_at < before
            if self._effects.get((tenant, hold.key)) is None
        ][:limit]
        for place in old:
            del self._holds[place]
        spent = [
            place
            for place, level in self._levels.items()
            if level.owner == tenant and level.account.startswith("workflow:") and not level.held
            if self._touched[place] < before and not is_open(tenant, level.account.removeprefix("workflow:"))
        ][:limit]
        for name in spent:
            del self._levels[name], self._touched[name]
        return len(old) + len(spent)

    def all(self) -> Purses:
        """Return all that is held and spent."""
        with self._lock:
            now = self._clock()
            levels = tuple(_current(level, now) for level in self._levels.values())
            return Purses(levels, tuple(self._holds.values()), dict(self._effects))

    async def levels(self, query: AccountQuery) -> Sequence[Level]:
        with self._lock:
            now = self._clock()
            found = [
                _current(level, now)
                for level in self._levels.values()
                if level.owner == query.owner and query.account in {None, level.account}
                if query.prefix is None or level.account.startswith(query.prefix)
                if query.after is None or (level.account, level.unit, level.per) > query.after
            ]
        return sorted(found, key=lambda level: (level.account, level.unit, level.per))[: query.limit]

    async def holds(self, query: HoldQuery) -> Sequence[HoldRecord]:
        with self._lock:
            found = [
                hold
                for hold in self._holds.values()
                if hold.tenant == query.tenant
                and query.key in {None, hold.key}
                and query.workflow_id in {None, hold.workflow_id}
                and query.state in {None, hold.state}
                and (query.since is None or hold.at >= query.since)
            ]
        return sorted(found, key=lambda hold: (hold.at, hold.key, hold.attempt), reverse=True)[: query.limit]

    async def costs(self, query: CostQuery) -> Sequence[CostRow]:
        rows: dict[tuple[str, str], CostRow] = {}
        with self._lock:
            for hold in self._holds.values():
                if hold.tenant != query.tenant or query.workflow_id not in {None, hold.workflow_id}:
                    continue
                if query.since is not None and hold.at < query.since:
                    continue
                if query.until is not None and hold.at >= query.until:
                    continue
                waste = self._waste(hold)
                name = waste if query.by == "waste" else self._name(query, hold)
                place = name, hold.currency
                rows[place] = _added(rows.get(place), place, hold, is_wasted=waste != "")
        return [rows[name] for name in sorted(rows)]

    def _waste(self, hold: HoldRecord) -> str:
        effect = self._effects.get((hold.tenant, hold.key))
        if effect is None:
            return wasted_as(hold, None, None)
        return wasted_as(hold, effect.attempt, effect.state)

    def _name(self, query: CostQuery, hold: HoldRecord) -> str:
        if query.by == "day":
            return hold.at.date().isoformat()
        if query.by == "outcome":
            effect = self._effects.get((hold.tenant, hold.key))
            return "" if effect is None else effect.state
        name: str = getattr(hold, query.by)
        return name

    async def put_cap(self, change: CapChange) -> Level | None:
        with self._lock:
            now = self._clock()
            place = change.owner, change.account, change.unit, change.per
            known = self._levels.get(place)
            raised = 0 if known is None else known.raised
            if raised != change.was:
                return None
            level = Level(
                owner=change.owner,
                account=change.account,
                unit=change.unit,
                per=change.per,
                cap=change.cap,
                raised=0,
                spent=0,
                held=0,
                window_start=window_start(change.per, now),
            )
            level = _current(known or level, now)
            level = replace(level, cap=level.cap - raised + change.raised, raised=change.raised)
            self._levels[place], self._touched[place] = level, now
            return level


def _new(demand: Demand, now: datetime) -> Level:
    where: dict[str, Any] = {"owner": demand.owner, "account": demand.account, "unit": demand.unit}
    start = window_start(demand.per, now)
    return Level(**where, per=demand.per, cap=demand.cap, raised=0, spent=0, held=0, window_start=start)


def _current(level: Level, now: datetime) -> Level:
    """Return the level in the window that *now* is in; what is held is held in that one too."""
    start = window_start(level.per, now)
    return replace(level, spent=0, window_start=start) if start > level.window_start else level


def _in_window(level: Level, taken: Taken, settled_at: datetime | None) -> bool:
    """Whether what was settled then counts in the window that the level is in."""
    return settled_at is not None and window_start(taken.per, settled_at) == level.window_start


def _added(row: CostRow | None, place: tuple[str, str], hold: HoldRecord, *, is_wasted: bool) -> CostRow:
    sums = dict.fromkeys(_SUMS, 0)
    row = row or CostRow(name=place[0], currency=place[1], **sums)
    money, tokens = hold.spent_money or 0, hold.spent_tokens or 0
    return replace(
        row,
        attempts=row.attempts + 1,
        money=row.money + money,
        tokens=row.tokens + tokens,
        assumed_money=row.assumed_money + (money if hold.state == HoldState.ASSUMED else 0),
        held_money=row.held_money + (hold.money if hold.state == HoldState.HELD else 0),
        wasted_money=row.wasted_money + (money if is_wasted else 0),
        wasted_tokens=row.wasted_tokens + (tokens if is_wasted else 0),
    )


_SUMS: Final = (
    "attempts",
    "money",
    "tokens",
    "assumed_money",
    "held_money",
    "wasted_money",
    "wasted_tokens",
)
