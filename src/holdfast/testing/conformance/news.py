"""The part of the store contract that is about what executions wait for: signals, children, ends of doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import Advanced, Leave, Steering
from holdfast._core.change import Change, Conflict, PlainOutcome, WorkflowStop
from holdfast._core.execution import ENDED, IDLE, Message
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.testing.conformance.flows import FLOW, Flow, begin, progress, send, steer, step, take
from holdfast.testing.conformance.subject import LEASE_S, WORKFLOWS, entry_of, move_of, stamp, with_entry

LEASE: Final = timedelta(seconds=LEASE_S)
WAITING: Final = WorkflowStatus.WAITING
OPEN: Final = [WorkflowStatus.RUNNING, *sorted(IDLE)]


class NewsContract:
    """What :class:`holdfast.ports.Store` promises of those who wait, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    def test_nobody_leaves_while_there_are_signals_that_it_does_not_know_of(self, flow: Flow) -> None:
        """No wake-up is lost between a worker's last look and its leaving."""
        flow.advance(begin(flow.clock))
        flow.advance(send(flow.clock))
        kept = step(flow.clock, 1)

        assert flow.refuses(progress(flow.clock, kept, leave=Leave(to=WAITING, seen=0)))
        assert flow.refuses(progress(flow.clock, kept, leave=Leave(to=WAITING, seen=2)))
        assert flow.advance(progress(flow.clock, leave=Leave(to=WAITING, seen=1))).status is WAITING
        flow.advance(take(flow.clock, 1))
        flow.advance(progress(flow.clock, epoch=2, leave=Leave(to=WorkflowStatus.SUCCEEDED)))

    @pytest.mark.parametrize("status", OPEN)
    def test_a_signal_is_kept_and_wakes_whoever_waits(self, flow: Flow, status: WorkflowStatus) -> None:
        before = flow.advance(begin(flow.clock))
        if status in IDLE:
            later = flow.clock() + LEASE
            before = flow.advance(progress(flow.clock, leave=Leave(to=status, wake_at=later, waits_for="x")))
        flow.clock.advance(1)
        now, at = flow.clock(), flow.clock() - LEASE

        after = flow.advance(send(flow.clock, at=at))

        assert after == replace(before, news=1, updated_at=at, wake_at=now if status in IDLE else None)
        assert flow.journal().messages == (
            Message(name="approved", id="msg_1", number=1, body='{"by":"ops"}', received_at=at),
        )

    def test_a_signal_that_comes_again_changes_nothing(self, flow: Flow) -> None:
        """IDE-27: under the same id it is the same one, to the same workflow."""
        flow.left(WAITING)
        flow.advance(begin(flow.clock, "flow-1"))
        flow.advance(send(flow.clock))
        before = flow.journal()
        flow.clock.advance(1)

        for other in ("same", "other"):  # whatever the clocks of the two senders say
            again = flow.answer(send(flow.clock, name=other, body="2", at=before.execution.updated_at))
            assert isinstance(again, Advanced)
            assert (again.execution, again.is_new) == (before.execution, False)
        assert flow.journal() == replace(before, now=flow.clock())
        assert flow.advance(send(flow.clock, workflow_id="flow-1")).news == 1

    @pytest.mark.parametrize("status", sorted(ENDED))
    def test_a_signal_to_nobody_and_to_what_has_ended_is_refused(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        assert flow.refuses(send(flow.clock))
        flow.advance(begin(flow.clock))
        flow.advance(send(flow.clock))
        flow.advance(progress(flow.clock, leave=Leave(to=status)))

        assert flow.refuses(send(flow.clock))
        assert flow.refuses(send(flow.clock, "msg_2"))

    def test_of_signals_that_come_at_once_none_is_lost_and_none_is_doubled(self, flow: Flow) -> None:
        """IDE-27."""
        flow.left(WAITING)
        names = [f"msg_{n % 6}" for n in range(24)]

        answers = flow.together([send(flow.clock, name, body=str(n)) for n, name in enumerate(names)])

        told = flow.journal().messages
        assert all(isinstance(answer, Advanced) for answer in answers)
        assert sorted(message.id for message in told) == sorted(set(names))
        assert [message.number for message in told] == [*range(1, 7)]
        assert flow.row().news == 6

    def test_steps_and_signals_at_once_are_all_kept(self, flow: Flow) -> None:
        """Branches of one worker end together, while the outside tells of something."""
        flow.advance(begin(flow.clock))
        steps = [step(flow.clock, n, occurrence=n) for n in range(1, 9)]

        flow.together(
            [progress(flow.clock, one) for one in steps] + [send(flow.clock, f"m{n}") for n in range(8)]
        )

        assert flow.journal().steps == tuple(steps)
        assert len(flow.journal().messages) == flow.journal().execution.news == 8

    def test_a_signals_number_is_that_of_the_news_it_makes(self, flow: Flow) -> None:
        """Other news counts as well; of signals there may be fewer."""
        flow.advance(begin(flow.clock))
        flow.advance(steer(flow.clock, Steering.RESUME))
        flow.advance(send(flow.clock, "b"))
        flow.advance(steer(flow.clock, Steering.CANCEL))

        assert flow.advance(send(flow.clock, "a")).news == 4
        assert [(message.number, message.id) for message in flow.journal().messages] == [(2, "b"), (4, "a")]

    @pytest.mark.parametrize("end", sorted(ENDED))
    @pytest.mark.parametrize("status", OPEN)
    def test_a_child_that_ends_wakes_its_parent(
        self, flow: Flow, status: WorkflowStatus, end: WorkflowStatus
    ) -> None:
        """Whoever waits is due at once; who works on it learns that there is news."""
        before = flow.in_status(status, due_s=LEASE_S)
        flow.advance(begin(flow.clock, "child", parent=FLOW))
        flow.clock.advance(1)
        at = flow.clock() - LEASE

        flow.advance(progress(flow.clock, workflow_id="child", at=at, leave=Leave(to=end, output="1")))

        wake_at = flow.clock() if status in IDLE else None
        assert flow.row() == replace(before, news=1, wake_at=wake_at, updated_at=at)

    @pytest.mark.parametrize("status", sorted(IDLE))
    def test_a_child_that_is_cancelled_while_nobody_works_on_it_wakes_its_parent(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        before = flow.in_status(WAITING)
        flow.in_status(status, "child", parent=FLOW)
        flow.clock.advance(1)

        flow.advance(steer(flow.clock, Steering.CANCEL, "child"))

        assert flow.row() == replace(before, news=1, wake_at=flow.clock(), updated_at=flow.clock())

    def test_a_child_that_has_not_ended_wakes_nobody(self, flow: Flow) -> None:
        before = flow.in_status(WAITING)
        flow.advance(begin(flow.clock, "child", parent=FLOW, on_failure="compensate"))
        flow.clock.advance(1)
        for status in sorted(IDLE):
            epoch = flow.row("child").epoch
            leave = Leave(to=status)
            flow.advance(progress(flow.clock, workflow_id="child", epoch=epoch, leave=leave))
            flow.advance(send(flow.clock, status, workflow_id="child"))
            flow.advance(steer(flow.clock, Steering.PAUSE, "child"))
            flow.advance(steer(flow.clock, Steering.CANCEL, "child"))
            flow.advance(take(flow.clock, epoch, "child"))
        stale = progress(flow.clock, workflow_id="child", leave=Leave(to=WorkflowStatus.SUCCEEDED))

        assert flow.refuses(stale)
        assert flow.row() == before

    def test_the_end_of_a_child_wakes_its_own_parent_only(self, flow: Flow) -> None:
        """Neither one that has ended, nor another tenant's, nor one that was not named; that is no error."""
        flow.in_status(WAITING, "")
        flow.in_status(WAITING, "other")
        flow.in_status(WorkflowStatus.FAILED, "ended")
        flow.advance(begin(flow.clock, "theirs", tenant="tenant-2", owner=""))
        names = ["", "other", "ended"]
        before = [flow.row(name) for name in names]
        theirs = flow.journal("theirs", "tenant-2")
        for n, parent in enumerate(("", "ended", "theirs", "nobody")):
            flow.advance(begin(flow.clock, f"child-{n}", parent=parent))

        for n in range(4):
            leave = Leave(to=WorkflowStatus.SUCCEEDED)
            flow.advance(progress(flow.clock, workflow_id=f"child-{n}", leave=leave))

        assert [flow.row(name) for name in names] == before
        assert flow.journal("theirs", "tenant-2") == theirs

    def test_a_parent_that_is_paused_stays_so(self, flow: Flow) -> None:
        flow.in_status(WAITING)
        paused = flow.advance(steer(flow.clock, Steering.PAUSE))
        flow.advance(begin(flow.clock, "child", parent=FLOW))

        flow.advance(progress(flow.clock, workflow_id="child", leave=Leave(to=WorkflowStatus.FAILED)))

        assert flow.row() == replace(paused, news=1, wake_at=flow.clock())
        assert flow.names(is_due=True) == []

    def test_of_children_that_end_at_once_no_news_is_lost(self, flow: Flow) -> None:
        flow.in_status(WAITING)
        names = [f"child-{n}" for n in range(12)]
        for name in names:
            flow.advance(begin(flow.clock, name, parent=FLOW))
        leave = Leave(to=WorkflowStatus.SUCCEEDED)

        answers = flow.together([progress(flow.clock, workflow_id=name, leave=leave) for name in names])

        assert all(isinstance(answer, Advanced) for answer in answers)
        assert flow.row().news == 12

    @pytest.mark.parametrize("status", OPEN)
    def test_doubt_that_ends_wakes_its_workflow(self, flow: Flow, status: WorkflowStatus) -> None:
        """In the same transaction: whoever looks then sees the result."""
        subject = flow.subject
        before = flow.in_status(status, WORKFLOWS[0], due_s=LEASE_S)
        other = flow.in_status(status, WORKFLOWS[1])
        head = subject.move(subject.insert(0), Event.DOUBT)
        flow.clock.advance(1)
        in_doubt = flow.row(WORKFLOWS[0])

        subject.move(head, Event.RESOLVE_DONE, outcome=PlainOutcome(result="1"))

        wake_at = flow.clock() if status in IDLE else None
        assert in_doubt == before
        assert flow.row(WORKFLOWS[0]) == replace(before, news=1, wake_at=wake_at, updated_at=flow.clock())
        assert flow.row(WORKFLOWS[1]) == other

    def test_a_workflow_that_may_go_on_wakes_and_one_that_is_stopped_does_not(self, flow: Flow) -> None:
        subject = flow.subject
        before = flow.in_status(WAITING, WORKFLOWS[0])
        paused = flow.in_status(WAITING, WORKFLOWS[1])
        paused = flow.advance(steer(flow.clock, Steering.PAUSE, WORKFLOWS[1]))
        heads = [
            subject.move(subject.insert(n), Event.FAIL, workflow=WorkflowStop(reason="401")) for n in (0, 1)
        ]
        flow.clock.advance(1)
        stopped = flow.row(WORKFLOWS[0])

        for head in heads:
            subject.move(head, Event.NOTE, workflow=WorkflowStop(reason=None))

        woken: dict[str, Any] = {"news": 1, "wake_at": flow.clock(), "updated_at": flow.clock()}
        assert stopped == before
        assert flow.row(WORKFLOWS[0]) == replace(before, **woken)
        assert flow.row(WORKFLOWS[1]) == replace(paused, **woken)

    def test_nobody_wakes_by_a_change_that_was_not_applied(self, flow: Flow) -> None:
        """I3: whether it lost a race or a constraint refused a part of it."""
        subject = flow.subject
        head = subject.move(subject.insert(0), Event.DOUBT)
        before = flow.in_status(WAITING, WORKFLOWS[0])
        flow.clock.advance(1)
        change, _ = plan_move(head, Event.RESOLVE_DONE, stamp(flow.clock))
        entry = entry_of(change)
        moved = move_of(change)
        others = [op for op in change.ops if op is not moved]

        lost = subject.answer(Change((replace(moved, fence=head.fence + 1), *others)))
        refused = subject.answer(with_entry(change, replace(entry, seq=0)))

        assert isinstance(lost, Conflict)
        assert refused is StoreInvariant
        assert flow.row(WORKFLOWS[0]) == before

    @pytest.mark.parametrize("status", sorted(ENDED))
    def test_doubt_about_what_has_ended_wakes_nobody(self, flow: Flow, status: WorkflowStatus) -> None:
        subject = flow.subject
        heads = [subject.move(subject.insert(n), Event.DOUBT) for n in (0, 1)]
        before = flow.in_status(status, WORKFLOWS[0])

        for head in heads:  # the other workflow has no execution
            subject.move(head, Event.RESOLVE_NOT_DONE)

        assert flow.row(WORKFLOWS[0]) == before
        assert flow.known(WORKFLOWS[1]) is None

    def test_nobody_leaves_while_there_is_news_of_any_kind(self, flow: Flow) -> None:
        subject = flow.subject
        head = subject.move(subject.insert(0), Event.DOUBT)
        name = WORKFLOWS[0]
        flow.advance(begin(flow.clock, name))
        flow.advance(begin(flow.clock, "child", parent=name))
        leaving = progress(flow.clock, workflow_id=name, leave=Leave(to=WAITING, seen=0))
        unseen: list[bool] = []

        flow.advance(progress(flow.clock, workflow_id="child", leave=Leave(to=WorkflowStatus.SUCCEEDED)))
        for seen in range(3):
            leave = Leave(to=WAITING, seen=seen)
            unseen.append(flow.refuses(replace(leaving, leave=leave)))
            if seen == 0:
                subject.move(head, Event.RESOLVE_DONE)
            elif seen == 1:
                flow.advance(steer(flow.clock, Steering.CANCEL, name))

        assert unseen == [True] * 3
        assert flow.advance(replace(leaving, leave=Leave(to=WAITING, seen=3))).is_cancelled
