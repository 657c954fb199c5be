"""Approvals in SQLite: their rows, and where they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.audit import micros
from holdfast._core.change import MoveApproval
from holdfast._core.model import EffectKey
from holdfast.ports import ApprovalQuery
from holdfast.stores.rows import approval_of, from_micros


class _Read(Protocol):
    async def __call__(self, name: str, parameters: dict[str, Any], /) -> list[tuple[Any, ...]]: ...


class SqliteApprovals:
    """See :class:`holdfast.ports.ApprovalStore`.

    Args:
        read: Runs a named query.
    """

    def __init__(self, read: _Read) -> None:
        self._read = read

    async def find(self, tenant: str, id: str) -> ApprovalRecord | None:  # noqa: A002 - the port's name
        return _first(await self._read("get_approval", {"tenant": tenant, "id": id}))

    async def latest(self, tenant: str, key: EffectKey) -> ApprovalRecord | None:
        return _first(await self._read("get_latest_approval", {"tenant": tenant, "key": key}))

    async def listed(self, query: ApprovalQuery) -> Sequence[ApprovalRecord]:
        after = query.after
        parameters = {
            "tenant": query.tenant,
            "state": query.state,
            "key": query.key,
            "workflow_id": query.workflow_id,
            "ids": None if query.ids is None else json.dumps(query.ids),
            "id_prefix": query.id_prefix,
            "id_end": None if query.id_prefix is None else query.id_prefix + "~",
            "due": _maybe(query.due),
            "has_notices": query.has_notices,
            "since": _maybe(query.since),
            "after_at": None if after is None else micros(after[0]),
            "after_id": None if after is None else after[1],
            "limit": query.limit,
        }
        return [approval_of(row, from_micros) for row in await self._read(listing_of(query), parameters)]

    async def counts(self, tenant: str) -> Mapping[ApprovalState, int]:
        rows = await self._read("count_approvals", {"tenant": tenant})
        return {ApprovalState(state): count for state, count in rows}


def listing_of(query: ApprovalQuery) -> str:
    """Return the name of the statement whose order *query* asks for, and whose index serves it."""
    if query.ids is not None:
        return "list_approvals_by_id"
    if query.stranded:
        return "list_stranded_approvals"
    if query.due is not None:
        return "list_due_approvals"
    return "list_pending_approvals" if query.state is ApprovalState.PENDING else "list_approvals"


def approval_row(approval: ApprovalRecord) -> dict[str, Any]:
    """Return the parameters of ``open_approval``."""
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
        "expires_at": micros(approval.expires_at),
        "due_at": _maybe(approval.due_at),
        "notices": approval.notices,
        "created_at": micros(approval.created_at),
        "updated_at": micros(approval.updated_at),
    }


def move_approval_row(op: MoveApproval, now: datetime) -> dict[str, Any]:
    """Return the parameters of ``move_approval``."""
    moved = {"frm": op.frm, "was": op.digest, "unexpired": op.unexpired, "now": micros(now)}
    return {**approval_row(op.after), **moved}


def _first(rows: Sequence[tuple[Any, ...]]) -> ApprovalRecord | None:
    return approval_of(rows[0], from_micros) if rows else None


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
