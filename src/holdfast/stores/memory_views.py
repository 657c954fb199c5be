"""What people's pages read of a store in memory: what every store has to tell, in the fewest words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.execution import ExecutionRecord, Pause
from holdfast._core.model import Record
from holdfast._core.states import State, WorkflowStatus
from holdfast.ports import Attention, WorkflowQuery, WorkflowRecord, WorkflowSummary
from holdfast.stores.memory_spending import MemorySpending, Purses


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds at one moment, of all tenants.

    Attributes:
        version: How often it was written to.
    """

    version: int
    effects: Sequence[Record]
    workflows: Sequence[WorkflowRecord]
    executions: Sequence[ExecutionRecord]
    approvals: Sequence[ApprovalRecord]


class MemoryViews(MemorySpending):
    """See :class:`holdfast.ports.ViewStore`.

    Args:
        contents: Looks at the whole store.
        purses: Looks at all that is held and spent.
    """

    def __init__(self, contents: Callable[[], Contents], purses: Callable[[], Purses]) -> None:
        super().__init__(purses)
        self._contents = contents

    async def version(self, tenant: str) -> str:
        del tenant
        return str(self._contents().version)

    async def workflows(self, query: WorkflowQuery) -> Sequence[WorkflowSummary]:
        rows = [row for row in self._found(query) if query.after is None or _place(row) < query.after]
        return sorted(rows, key=_place, reverse=True)[: query.limit]

    async def tally(self, query: WorkflowQuery) -> Mapping[tuple[WorkflowStatus, bool], int]:
        return Counter((row.status, row.pause is not Pause.NO) for row in self._found(query))

    async def attention(self, tenant: str, limit: int) -> Attention:
        rows = self._found(WorkflowQuery(tenant=tenant))
        in_review = [row for row in rows if row.status is WorkflowStatus.NEEDS_REVIEW]
        paused = [row for row in rows if row.pause is not Pause.NO]
        wanted = [row for row in rows if row in in_review or row in paused]
        found = tuple(sorted(wanted, key=_place, reverse=True)[:limit])
        ends = [one.expires_at for one in self._pending(tenant)]
        next_end = min(ends, default=None)
        return Attention(rows=found, in_review=len(in_review), paused=len(paused), next_end=next_end)

    async def pulse(
        self, tenant: str, since: datetime, width: timedelta
    ) -> Mapping[tuple[State, int | None], int]:
        return Counter(
            (one.state, None if one.created_at < since else (one.created_at - since) // width)
            for one in self._contents().effects
            if one.tenant == tenant
        )

    async def waiting(self, tenant: str, limit: int) -> Sequence[tuple[str, int]]:
        pending = sorted(self._pending(tenant), key=lambda one: (one.expires_at, one.id))
        return [(one.id, one.version) for one in pending[:limit]]

    def _pending(self, tenant: str) -> list[ApprovalRecord]:
        wanted = tenant, ApprovalState.PENDING
        return [one for one in self._contents().approvals if (one.tenant, one.state) == wanted]

    def _found(self, query: WorkflowQuery) -> list[WorkflowSummary]:
        held = self._contents()
        records = {one.workflow_id: one for one in held.workflows if one.tenant == query.tenant}
        executions = {one.workflow_id: one for one in held.executions if one.tenant == query.tenant}
        using = {
            one.workflow_id for one in held.effects if (one.tenant, one.tool) == (query.tenant, query.tool)
        }
        return [
            row
            for name in executions.keys() | records.keys()
            for row in (_summary(name, executions.get(name), records.get(name)),)
            if _fits(row, executions.get(name), query) and (query.tool is None or name in using)
        ]


def _place(row: WorkflowSummary) -> tuple[datetime, str]:
    return row.updated_at, row.workflow_id


def _fits(row: WorkflowSummary, code: ExecutionRecord | None, query: WorkflowQuery) -> bool:
    return (
        query.status in {None, row.status}
        and query.function in {None, row.function}
        and query.actor in {None, row.actor}
        and (query.queue is None or (code is not None and code.queue == query.queue))
        and (query.parent is None or (code is not None and code.parent == query.parent))
        and (not query.is_paused or row.pause is not Pause.NO)
        and (query.since is None or row.updated_at >= query.since)
        and all(word in row.workflow_id or word in row.function for word in query.words)
    )


def _summary(name: str, code: ExecutionRecord | None, known: WorkflowRecord | None) -> WorkflowSummary:
    is_in_review = known is not None and known.status is WorkflowStatus.NEEDS_REVIEW
    status = known.status if known and (code is None or is_in_review) else None
    return WorkflowSummary(
        workflow_id=name,
        status=status or (WorkflowStatus.RUNNING if code is None else code.status),
        pause=Pause.NO if code is None else code.pause,
        pause_reason="" if code is None else code.pause_reason,
        waits_for="" if code is None else code.waits_for,
        open_reviews=0 if known is None else known.open_reviews,
        stopped=None if known is None else known.stopped,
        function="" if code is None else code.function,
        version="" if code is None else code.version,
        actor="" if code is None else code.actor,
        queue="" if code is None else code.queue,
        is_code=code is not None,
        created_at=None if code is None else code.created_at,
        updated_at=max(_touched((code, known))),
    )


def _touched(ones: Iterable[ExecutionRecord | WorkflowRecord | None]) -> list[datetime]:
    return [one.updated_at for one in ones if one is not None]
