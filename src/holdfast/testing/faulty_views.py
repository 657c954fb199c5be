"""Reads of people's pages with a point before and a point after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from holdfast._core.states import State, WorkflowStatus
from holdfast.ports import (
    Attention,
    BurnQuery,
    Fullest,
    FullestQuery,
    SpreadQuery,
    SpreadRow,
    ViewStore,
    WorkflowQuery,
    WorkflowSummary,
)
from holdfast.testing.faulty_notes import Around


class FaultyViews:
    """See :class:`holdfast.ports.ViewStore`."""

    def __init__(self, inner: ViewStore, around: Around) -> None:
        self._inner = inner
        self._around = around

    async def version(self, tenant: str) -> str:
        return await self._around("version", self._inner.version(tenant))

    async def workflows(self, query: WorkflowQuery) -> Sequence[WorkflowSummary]:
        return await self._around("view_workflows", self._inner.workflows(query))

    async def tally(self, query: WorkflowQuery) -> Mapping[tuple[WorkflowStatus, bool], int]:
        return await self._around("tally", self._inner.tally(query))

    async def attention(self, tenant: str, limit: int) -> Attention:
        return await self._around("attention", self._inner.attention(tenant, limit))

    async def pulse(
        self, tenant: str, since: datetime, width: timedelta
    ) -> Mapping[tuple[State, int | None], int]:
        return await self._around("pulse", self._inner.pulse(tenant, since, width))

    async def waiting(self, tenant: str, limit: int) -> Sequence[tuple[str, int]]:
        return await self._around("waiting", self._inner.waiting(tenant, limit))

    async def fullest(self, query: FullestQuery) -> Fullest:
        return await self._around("fullest", self._inner.fullest(query))

    async def spread(self, query: SpreadQuery) -> Sequence[SpreadRow]:
        return await self._around("spread", self._inner.spread(query))

    async def burnt(self, query: BurnQuery) -> Sequence[tuple[datetime, int]]:
        return await self._around("burnt", self._inner.burnt(query))
