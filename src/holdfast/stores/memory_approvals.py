"""Approvals in memory: what their ops mean."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.change import ApprovalOp, OpenApproval
from holdfast._core.model import EffectKey
from holdfast.errors import StoreInvariant
from holdfast.ports import ApprovalQuery

_OPEN = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})


class MemoryApprovals:
    """See :class:`holdfast.ports.ApprovalStore`.

    Args:
        lock: Of the whole store.
        ended_at: When a workflow has ended; ``None``: it has not, or is not known. The lock is held.
    """

    def __init__(self, lock: threading.Lock, ended_at: Callable[[str, str], datetime | None]) -> None:
        self._lock = lock
        self._ended_at = ended_at
        self._known: dict[tuple[str, str], ApprovalRecord] = {}

    def all(self) -> tuple[ApprovalRecord, ...]:
        """Return the approvals of all tenants; the caller holds the lock."""
        return tuple(self._known.values())

    def apply(self, op: ApprovalOp, now: datetime, undo: list[Callable[[], object]]) -> bool:
        """Apply *op*; the caller holds the lock."""
        if isinstance(op, OpenApproval):
            return self._opened(op.approval, undo)
        place = op.after.tenant, op.after.id
        known = self._known.get(place)
        if known is None or (known.state, known.digest) != (op.frm, op.digest):
            return False
        if known.version != op.after.version - 1 or (op.unexpired and known.expires_at <= now):
            return False
        self._known[place] = op.after
        undo.append(lambda: self._known.update({place: known}))
        return True

    def _opened(self, approval: ApprovalRecord, undo: list[Callable[[], object]]) -> bool:
        place = approval.tenant, approval.id
        of_effect = [known for known in self._known.values() if _is_about(known, approval)]
        is_asked = approval.state in _OPEN and any(known.state in _OPEN for known in of_effect)
        if place in self._known or is_asked or any(known.number == approval.number for known in of_effect):
            raise StoreInvariant("ask about an effect", "it is asked about already", approval.key)
        self._known[place] = approval
        undo.append(lambda: self._known.pop(place))
        return True

    async def find(self, tenant: str, id: str) -> ApprovalRecord | None:  # noqa: A002 - the port's name
        with self._lock:
            return self._known.get((tenant, id))

    async def latest(self, tenant: str, key: EffectKey) -> ApprovalRecord | None:
        with self._lock:
            known = [one for one in self._known.values() if (one.tenant, one.key) == (tenant, key)]
        return max(known, key=lambda one: one.number, default=None)

    async def listed(self, query: ApprovalQuery) -> Sequence[ApprovalRecord]:
        with self._lock:
            if query.ids is not None:
                known = [one for one in self._known.values() if one.tenant == query.tenant]
                found = [one for one in known if one.id in query.ids]
                return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[: query.limit]
            if query.stranded:
                stranded = [one for one in self._known.values() if self._is_stranded(query.tenant, one)]
                return sorted(stranded, key=lambda one: (one.expires_at, one.id))[: query.limit]
            found = [one for one in self._known.values() if _matches(query, one)]
        if query.due is not None:
            return sorted(found, key=lambda one: (one.due_at or query.due, one.id))[: query.limit]
        if query.state is ApprovalState.PENDING:
            found.sort(key=lambda one: (one.expires_at, one.id))
            if query.after is not None:
                found = [one for one in found if (one.expires_at, one.id) > query.after]
        else:
            found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
            if query.after is not None:
                found = [one for one in found if (one.created_at, one.id) < query.after]
        return found[: query.limit]

    def _is_stranded(self, tenant: str, one: ApprovalRecord) -> bool:
        if (one.tenant, one.state) != (tenant, ApprovalState.PENDING):
            return False
        ended_at = self._ended_at(tenant, one.workflow_id)
        return ended_at is not None and ended_at >= one.created_at

    async def counts(self, tenant: str) -> Mapping[ApprovalState, int]:
        with self._lock:
            return Counter(one.state for one in self._known.values() if one.tenant == tenant)

    def reap(self, tenant: str, before: datetime, limit: int, stays: Callable[[EffectKey], bool]) -> int:
        """Delete what is old and about effects that are gone; the caller holds the lock."""
        old = [
            place
            for place, one in self._known.items()
            if one.tenant == tenant and one.updated_at < before and not stays(one.key)
        ]
        for place in old[:limit]:
            del self._known[place]
        return len(old[:limit])


def _is_about(one: ApprovalRecord, other: ApprovalRecord) -> bool:
    return (one.tenant, one.key) == (other.tenant, other.key)


def _matches(query: ApprovalQuery, one: ApprovalRecord) -> bool:
    return (
        one.tenant == query.tenant
        and query.state in {None, one.state}
        and query.key in {None, one.key}
        and query.workflow_id in {None, one.workflow_id}
        and (query.id_prefix is None or one.id.startswith(query.id_prefix))
        and (query.due is None or (one.due_at is not None and one.due_at <= query.due))
        and (not query.has_notices or one.notices > 0)
        and (query.since is None or one.created_at >= query.since)
    )
