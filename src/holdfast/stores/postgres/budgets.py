"""Budgets in PostgreSQL: what goes along with a change, and where they are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from holdfast._core.budget import Demand, HoldRecord, Level, PlaceHold, Refused, in_order
from holdfast.ports import AccountQuery, CapChange, CostQuery, CostRow, HoldQuery
from holdfast.stores.budget_rows import cost_of, hold_of, level_of
from holdfast.stores.rows import from_micros, in_utc

_Rows = Callable[[str, Mapping[str, Any]], Awaitable[list[tuple[Any, ...]]]]


class PostgresBudgets:
    """See :class:`holdfast.ports.BudgetStore`.

    Args:
        rows: Runs a named query.
        now: The time by which windows begin; ``None`` for the database's.
    """

    def __init__(self, rows: _Rows, now: Callable[[], datetime | None]) -> None:
        self._rows = rows
        self._now = now

    async def levels(self, query: AccountQuery) -> Sequence[Level]:
        after = query.after or (None, None, None)
        values = {
            "now": self._now(),
            "owner": query.owner,
            "account": query.account,
            "prefix": query.prefix,
            "after_account": after[0],
            "after_unit": after[1],
            "after_per": after[2],
            "limit": query.limit,
        }
        return [level_of(row, in_utc(row[9]), in_utc) for row in await self._rows("list_budgets", values)]

    async def holds(self, query: HoldQuery) -> Sequence[HoldRecord]:
        values = {
            "tenant": query.tenant,
            "key": query.key,
            "workflow_id": query.workflow_id,
            "state": query.state,
            "since": query.since,
            "limit": query.limit,
        }
        return [hold_of(row, in_utc) for row in await self._rows("list_holds", values)]

    async def costs(self, query: CostQuery) -> Sequence[CostRow]:
        values = {
            "tenant": query.tenant,
            "by": query.by,
            "workflow_id": query.workflow_id,
            "since": query.since,
            "until": query.until,
        }
        return [cost_of(row) for row in await self._rows("sum_costs", values)]

    async def put_cap(self, change: CapChange) -> Level | None:
        values = {
            "now": self._now(),
            "owner": change.owner,
            "account": change.account,
            "unit": change.unit,
            "per": change.per,
            "cap": change.cap,
            "was": change.was,
            "raised": change.raised,
        }
        if not await self._rows("put_cap", values):
            return None
        known = await self.levels(AccountQuery(owner=change.owner, account=change.account))
        return next(level for level in known if (level.unit, level.per) == (change.unit, change.per))

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete what attempts cost whose effects are gone, and budgets of workflows that have ended."""
        return len(await self._rows("reap_budgets", {"tenant": tenant, "before": before, "limit": limit}))


def refused_in(told: Mapping[str, Any], now: datetime) -> Refused:
    """Return which budget refused a change, as its function told it."""
    level = level_of(told["refused"], now, _moment, declared=told["cap"])
    return Refused(level=level, amount=told["amount"])


def levels_told(told: Mapping[str, Any], holds: Sequence[PlaceHold], now: datetime) -> tuple[Level, ...]:
    """Return how full budgets are, as the functions tell it with a change that was made.

    Args:
        holds: What was held with it: in the order of its budgets they are told in numbers.
    """
    if "levels" in told:
        return levels_in(told["levels"], now)
    if "taken" in told:
        places = [place for *place, _, _, number in told["taken"] if not number]
    else:
        places = [place for op in holds for place in _whole(op.demands)]
    found: list[Level] = []
    for at, place in enumerate(places):
        cap, *rest, start = told["numbers"][5 * at : 5 * at + 5]
        if cap is not None:
            found.append(level_of((*place, cap, *rest, start), now, _of_micros))
    return tuple(found)


@lru_cache(maxsize=1024)
def _whole(demands: tuple[Demand, ...]) -> Sequence[tuple[str, str, str, str]]:
    """Return which undivided budgets are demanded of, in the order in which they are told."""
    return [(each.owner, each.account, each.unit, each.per) for each in in_order(demands) if not each.slices]


def levels_in(told: Sequence[Sequence[Any] | None], now: datetime) -> tuple[Level, ...]:
    """Return how full budgets are, as a function told it; of one that is told twice, what came last."""
    found = {tuple(row[:4]): row for row in told if row is not None}
    return tuple(level_of(found[place], now, _moment) for place in sorted(found))


_of_micros = lru_cache(maxsize=256)(from_micros)  # windows are told with every call, and seldom begin


@lru_cache(maxsize=256)
def _moment(text: str) -> datetime:
    return in_utc(datetime.fromisoformat(text))
