"""Approvals in PostgreSQL: what is sent of them, and where they are read. Both stores use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.change import ApprovalOp, MoveEffect, OpenApproval
from holdfast._core.model import EffectKey
from holdfast.ports import ApprovalQuery
from holdfast.stores.postgres.notes import Rows
from holdfast.stores.rows import approval_of, in_utc


class PostgresApprovals:
    """See :class:`holdfast.ports.ApprovalStore`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def find(self, tenant: str, id: str) -> ApprovalRecord | None:  # noqa: A002 - the port's name
        return _first(await self._rows("get_approval", {"tenant": tenant, "id": id}))

    async def latest(self, tenant: str, key: EffectKey) -> ApprovalRecord | None:
        return _first(await self._rows("get_latest_approval", {"tenant": tenant, "key": key}))

    async def listed(self, query: ApprovalQuery) -> Sequence[ApprovalRecord]:
        after_at, after_id = (None, None) if query.after is None else query.after
        values = {
            "tenant": query.tenant,
            "state": query.state,
            "key": query.key,
            "workflow_id": query.workflow_id,
            "ids": None if query.ids is None else list(query.ids),
            "id_prefix": query.id_prefix,
            "due": query.due,
            "has_notices": query.has_notices,
            "since": query.since,
            "after_at": after_at,
            "after_id": after_id,
            "limit": query.limit,
        }
        name = "list_pending_approvals" if query.state is ApprovalState.PENDING else "list_approvals"
        if query.due is not None:
            name = "list_due_approvals"
        if query.stranded:
            name = "list_stranded_approvals"
        if query.ids is not None:
            name = "list_approvals_by_id"
        return [approval_of(row, in_utc) for row in await self._rows(name, values)]

    async def counts(self, tenant: str) -> Mapping[ApprovalState, int]:
        rows = await self._rows("count_approvals", {"tenant": tenant})
        return {ApprovalState(row[0]): row[1] for row in rows}

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete what is old and about effects that are gone."""
        return len(await self._rows("reap_approvals", {"tenant": tenant, "before": before, "limit": limit}))


def writes_of(ops: Sequence[ApprovalOp], effect: MoveEffect | None) -> bytes:
    """Return what becomes of approvals, and of the arguments of *effect*, as its function reads it."""
    writes = [_write(op) for op in ops]
    if effect is not None and effect.args is not None:
        writes.append({"op": "args", "tenant": effect.tenant, "key": effect.key, "args": effect.args})
    return json.dumps(writes, ensure_ascii=False).encode()


def _write(op: ApprovalOp) -> dict[str, Any]:
    if isinstance(op, OpenApproval):
        return {"op": "open", **_row(op.approval)}
    return {"op": "move", "frm": op.frm, "was": op.digest, "unexpired": op.unexpired, **_row(op.after)}


def _row(approval: ApprovalRecord) -> dict[str, Any]:
    return {
        "tenant": approval.tenant,
        "id": approval.id,
        "key": approval.key,
        "workflow_id": approval.workflow_id,
        "tool": approval.tool,
        "number": approval.number,
        "state": approval.state,
        "version": approval.version,
        "digest": approval.digest,
        "binding": approval.binding,
        "body": approval.body,
        "expires_at": approval.expires_at.isoformat(),
        "due_at": None if approval.due_at is None else approval.due_at.isoformat(),
        "notices": approval.notices,
        "created_at": approval.created_at.isoformat(),
        "updated_at": approval.updated_at.isoformat(),
    }


def _first(rows: Sequence[Sequence[Any]]) -> ApprovalRecord | None:
    return approval_of(rows[0], in_utc) if rows else None
