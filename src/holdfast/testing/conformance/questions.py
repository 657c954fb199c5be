"""Approvals to try a store with: rows as the library writes them, and changes that carry them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.change import Change, Committed, Head, MoveApproval, OpenApproval
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import Event
from holdfast.ports import ApprovalQuery
from holdfast.testing.conformance.subject import TENANT, Subject, new_effect, stamp
from holdfast.testing.runtime import FakeClock

HOUR_S = 3600.0
HOUR = timedelta(seconds=HOUR_S)


def digest(text: str) -> str:
    """Return what stands for the fingerprint of a question."""
    return hashlib.sha256(text.encode()).hexdigest()


def approval_id(n: int, number: int = 1) -> str:
    """Return the id of a question about the n-th effect."""
    return digest(f"approval {n} {number}")[:32]


def approval(clock: FakeClock, n: int = 0, *, number: int = 1, **columns: Any) -> ApprovalRecord:
    """Return a question about the n-th effect, as it is on record for the first time."""
    effect, now = new_effect(n, tenant=columns.get("tenant", TENANT)), clock()
    row = ApprovalRecord(
        tenant=effect.tenant,
        id=approval_id(n, number),
        key=effect.key,
        workflow_id=effect.workflow_id,
        tool=effect.tool,
        number=number,
        state=ApprovalState.PENDING,
        version=1,
        digest=digest(f"binding {n} {number}"),
        binding='{"args":"{}"}',
        body='{"reason":"ü \\u0000"}',
        expires_at=now + HOUR,
        due_at=now + HOUR,
        notices=1,
        created_at=now,
        updated_at=now,
    )
    return replace(row, **columns)


def move(
    before: ApprovalRecord, clock: FakeClock, *, unexpired: bool = False, wakes: bool = False, **columns: Any
) -> MoveApproval:
    """Return the op that writes *before* anew, with other *columns*."""
    changed: dict[str, Any] = {"version": before.version + 1, "updated_at": clock(), **columns}
    after = replace(before, **changed)
    return MoveApproval(after=after, frm=before.state, digest=before.digest, unexpired=unexpired, wakes=wakes)


class Inbox:
    """The store under test, driven by changes that carry approvals."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.clock = subject.clock

    def asked(self, n: int = 0, **columns: Any) -> tuple[Head, ApprovalRecord]:
        """Put the n-th effect on record with a question about it."""
        row = approval(self.clock, n, **columns)
        effect = new_effect(n, tenant=row.tenant)
        change, head = plan_insert(effect, Event.ASK, stamp(self.clock))
        change = along_with(change, [OpenApproval(approval=row)])
        assert self.subject.commit(change) == Committed(self.clock())
        return head, row

    def plan(
        self, head: Head, *ops: MoveApproval | OpenApproval, event: Event = Event.NOTE, **options: Any
    ) -> tuple[Change, Head]:
        """Plan a move of an effect, along with *ops*."""
        change, after = plan_move(head, event, stamp(self.clock), **options)
        return along_with(change, ops), after

    def moved(
        self, head: Head, *ops: MoveApproval | OpenApproval, event: Event = Event.NOTE, **options: Any
    ) -> Head:
        """Move an effect along with *ops*; return where it stands then."""
        change, after = self.plan(head, *ops, event=event, **options)
        assert self.subject.commit(change) == Committed(self.clock())
        return after

    def row(self, n: int = 0, number: int = 1, tenant: str = TENANT) -> ApprovalRecord:
        """Return a question about the n-th effect, which must be there."""
        found = self.subject.run(self.subject.store.approvals.find(tenant, approval_id(n, number)))
        assert found is not None
        return found

    def listed(self, **query: Any) -> list[ApprovalRecord]:
        """Return what a query finds."""
        known: dict[str, Any] = {"tenant": TENANT, **query}
        return list(self.subject.run(self.subject.store.approvals.listed(ApprovalQuery(**known))))

    def pages(self, size: int, **query: Any) -> list[str]:
        """Return the ids that a listing has, page by page."""
        found: list[str] = []
        after: tuple[datetime, str] | None = None
        while page := self.listed(limit=size, after=after, **query):
            assert len(page) <= size
            found += [row.id for row in page]
            last = page[-1]
            is_inbox = query.get("state") is ApprovalState.PENDING
            after = (last.expires_at if is_inbox else last.created_at), last.id
        return found
