"""Budgets whose every read, and whose one write, has a point before it and a point after it."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast._core.budget import HoldRecord, Level
from holdfast.ports import AccountQuery, BudgetStore, CapChange, CostQuery, CostRow, HoldQuery
from holdfast.testing.faulty_notes import Around


class FaultyBudgets:
    """See :class:`holdfast.ports.BudgetStore`."""

    def __init__(self, inner: BudgetStore, around: Around) -> None:
        self._inner = inner
        self._around = around

    async def levels(self, query: AccountQuery) -> Sequence[Level]:
        return await self._around("budgets", self._inner.levels(query))

    async def holds(self, query: HoldQuery) -> Sequence[HoldRecord]:
        return await self._around("holds", self._inner.holds(query))

    async def costs(self, query: CostQuery) -> Sequence[CostRow]:
        return await self._around("costs", self._inner.costs(query))

    async def put_cap(self, change: CapChange) -> Level | None:
        return await self._around("put cap", self._inner.put_cap(change))
