"""Rows of budgets and holds, of either dialect -> nouns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from holdfast._core.budget import HoldRecord, Level, Taken, window_start
from holdfast._core.model import EffectKey
from holdfast.ports import CostRow

LEVEL_COLUMNS: Final = "owner, account, unit, per, cap, raised, spent, held, window_start"
HOLD_COLUMNS: Final = (
    "tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens, spent_money, "
    "spent_tokens, price, usage, taken, at, settled_at"
)
Moment = Callable[[Any], datetime]


def level_of(row: Sequence[Any], now: datetime, moment: Moment, *, declared: int | None = None) -> Level:
    """Return the budget in *row*, in the window that *now* is in.

    Args:
        declared: What code declares now, when that is not what it declared last.
    """
    start, current = moment(row[8]), window_start(row[3], now)
    is_over = start < current
    return Level(
        owner=row[0],
        account=row[1],
        unit=row[2],
        per=row[3],
        cap=(row[4] if declared is None else declared) + row[5],
        raised=row[5],
        spent=0 if is_over else row[6],
        held=row[7],
        window_start=current if is_over else start,
    )


def hold_of(row: Sequence[Any], moment: Moment) -> HoldRecord:
    """Return the hold in *row*."""
    return HoldRecord(
        tenant=row[0],
        key=EffectKey(row[1]),
        attempt=row[2],
        workflow_id=row[3],
        actor=row[4],
        tool=row[5],
        model=row[6],
        state=row[7],
        currency=row[8],
        money=row[9],
        tokens=row[10],
        spent_money=row[11],
        spent_tokens=row[12],
        price=row[13],
        usage=row[14],
        taken=taken_in(row[15]),
        at=moment(row[16]),
        settled_at=None if row[17] is None else moment(row[17]),
    )


def cost_of(row: Sequence[Any]) -> CostRow:
    """Return the sum in *row*; a database may sum in a wider type."""
    return CostRow(
        name=row[0],
        currency=row[1],
        attempts=int(row[2]),
        money=int(row[3]),
        tokens=int(row[4]),
        assumed_money=int(row[5]),
        held_money=int(row[6]),
        wasted_money=int(row[7]),
        wasted_tokens=int(row[8]),
    )


def taken_text(taken: Sequence[Taken]) -> str:
    """Return what a hold has, as its column holds it."""
    return json.dumps(
        [[t.owner, t.account, t.unit, t.per, t.amount, t.returns, t.slice] for t in taken],
        separators=(",", ":"),
    )


def taken_in(told: str | Sequence[Sequence[Any]]) -> tuple[Taken, ...]:
    """Return what a hold has, as its column holds it or as that was read."""
    rows: Sequence[Sequence[Any]] = json.loads(told) if isinstance(told, str) else told
    return tuple(
        Taken(owner=owner, account=account, unit=unit, per=per, amount=amount, returns=returns, slice=number)
        for owner, account, unit, per, amount, returns, number in rows
    )
