"""The part of the store contract that is about listings of approvals: which, in which order, how many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import Leave
from holdfast._core.approval import ApprovalState
from holdfast._core.states import Event, WorkflowStatus
from holdfast.testing.conformance.flows import Flow, begin, progress
from holdfast.testing.conformance.questions import HOUR, Inbox, approval_id, move
from holdfast.testing.conformance.subject import TENANT, WORKFLOWS, Subject, key_of

MICRO_S: Final = 0.000001
CANCELLED: Final = WorkflowStatus.CANCELLED


class InboxContract:
    """What :class:`holdfast.ports.ApprovalStore` promises of listings, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.fixture
    def inbox(self, subject: Subject) -> Inbox:
        """Return the store, driven by changes that carry approvals."""
        subject.clock.advance(1.234567)
        return Inbox(subject)

    def test_the_inbox_has_what_expires_first_first(self, inbox: Inbox) -> None:
        hours = {0: 3, 1: 1, 2: 2, 3: 1}
        for n, wait in hours.items():
            inbox.asked(n, expires_at=inbox.clock() + wait * HOUR)
            inbox.clock.advance(1)
        head, row = inbox.asked(4)
        inbox.moved(head, move(row, inbox.clock, state=ApprovalState.DENIED), event=Event.DENY)
        rows = [inbox.row(n) for n in hours]
        wanted = [row.id for row in sorted(rows, key=lambda row: (row.expires_at, row.id))]

        assert [row.id for row in inbox.listed(state=ApprovalState.PENDING)] == wanted
        assert inbox.pages(1, state=ApprovalState.PENDING) == wanted
        assert inbox.pages(3, state=ApprovalState.PENDING) == wanted

    def test_everything_else_is_listed_newest_first(self, inbox: Inbox) -> None:
        for n in range(6):
            inbox.asked(n)
            inbox.clock.advance(n % 2)
        rows = [inbox.row(n) for n in range(6)]
        wanted = [row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)]

        assert [row.id for row in inbox.listed()] == wanted
        assert inbox.pages(2) == wanted
        assert inbox.pages(4) == wanted

    def test_listings_choose_by_every_filter(self, inbox: Inbox) -> None:
        inbox.asked(0)
        inbox.clock.advance(1)
        later = inbox.clock()
        head, row = inbox.asked(1)
        approved = move(row, inbox.clock, state=ApprovalState.APPROVED, notices=0)
        inbox.moved(head, approved)
        inbox.asked(2, notices=0, tenant="tenant-2")

        def found(**query: Any) -> list[int]:
            return sorted(n for n in range(3) for row in inbox.listed(**query) if row.key == key_of(n))

        assert found() == [0, 1]
        assert found(tenant="tenant-2") == [2]
        assert found(state=ApprovalState.PENDING) == found(workflow_id=WORKFLOWS[0]) == [0]
        assert found(state=ApprovalState.APPROVED) == found(key=key_of(1)) == found(since=later) == [1]
        assert found(has_notices=True) == found(has_notices=True, state=ApprovalState.PENDING) == [0]
        assert found(id_prefix=approval_id(1)[:5]) == [1]
        assert found(id_prefix=approval_id(0)[:5], state=ApprovalState.PENDING) == [0]
        assert found(state=ApprovalState.PENDING, since=later) == []
        assert found(state=ApprovalState.PENDING, key=key_of(1)) == found(id_prefix="nothing") == []

    def test_questions_that_are_due_are_listed_longest_due_first(self, inbox: Inbox) -> None:
        due = {0: 300, 1: 100, 2: 200, 3: None, 4: 400}
        start = inbox.clock()
        for n, at in due.items():
            inbox.asked(n, due_at=None if at is None else start + timedelta(seconds=at))

        def found(seconds: float, **query: Any) -> list[str]:
            return [row.id for row in inbox.listed(due=start + timedelta(seconds=seconds), **query)]

        assert found(300) == [approval_id(n) for n in (1, 2, 0)]
        assert found(300 - MICRO_S) == [approval_id(n) for n in (1, 2)]
        assert found(300, limit=1) == [approval_id(1)]
        assert found(300, state=ApprovalState.PENDING, key=key_of(2)) == [approval_id(2)]
        assert found(300, state=ApprovalState.APPROVED) == []
        assert found(1) == []

    def test_counts_tell_how_many_questions_are_in_each_state(self, inbox: Inbox) -> None:
        store = inbox.subject.store
        for n in range(3):
            inbox.asked(n)
        head, row = inbox.asked(3)
        inbox.moved(head, move(row, inbox.clock, state=ApprovalState.DENIED), event=Event.DENY)
        inbox.asked(4, tenant="tenant-2")

        counted = dict(inbox.subject.run(store.approvals.counts(TENANT)))

        assert counted == {ApprovalState.PENDING: 3, ApprovalState.DENIED: 1}
        assert dict(inbox.subject.run(store.approvals.counts("tenant-3"))) == {}

    def test_questions_of_workflows_that_have_ended_since_are_stranded(
        self, inbox: Inbox, flow: Flow
    ) -> None:
        """HIT-08: not what is answered, what was asked after the end, or what nobody's workflow asks."""
        asked_by = {0: "over", 1: "over", 2: "goes on", 3: "unknown"}
        over = {name: flow.advance(begin(flow.clock, name)) for name in ("over", "goes on")}
        for n, name in asked_by.items():
            head, row = inbox.asked(n, workflow_id=name, expires_at=inbox.clock() + (5 - n) * HOUR)
            if n == 1:
                inbox.moved(head, move(row, inbox.clock, state=ApprovalState.APPROVED))
        inbox.asked(4, workflow_id="over", tenant="tenant-2")
        assert inbox.listed(stranded=True) == []

        inbox.clock.advance(MICRO_S)
        inbox.asked(5, workflow_id="over", expires_at=inbox.clock() + HOUR)
        flow.advance(
            progress(flow.clock, workflow_id="over", epoch=over["over"].epoch, leave=Leave(to=CANCELLED))
        )
        inbox.clock.advance(MICRO_S)
        inbox.asked(6, workflow_id="over")

        assert [row.id for row in inbox.listed(stranded=True)] == [approval_id(5), approval_id(0)]
        assert [row.id for row in inbox.listed(stranded=True, limit=1)] == [approval_id(5)]
        assert inbox.listed(stranded=True, tenant="tenant-2") == []
