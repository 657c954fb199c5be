"""What people's pages read of a ledger: lists over several tables, exact counts, whether anything is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast._core.approval import Approval
from holdfast._core.budget import EVERYBODY, HoldRecord, Level
from holdfast._core.states import State, WorkflowStatus
from holdfast._runtime.closing import keeping_open
from holdfast._runtime.minding import readable
from holdfast._runtime.parts import Parts
from holdfast.errors import LedgerClosed
from holdfast.ports import (
    AccountQuery,
    ApprovalQuery,
    Attention,
    BurnQuery,
    Fullest,
    FullestQuery,
    HoldQuery,
    SpreadQuery,
    SpreadRow,
    Store,
    WorkflowQuery,
    WorkflowSummary,
)


@dataclass(frozen=True, slots=True)
class Pages:
    """One scope's pages; each method is one query."""

    parts: Parts
    tenant: str

    async def _opened(self) -> Store:
        if self.parts.traffic.is_closing:
            raise LedgerClosed
        await self.parts.store.open()
        return self.parts.store

    def _owner(self, owner: str) -> str:
        return EVERYBODY if owner == EVERYBODY else self.tenant

    @keeping_open
    async def version(self) -> str:
        """Return a word that is another one once anything was written."""
        return await (await self._opened()).views.version(self.tenant)

    @keeping_open
    async def workflows(self, query: WorkflowQuery) -> Sequence[WorkflowSummary]:
        """Return a page of workflows, last touched first."""
        return await (await self._opened()).views.workflows(replace(query, tenant=self.tenant))

    @keeping_open
    async def tally(self, query: WorkflowQuery) -> Mapping[tuple[WorkflowStatus, bool], int]:
        """Count workflows by status, and by whether they are paused."""
        return await (await self._opened()).views.tally(replace(query, tenant=self.tenant))

    @keeping_open
    async def attention(self, limit: int) -> Attention:
        """Return the workflows that need a person, and how many they are."""
        return await (await self._opened()).views.attention(self.tenant, limit)

    @keeping_open
    async def pulse(self, since: datetime, width: timedelta) -> Mapping[tuple[State, int | None], int]:
        """Count effects by state, and by when they were made."""
        return await (await self._opened()).views.pulse(self.tenant, since, width)

    @keeping_open
    async def waiting(self, limit: int) -> Sequence[tuple[str, int]]:
        """Return id and version of what people are asked, what ends first first."""
        return await (await self._opened()).views.waiting(self.tenant, limit)

    @keeping_open
    async def fullest(self, query: FullestQuery) -> Fullest:
        """Return budgets, the fullest first: this tenant's, and those that all share."""
        return await (await self._opened()).views.fullest(replace(query, tenant=self.tenant))

    @keeping_open
    async def levels(self, query: AccountQuery) -> Sequence[Level]:
        """Return budgets of one account, of this tenant or of those that all share."""
        return await (await self._opened()).budgets.levels(replace(query, owner=self._owner(query.owner)))

    @keeping_open
    async def spread(self, query: SpreadQuery) -> Sequence[SpreadRow]:
        """Return what was spent, by each thing that is asked for."""
        return await (await self._opened()).views.spread(replace(query, tenant=self.tenant))

    @keeping_open
    async def burnt(self, query: BurnQuery) -> Sequence[tuple[datetime, int]]:
        """Return when and how much was spent of one budget, of this tenant or of those that all share."""
        return await (await self._opened()).views.burnt(replace(query, owner=self._owner(query.owner)))

    @keeping_open
    async def holds(self, query: HoldQuery) -> Sequence[HoldRecord]:
        """Return what attempts held and spent, newest first."""
        return await (await self._opened()).budgets.holds(replace(query, tenant=self.tenant))

    @keeping_open
    async def questions(self, ids: Sequence[str]) -> list[Approval]:
        """Return these questions, those that there are.

        Raises:
            PayloadSealed: This ledger cannot open one of them.
        """
        query = ApprovalQuery(tenant=self.tenant, ids=tuple(ids), limit=len(ids))
        store = await self._opened()
        return await readable(self.parts, list(await store.approvals.listed(query)))
