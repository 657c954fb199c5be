"""Approvals whose every read has a point before and a point after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.model import EffectKey
from holdfast.ports import ApprovalQuery, ApprovalStore
from holdfast.testing.faulty_notes import Around


class FaultyApprovals:
    """See :class:`holdfast.ports.ApprovalStore`."""

    def __init__(self, inner: ApprovalStore, around: Around) -> None:
        self._inner = inner
        self._around = around

    async def find(self, tenant: str, id: str) -> ApprovalRecord | None:  # noqa: A002 - the port's name
        return await self._around("approval", self._inner.find(tenant, id))

    async def latest(self, tenant: str, key: EffectKey) -> ApprovalRecord | None:
        return await self._around("latest_approval", self._inner.latest(tenant, key))

    async def listed(self, query: ApprovalQuery) -> Sequence[ApprovalRecord]:
        return await self._around("approvals", self._inner.listed(query))

    async def counts(self, tenant: str) -> Mapping[ApprovalState, int]:
        return await self._around("approval_counts", self._inner.counts(tenant))
