"""Where approvals are read. They are written by changes, together with the effects that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.model import EffectKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalQuery:
    """Which approvals to list. ``None`` means any.

    Attributes:
        key: About which effect.
        ids: These, newest first; of the rest of the query only the tenant and the limit count then.
        id_prefix: Start of the id.
        due: What somebody should look at by then (aware), longest due first.
        stranded: Pending questions of workflows that have ended since; of the rest of the query only the
            tenant and the limit count then.
        has_notices: Only those with notices that are still to be sent.
        since: Created at or after (aware).
        after: Only what comes after this place in the order: ``(created_at, id)`` of the last one seen; for
            pending ones ``(expires_at, id)``.
        limit: At most this many.
    """

    tenant: str
    state: ApprovalState | None = None
    key: EffectKey | None = None
    workflow_id: str | None = None
    ids: tuple[str, ...] | None = None
    id_prefix: str | None = None
    due: datetime | None = None
    stranded: bool = False
    has_notices: bool = False
    since: datetime | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 100


class ApprovalStore(Protocol):
    """Reads of approvals."""

    async def find(self, tenant: str, id: str) -> ApprovalRecord | None:  # noqa: A002 - what it is called
        """Return one approval."""
        ...

    async def latest(self, tenant: str, key: EffectKey) -> ApprovalRecord | None:
        """Return the last question that there was about an effect."""
        ...

    async def listed(self, query: ApprovalQuery) -> Sequence[ApprovalRecord]:
        """Return approvals: pending ones by when they expire, soonest first; all others newest first."""
        ...

    async def counts(self, tenant: str) -> Mapping[ApprovalState, int]:
        """Return how many there are in each state that has any."""
        ...
