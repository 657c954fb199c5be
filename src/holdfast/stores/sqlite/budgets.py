"""Budgets in SQLite: how holds are placed and settled within a change, and where they are read."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from holdfast._core.audit import micros
from holdfast._core.budget import (
    Demand,
    HoldOp,
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
    window_start,
)
from holdfast.ports import AccountQuery, CapChange, CostQuery, CostRow, HoldQuery
from holdfast.stores.budget_rows import cost_of, hold_of, level_of, taken_text
from holdfast.stores.rows import from_micros

_Statements = Mapping[str, str]


class _Read(Protocol):
    async def __call__(self, name: str, parameters: dict[str, Any], /) -> list[tuple[Any, ...]]: ...


class SqliteBudgets:
    """See :class:`holdfast.ports.BudgetStore`.

    Args:
        read: Runs a named query.
        put: Runs a named write that stands alone; tells whether it touched one row.
        clock: The time by which windows begin.
    """

    def __init__(
        self,
        read: _Read,
        put: Callable[[str, dict[str, Any]], Awaitable[bool]],
        clock: Callable[[], datetime],
    ) -> None:
        self._read = read
        self._put = put
        self._clock = clock

    async def levels(self, query: AccountQuery) -> Sequence[Level]:
        after = query.after or (None, None, None)
        parameters = {
            "owner": query.owner,
            "account": query.account,
            "prefix": query.prefix,
            "after_account": after[0],
            "after_unit": after[1],
            "after_per": after[2],
            "limit": query.limit,
        }
        now = self._clock()
        return [level_of(row, now, from_micros) for row in await self._read("list_budgets", parameters)]

    async def holds(self, query: HoldQuery) -> Sequence[HoldRecord]:
        parameters = {
            "tenant": query.tenant,
            "key": query.key,
            "workflow_id": query.workflow_id,
            "state": query.state,
            "since": _maybe(query.since),
            "limit": query.limit,
        }
        return [hold_of(row, from_micros) for row in await self._read("list_holds", parameters)]

    async def costs(self, query: CostQuery) -> Sequence[CostRow]:
        parameters = {
            "tenant": query.tenant,
            "by": query.by,
            "workflow_id": query.workflow_id,
            "since": _maybe(query.since),
            "until": _maybe(query.until),
        }
        return [cost_of(row) for row in await self._read("sum_costs", parameters)]

    async def put_cap(self, change: CapChange) -> Level | None:
        now = self._clock()
        place = {
            "owner": change.owner,
            "account": change.account,
            "unit": change.unit,
            "per": change.per,
        }
        written = {
            "cap": change.cap,
            "was": change.was,
            "raised": change.raised,
            "window": micros(window_start(change.per, now)),
            "now": micros(now),
        }
        if not await self._put("put_cap", {**place, **written}):
            return None
        [row] = await self._read("get_budget", place)
        return level_of(row, now, from_micros)


def apply_hold(db: sqlite3.Connection, sql: _Statements, op: HoldOp, now: datetime) -> list[Level] | Refused:
    """Place or settle in an open transaction, which takes it back when it is refused.

    Returns:
        The budgets that were touched, as they are then; one that was touched twice is told twice.
    """
    if isinstance(op, SettleHold):
        return _settle(db, sql, op, now)
    levels: list[Level] = []
    for demand in demanded(op):
        place = _place(demand)
        window = window_start(demand.per, now)
        held, spent = added(demand, is_spent=op.is_spent)
        taken = {
            "cap": demand.cap,
            "amount": demand.amount,
            "held": held,
            "spent": spent,
            "window": micros(window),
            "now": micros(now),
        }
        rows = db.execute(sql["take_budget"], {**place, **taken}).fetchall()
        if not rows:
            row = db.execute(sql["get_budget"], place).fetchone() or _empty(demand, window)
            level = level_of(row, now, from_micros, declared=demand.cap)
            return Refused(level=level, amount=demand.amount)
        levels.append(level_of(rows[0], now, from_micros))
    db.execute(sql["place_hold"], _hold_row(op, now))
    return levels


def _settle(db: sqlite3.Connection, sql: _Statements, op: SettleHold, now: datetime) -> list[Level]:
    levels: list[Level] = []
    rows = db.execute(sql["get_holds"], {"tenant": op.tenant, "key": op.key}).fetchall()
    for hold in (hold_of(row, from_micros) for row in rows):
        if not is_settled_by(hold, op):
            continue
        for taken in hold.taken:
            rows = db.execute(sql["shift_budget"], _shift(hold, taken, op, now)).fetchall()
            levels += (level_of(row, now, from_micros) for row in rows)
        settled = {
            "tenant": hold.tenant,
            "key": hold.key,
            "attempt": hold.attempt,
            "state": state_after(op),
            "spent_money": spent_in(op, hold.currency, hold.money),
            "spent_tokens": spent_in(op, "tokens", hold.tokens),
            "usage": op.usage,
            "now": micros(now),
        }
        db.execute(sql["settle_hold"], settled)
    return levels


def _shift(hold: HoldRecord, taken: Taken, op: SettleHold, now: datetime) -> dict[str, Any]:
    """Return the parameters of ``shift_budget``."""
    corrects = hold.state != HoldState.HELD
    spent = 0 if taken.returns else spent_in(op, taken.unit, taken.amount)
    if corrects and not taken.returns:
        spent -= taken.amount
    settled = hold.settled_at or now
    return {
        **_place(taken),
        "held": 0 if corrects else taken.amount,
        "spent": spent,
        "corrects": corrects,
        "settled_window": micros(window_start(taken.per, settled)),
        "window": micros(window_start(taken.per, now)),
        "now": micros(now),
    }


def latest(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Return each budget once, as it was told last, in their order."""
    found = {(level.owner, level.account, level.unit, level.per): level for level in levels}
    return tuple(found[place] for place in sorted(found))


def _place(of: Demand | Taken) -> dict[str, Any]:
    return {"owner": of.owner, "account": of.account, "unit": of.unit, "per": of.per}


def _empty(demand: Demand, window: datetime) -> tuple[Any, ...]:
    where = demand.owner, demand.account, demand.unit, demand.per
    return (*where, demand.cap, 0, 0, 0, micros(window))


def _hold_row(op: PlaceHold, now: datetime) -> dict[str, Any]:
    hold = placed(op, now)
    return {
        "tenant": hold.tenant,
        "key": hold.key,
        "attempt": hold.attempt,
        "workflow_id": hold.workflow_id,
        "actor": hold.actor,
        "tool": hold.tool,
        "model": hold.model,
        "state": hold.state,
        "currency": hold.currency,
        "money": hold.money,
        "tokens": hold.tokens,
        "spent_money": hold.spent_money,
        "spent_tokens": hold.spent_tokens,
        "settled_at": _maybe(hold.settled_at),
        "price": hold.price,
        "taken": taken_text(hold.taken),
        "at": micros(hold.at),
    }


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
