"""What people's pages read of PostgreSQL. Both stores use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from holdfast._core.states import State, WorkflowStatus
from holdfast.ports import Attention, WorkflowQuery, WorkflowSummary
from holdfast.stores.postgres.spending import PostgresSpending
from holdfast.stores.rows import in_utc, summary_of


class PostgresViews(PostgresSpending):
    """See :class:`holdfast.ports.ViewStore`."""

    async def version(self, tenant: str) -> str:
        del tenant  # the server tells of its transactions, not of whose they are
        rows = await self._rows("version", {})
        return str(rows[0][0])

    async def workflows(self, query: WorkflowQuery) -> Sequence[WorkflowSummary]:
        rows = await self._rows("view_workflows", _values(query))
        return [summary_of(row, in_utc) for row in rows]

    async def tally(self, query: WorkflowQuery) -> Mapping[tuple[WorkflowStatus, bool], int]:
        rows = await self._rows("tally_workflows", _values(query))
        return {(WorkflowStatus(row[0]), row[1]): row[2] for row in rows}

    async def attention(self, tenant: str, limit: int) -> Attention:
        rows = await self._rows("attention", {"tenant": tenant, "limit": limit})
        in_review, paused, next_end = rows[0][-3:]
        found = tuple(summary_of(row, in_utc) for row in rows if row[0] is not None)
        ends = None if next_end is None else in_utc(next_end)
        return Attention(rows=found, in_review=in_review, paused=paused, next_end=ends)

    async def pulse(
        self, tenant: str, since: datetime, width: timedelta
    ) -> Mapping[tuple[State, int | None], int]:
        wanted = {"tenant": tenant, "since": since, "width_s": width.total_seconds()}
        return {(State(row[0]), row[1]): row[2] for row in await self._rows("pulse", wanted)}

    async def waiting(self, tenant: str, limit: int) -> Sequence[tuple[str, int]]:
        rows = await self._rows("list_waiting", {"tenant": tenant, "limit": limit})
        return [(row[0], row[1]) for row in rows]


def _values(query: WorkflowQuery) -> dict[str, Any]:
    after_at, after_id = (None, None) if query.after is None else query.after
    return {
        "tenant": query.tenant,
        "status": query.status,
        "words": list(query.words),
        "function": query.function,
        "actor": query.actor,
        "queue": query.queue,
        "parent": query.parent,
        "tool": query.tool,
        "is_paused": query.is_paused,
        "since": query.since,
        "after_at": after_at,
        "after_id": after_id,
        "limit": query.limit,
    }
