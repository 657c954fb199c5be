"""What people read of budgets and costs in PostgreSQL. Both stores use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from holdfast._core.spending import NEAR
from holdfast.ports import BurnQuery, Fullest, FullestQuery, SpreadQuery, SpreadRow
from holdfast.stores.postgres.notes import Rows
from holdfast.stores.rows import in_utc
from holdfast.stores.spending_rows import after_of, burnt_of, fullest_of, spread_of


class PostgresSpending:
    """See :class:`holdfast.ports.SpendingStore`.

    Args:
        rows: Runs a named query.
        now: The time by which windows begin; ``None`` for the database's.
    """

    def __init__(self, rows: Rows, now: Callable[[], datetime | None]) -> None:
        self._rows = rows
        self._now = now

    async def fullest(self, query: FullestQuery) -> Fullest:
        values: dict[str, Any] = {
            "now": self._now(),
            "tenant": query.tenant,
            "prefix": query.prefix,
            "near": NEAR,
            "only_near": query.is_near,
            "limit": query.limit,
            **after_of(query),
        }
        rows = await self._rows("view_fullest", values)
        return fullest_of(rows, in_utc(rows[0][9]), in_utc)

    async def spread(self, query: SpreadQuery) -> Sequence[SpreadRow]:
        values = {
            "tenant": query.tenant,
            "workflow_id": query.workflow_id,
            "since": query.since,
            "until": query.until,
            "by": list(query.by),
            "over": query.over,
            "step_s": int(query.step.total_seconds()),
            "most": query.most,
        }
        return [spread_of(row) for row in await self._rows("view_spread", values)]

    async def burnt(self, query: BurnQuery) -> Sequence[tuple[datetime, int]]:
        values = {
            "owner": query.owner,
            "account": query.account,
            "unit": query.unit,
            "per": query.per,
            "since": query.since,
            "step_s": int(query.step.total_seconds()),
        }
        return [burnt_of(row) for row in await self._rows("view_burnt", values)]
