"""What people's pages read of a SQLite file."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from holdfast._core.audit import micros
from holdfast._core.states import State, WorkflowStatus
from holdfast.ports import Attention, WorkflowQuery, WorkflowSummary
from holdfast.stores.rows import from_micros, summary_of
from holdfast.stores.sqlite.spending import Read, SqliteSpending


class SqliteViews(SqliteSpending):
    """See :class:`holdfast.ports.ViewStore`.

    Args:
        read: Runs a named query.
        mark: Returns a word that is another one once anything was written to the file, by whomever.
        clock: The time by which windows of budgets begin.
    """

    def __init__(self, read: Read, mark: Callable[[], Awaitable[str]], clock: Callable[[], datetime]) -> None:
        super().__init__(read, clock)
        self._mark = mark

    async def version(self, tenant: str) -> str:
        del tenant  # the file tells of its writes, not of whose they are
        return await self._mark()

    async def workflows(self, query: WorkflowQuery) -> Sequence[WorkflowSummary]:
        rows = await self._read("view_workflows", _parameters(query))
        return [summary_of(row, from_micros) for row in rows]

    async def tally(self, query: WorkflowQuery) -> Mapping[tuple[WorkflowStatus, bool], int]:
        rows = await self._read("tally_workflows", _parameters(query))
        return {(WorkflowStatus(status), bool(is_paused)): count for status, is_paused, count in rows}

    async def attention(self, tenant: str, limit: int) -> Attention:
        rows = await self._read("attention", {"tenant": tenant, "limit": limit})
        in_review, paused, next_end = rows[0][-3:]
        found = tuple(summary_of(row, from_micros) for row in rows if row[0] is not None)
        ends = None if next_end is None else from_micros(next_end)
        return Attention(rows=found, in_review=in_review, paused=paused, next_end=ends)

    async def pulse(
        self, tenant: str, since: datetime, width: timedelta
    ) -> Mapping[tuple[State, int | None], int]:
        wanted = {"tenant": tenant, "since": micros(since), "width": width // timedelta(microseconds=1)}
        return {(State(state), part): count for state, part, count in await self._read("pulse", wanted)}

    async def waiting(self, tenant: str, limit: int) -> Sequence[tuple[str, int]]:
        rows = await self._read("list_waiting", {"tenant": tenant, "limit": limit})
        return [(row[0], row[1]) for row in rows]


def _parameters(query: WorkflowQuery) -> dict[str, Any]:
    after_at, after_id = (None, None) if query.after is None else (micros(query.after[0]), query.after[1])
    return {
        "tenant": query.tenant,
        "status": query.status,
        "words": json.dumps(query.words),
        "function": query.function,
        "actor": query.actor,
        "queue": query.queue,
        "parent": query.parent,
        "tool": query.tool,
        "is_paused": query.is_paused,
        "since": None if query.since is None else micros(query.since),
        "after_at": after_at,
        "after_id": after_id,
        "limit": query.limit,
    }
