"""The part of the store contract that is about approvals: guarded together with their effects (I3, I4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.change import Committed, Conflict, OpenApproval
from holdfast._core.plan import along_with, plan_insert
from holdfast._core.states import Event, State, WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.testing.conformance.flows import Flow, begin
from holdfast.testing.conformance.questions import HOUR, HOUR_S, Inbox, approval, approval_id, digest, move
from holdfast.testing.conformance.subject import (
    LEASE_S,
    TENANT,
    Subject,
    key_of,
    new_effect,
    stamp,
)

MICRO_S: Final = 0.000001
CLAIM: Final[dict[str, Any]] = {"owner": "a", "lease_s": LEASE_S}
FORGED: Final[dict[str, dict[str, Any]]] = {
    "state": {"frm": ApprovalState.APPROVED},
    "digest": {"digest": digest("another")},
    "id": {"id": "f" * 32},
    "version": {"version": 3},
    "same version": {"version": 1},
}


class ApprovalContract:
    """What :class:`holdfast.ports.Store` promises of approvals, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.fixture
    def inbox(self, subject: Subject) -> Inbox:
        """Return the store, driven by changes that carry approvals."""
        subject.clock.advance(1.234567)
        return Inbox(subject)

    def test_a_question_is_found_with_every_column(self, inbox: Inbox) -> None:
        _, row = inbox.asked(0, due_at=None, notices=3)
        store = inbox.subject.store

        assert inbox.row() == row
        assert inbox.subject.run(store.approvals.latest(TENANT, key_of(0))) == row
        assert inbox.subject.find().state is State.WAITING
        assert inbox.subject.run(store.approvals.find(TENANT, "0" * 32)) is None
        assert inbox.subject.run(store.approvals.find("tenant-2", row.id)) is None
        assert inbox.subject.run(store.approvals.latest("tenant-2", key_of(0))) is None
        assert inbox.subject.run(store.approvals.latest(TENANT, key_of(9))) is None

    def test_a_question_is_written_anew_wholly(self, inbox: Inbox) -> None:
        head, row = inbox.asked()
        inbox.clock.advance(4)
        op = move(
            row,
            inbox.clock,
            state=ApprovalState.APPROVED,
            digest=digest("edited"),
            binding='{"args":"[]"}',
            body="{}",
            expires_at=inbox.clock() + 2 * HOUR,
            due_at=None,
            notices=0,
        )

        inbox.moved(head, op)

        assert inbox.row() == op.after
        assert op.after.created_at == row.created_at < op.after.updated_at

    @pytest.mark.parametrize("forged", FORGED)
    def test_a_stale_write_changes_neither_the_question_nor_its_effect(
        self, inbox: Inbox, forged: str
    ) -> None:
        """I3, I4: state, version and fingerprint must be what the writer saw."""
        head, row = inbox.asked()
        before = inbox.subject.contents()
        op = move(row, inbox.clock, state=ApprovalState.APPROVED)
        fields = dict(FORGED[forged])
        columns = {name: fields.pop(name) for name in ("id", "version") if name in fields}
        op = replace(op, after=replace(op.after, **columns), **fields)
        change, _ = inbox.plan(head, op, event=Event.CLAIM, **CLAIM)

        answer = inbox.subject.commit(change)

        assert answer == Conflict(change.ops[0], inbox.subject.find(), inbox.clock())
        assert inbox.subject.contents() == before

    def test_a_stale_move_of_the_effect_leaves_the_question_as_it_is(self, inbox: Inbox) -> None:
        """I3: both or neither, whichever guard it is that does not hold."""
        stale, row = inbox.asked()
        inbox.moved(stale)
        before = inbox.subject.contents()
        used = move(row, inbox.clock, state=ApprovalState.APPROVED)
        change, _ = inbox.plan(stale, used, event=Event.CLAIM, **CLAIM)

        answer = inbox.subject.commit(change)

        assert answer == Conflict(change.ops[0], inbox.subject.find(), inbox.clock())
        assert inbox.subject.contents() == before

    @pytest.mark.parametrize(("waited_s", "used"), [(HOUR_S - MICRO_S, 1), (HOUR_S, 0)])
    def test_what_must_be_good_is_good_by_the_stores_clock(
        self, inbox: Inbox, waited_s: float, used: int
    ) -> None:
        """I4: an approval that has run out claims nothing, to the microsecond."""
        head, row = inbox.asked()
        approved = move(row, inbox.clock, state=ApprovalState.APPROVED)
        head = inbox.moved(head, approved)
        op = move(approved.after, inbox.clock, state=ApprovalState.CONSUMED, unexpired=True)
        inbox.clock.advance(waited_s)
        change, _ = inbox.plan(head, op, event=Event.CLAIM, **CLAIM)
        before = inbox.subject.contents()

        answer = inbox.subject.commit(change)

        assert isinstance(answer, Committed) == bool(used)
        assert (inbox.subject.contents() != before) == bool(used)
        assert inbox.subject.find().state is (State.PENDING if used else State.WAITING)

    def test_what_need_not_be_good_may_have_run_out(self, inbox: Inbox) -> None:
        head, row = inbox.asked()
        inbox.clock.advance(2 * HOUR_S)

        inbox.moved(head, move(row, inbox.clock, state=ApprovalState.EXPIRED), event=Event.DENY)

        assert inbox.row().state is ApprovalState.EXPIRED

    def test_of_many_that_use_an_approval_exactly_one_does(self, inbox: Inbox) -> None:
        """I4: it is used once, whoever comes."""
        head, row = inbox.asked()
        approved = move(row, inbox.clock, state=ApprovalState.APPROVED)
        head = inbox.moved(head, approved)
        used = move(approved.after, inbox.clock, state=ApprovalState.CONSUMED, unexpired=True)
        changes = [
            inbox.plan(head, used, event=Event.CLAIM, owner=f"o-{n}", lease_s=LEASE_S)[0] for n in range(16)
        ]

        answers = inbox.subject.together(changes)

        won = [n for n, answer in enumerate(answers) if isinstance(answer, Committed)]
        assert [f"o-{n}" for n in won] == [inbox.subject.find().owner]
        lost = [answer for answer in answers if isinstance(answer, Conflict)]
        assert [answer.found for answer in lost] == [inbox.subject.find()] * 15
        assert inbox.row() == used.after

    def test_of_a_yes_and_a_no_at_once_one_counts(self, inbox: Inbox) -> None:
        head, row = inbox.asked()
        yes, _ = inbox.plan(head, move(row, inbox.clock, state=ApprovalState.APPROVED))
        no, _ = inbox.plan(head, move(row, inbox.clock, state=ApprovalState.DENIED), event=Event.DENY)

        answers = inbox.subject.together([yes, no])

        assert sorted(type(answer).__name__ for answer in answers) == ["Committed", "Conflict"]
        is_yes = isinstance(answers[0], Committed)
        assert inbox.row().state is (ApprovalState.APPROVED if is_yes else ApprovalState.DENIED)
        assert inbox.subject.find().state is (State.WAITING if is_yes else State.DENIED)
        assert len(inbox.subject.trail()) == 2

    def test_there_is_one_open_question_about_an_effect(self, inbox: Inbox) -> None:
        head, _ = inbox.asked()
        before = inbox.subject.contents()
        second = OpenApproval(approval=approval(inbox.clock, 0, number=2))

        with pytest.raises(StoreInvariant):
            inbox.subject.commit(inbox.plan(head, second)[0])

        assert inbox.subject.contents() == before

    @pytest.mark.parametrize("twice", ["id", "number"])
    def test_no_two_questions_have_one_name(self, inbox: Inbox, twice: str) -> None:
        head, row = inbox.asked()
        head = inbox.moved(head, move(row, inbox.clock, state=ApprovalState.WITHDRAWN))
        before = inbox.subject.contents()
        second = approval(inbox.clock, 0, number=2)
        second = replace(second, id=row.id) if twice == "id" else replace(second, number=1)

        with pytest.raises(StoreInvariant):
            inbox.subject.commit(inbox.plan(head, OpenApproval(approval=second))[0])

        assert inbox.subject.contents() == before

    def test_a_question_takes_the_place_of_another_in_one_change(self, inbox: Inbox) -> None:
        head, row = inbox.asked()
        second = approval(inbox.clock, 0, number=2)
        closed = move(row, inbox.clock, state=ApprovalState.WITHDRAWN)

        inbox.moved(head, closed, OpenApproval(approval=second))

        assert (inbox.row(), inbox.row(0, 2)) == (closed.after, second)
        latest = inbox.subject.run(inbox.subject.store.approvals.latest(TENANT, key_of(0)))
        assert latest == second

    def test_a_refused_question_takes_a_new_effect_with_it(self, inbox: Inbox) -> None:
        """I3: no effect that waits for people whom nobody asks."""
        _, row = inbox.asked(1)
        before = inbox.subject.contents()
        change, _ = plan_insert(new_effect(0), Event.ASK, stamp(inbox.clock))
        twice = OpenApproval(approval=replace(approval(inbox.clock, 0), id=row.id))

        with pytest.raises(StoreInvariant):
            inbox.subject.commit(along_with(change, [twice]))

        assert inbox.subject.contents() == before

    def test_a_question_about_a_known_effect_is_not_asked(self, inbox: Inbox) -> None:
        inbox.subject.insert(0)
        before = inbox.subject.contents()
        change, _ = plan_insert(new_effect(0), Event.ASK, stamp(inbox.clock))

        answer = inbox.subject.commit(along_with(change, [OpenApproval(approval=approval(inbox.clock))]))

        assert answer == Conflict(change.ops[0], inbox.subject.find(), inbox.clock())
        assert inbox.subject.contents() == before

    def test_other_arguments_are_put_in_place_with_the_claim(self, inbox: Inbox) -> None:
        """HIT-09: what is executed is what people approved."""
        head, row = inbox.asked()
        approved = move(row, inbox.clock, state=ApprovalState.APPROVED)
        head = inbox.moved(head, approved)
        used = move(approved.after, inbox.clock, state=ApprovalState.CONSUMED)

        inbox.moved(head, used, event=Event.CLAIM, args='{"amount":50}', **CLAIM)

        assert inbox.subject.find().args == '{"amount":50}'
        assert inbox.subject.find().fingerprint == new_effect(0).fingerprint

    @pytest.mark.parametrize("news", [1, 0])
    def test_the_workflow_hears_of_what_it_waits_for(self, inbox: Inbox, flow: Flow, news: int) -> None:
        """HIT-08: who has gone to sleep over a question is woken by its end, and by nothing else."""
        head, row = inbox.asked()
        name = row.workflow_id
        flow.in_status(WorkflowStatus.WAITING, name)
        before = flow.journal(name).execution
        inbox.clock.advance(2)
        op = move(row, inbox.clock, state=ApprovalState.APPROVED, wakes=bool(news))

        inbox.moved(head, op)

        after = flow.journal(name).execution
        if news:
            assert (after.news, after.wake_at) == (before.news + 1, inbox.clock())
        else:
            assert after == before

    def test_no_workflow_need_be_there_to_hear(self, inbox: Inbox, flow: Flow) -> None:
        head, row = inbox.asked()
        other = flow.advance(begin(flow.clock, "another"))

        inbox.moved(head, move(row, inbox.clock, state=ApprovalState.DENIED, wakes=True), event=Event.DENY)

        assert flow.journal("another").execution == other

    def test_questions_go_when_their_effects_have_gone(self, inbox: Inbox) -> None:
        """IDE-20: and not before, nor those of other tenants."""
        store, subject = inbox.subject.store, inbox.subject
        inbox.asked(0)
        inbox.asked(2, tenant="tenant-2")
        head, row = inbox.asked(1)
        inbox.moved(head, move(row, inbox.clock, state=ApprovalState.DENIED), event=Event.DENY)
        inbox.clock.advance(1)
        subject.bystander()

        assert subject.run(store.reap_rest(TENANT, inbox.clock(), 100)) == 0
        assert subject.run(store.reap(TENANT, inbox.clock(), 100)) == 1
        _reap_all(inbox)

        assert [row.id for row in inbox.listed()] == [approval_id(0)]
        assert len(inbox.listed(tenant="tenant-2")) == 1

    def test_a_question_of_another_tenant_cannot_be_moved(self, inbox: Inbox) -> None:
        """IDE-11."""
        head, _ = inbox.asked(0)
        _, theirs = inbox.asked(0, tenant="tenant-2", id="e" * 32)
        before = inbox.listed(tenant="tenant-2")
        mine: ApprovalRecord = replace(theirs, tenant=TENANT)

        change, _ = inbox.plan(head, move(mine, inbox.clock, state=ApprovalState.APPROVED))

        assert isinstance(inbox.subject.commit(change), Conflict)
        assert inbox.listed(tenant="tenant-2") == before


def _reap_all(inbox: Inbox) -> None:
    store = inbox.subject.store
    while inbox.subject.run(store.reap_rest(TENANT, inbox.clock(), 100)):
        pass
