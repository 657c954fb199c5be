"""The part of the store contract that is about what people want: pauses, cancellation, restarts, forks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import Advanced, Leave, Steering
from holdfast._core.execution import ENDED, IDLE, Pause, StepKind, StepRecord
from holdfast._core.states import WorkflowStatus
from holdfast.testing.conformance.flows import (
    FLOW,
    QUEUE,
    Flow,
    begin,
    fork,
    progress,
    restart,
    send,
    steer,
    step,
    take,
)
from holdfast.testing.conformance.subject import LEASE_S, TENANT
from holdfast.testing.runtime import FakeClock

LEASE: Final = timedelta(seconds=LEASE_S)
OPEN: Final = [WorkflowStatus.RUNNING, *sorted(IDLE)]
LOST: Final = sorted(ENDED - {WorkflowStatus.SUCCEEDED})
PAUSE, RESUME, CANCEL = Steering


def pending(clock: FakeClock) -> list[StepRecord]:
    """What was begun, one of each kind that is never begun anew."""
    kinds = (StepKind.CHILD, StepKind.EFFECT, StepKind.SLEEP, StepKind.WAIT)
    return [step(clock, name=f"z {kind}", kind=kind) for kind in kinds]


class SteeringContract:
    """What :class:`holdfast.ports.Store` promises whoever steers executions, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("status", OPEN)
    def test_an_execution_is_paused(self, flow: Flow, status: WorkflowStatus) -> None:
        """Nobody takes it and it is not due; when it would be is still known."""
        before = flow.in_status(status, due_s=0)
        flow.clock.advance(LEASE_S)
        due, at = flow.names(is_due=True), flow.clock() - LEASE

        paused = flow.advance(steer(flow.clock, PAUSE, at=at))

        assert due == [FLOW]
        assert paused == replace(before, pause=Pause.PERSON, pause_reason="ops: why", updated_at=at)
        assert flow.names(is_due=True) == flow.names(is_due=True, workflow_id=FLOW) == flow.dequeue() == []
        assert flow.names(is_paused=True) == flow.names() == [FLOW]
        assert flow.refuses(take(flow.clock, 1))
        sent = flow.advance(send(flow.clock))
        assert (sent.pause, sent.news) == (Pause.PERSON, 1)
        assert flow.names(is_due=True) == []

    def test_whoever_works_on_an_execution_that_is_paused_may_write_and_leave(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock))
        flow.advance(steer(flow.clock, PAUSE))

        flow.advance(progress(flow.clock, step(flow.clock, 1)))
        left = flow.advance(progress(flow.clock, leave=Leave(to=WorkflowStatus.WAITING)))

        assert (left.status, left.pause, left.pause_reason) == (
            WorkflowStatus.WAITING,
            Pause.PERSON,
            "ops: why",
        )

    @pytest.mark.parametrize("status", sorted(ENDED))
    def test_an_end_ends_a_pause(self, flow: Flow, status: WorkflowStatus) -> None:
        flow.advance(begin(flow.clock))
        flow.advance(steer(flow.clock, PAUSE))

        left = flow.advance(progress(flow.clock, leave=Leave(to=status, pause=Pause.DEAD, pause_reason="x")))

        assert (left.pause, left.pause_reason) == (Pause.NO, "ops: why")

    @pytest.mark.parametrize("status", OPEN)
    @pytest.mark.parametrize("pause", Pause)
    def test_an_execution_goes_on_whyever_it_was_paused(
        self, flow: Flow, status: WorkflowStatus, pause: Pause
    ) -> None:
        """At once, if nobody works on it; crashes are forgotten."""
        flow.advance(begin(flow.clock))
        flow.clock.advance(LEASE_S)
        assert flow.advance(take(flow.clock, 1)).crashes == 1
        if status in IDLE:
            leave = Leave(to=status, wake_at=flow.clock() + LEASE, pause=pause, pause_reason="x")
            flow.advance(progress(flow.clock, epoch=2, leave=leave))
        elif pause is Pause.HALT:
            flow.halt()
        elif pause:
            flow.advance(steer(flow.clock, PAUSE))
        before = flow.row()
        flow.clock.advance(1)
        at = flow.clock() - LEASE

        after = flow.advance(steer(flow.clock, RESUME, at=at))

        assert after == replace(
            before,
            news=1,
            wake_at=flow.clock() if status in IDLE else None,
            pause=Pause.NO,
            pause_reason="",
            crashes=0,
            updated_at=at,
        )

    @pytest.mark.parametrize("pauses", [False, True])
    @pytest.mark.parametrize("status", sorted(IDLE))
    def test_what_nobody_works_on_is_cancelled_at_once(
        self, flow: Flow, status: WorkflowStatus, *, pauses: bool
    ) -> None:
        """Its output and error stay what they were."""
        before = flow.in_status(status, due_s=0)
        before = flow.advance(steer(flow.clock, PAUSE)) if pauses else before
        flow.clock.advance(1)
        at = flow.clock() - LEASE

        after = flow.advance(steer(flow.clock, CANCEL, at=at))

        assert after == replace(
            before,
            status=WorkflowStatus.CANCELLED,
            wake_at=None,
            waits_for="",
            news=1,
            pause=Pause.NO,
            pause_reason="ops: why",
            is_cancelled=True,
            updated_at=at,
            ended_at=at,
        )
        assert flow.names(status=WorkflowStatus.CANCELLED) == [FLOW]
        assert flow.names(is_due=True) == flow.dequeue() == []

    @pytest.mark.parametrize("on_failure", ["compensate", "review"])
    @pytest.mark.parametrize("status", sorted(IDLE))
    def test_what_is_to_be_compensated_is_due_at_once_when_it_is_cancelled(
        self, flow: Flow, status: WorkflowStatus, on_failure: str
    ) -> None:
        before = flow.in_status(status, due_s=LEASE_S, on_failure=on_failure)
        before = flow.advance(steer(flow.clock, PAUSE))
        flow.clock.advance(1)

        after = flow.advance(steer(flow.clock, CANCEL, reason="other"))

        assert after == replace(
            before,
            news=1,
            wake_at=flow.clock(),
            pause=Pause.NO,
            pause_reason="other",
            is_cancelled=True,
            updated_at=flow.clock(),
        )
        assert flow.dequeue() == [FLOW]

    @pytest.mark.parametrize("on_failure", ["compensate", "review", "leave"])
    @pytest.mark.parametrize(("pauses", "is_dead"), [(True, False), (False, False), (False, True)])
    def test_what_somebody_works_on_is_cancelled_by_its_worker(
        self, flow: Flow, on_failure: str, *, pauses: bool, is_dead: bool
    ) -> None:
        """Or by the next one, if that worker died."""
        before = flow.in_status(WorkflowStatus.RUNNING, on_failure=on_failure)
        if pauses:
            flow.advance(steer(flow.clock, PAUSE))
        flow.clock.advance(LEASE_S if is_dead else 1)

        after = flow.advance(steer(flow.clock, CANCEL))

        assert after == replace(
            before, news=1, pause_reason="ops: why", is_cancelled=True, updated_at=flow.clock()
        )
        assert flow.dequeue() == ([FLOW] if is_dead else [])

    @pytest.mark.parametrize("to", [WorkflowStatus.WAITING, WorkflowStatus.CANCELLED])
    def test_a_cancelled_execution_stays_so_when_it_is_left(self, flow: Flow, to: WorkflowStatus) -> None:
        flow.advance(begin(flow.clock))
        flow.advance(steer(flow.clock, CANCEL))

        left = flow.advance(progress(flow.clock, leave=Leave(to=to)))

        assert (left.is_cancelled, left.pause, left.pause_reason) == (True, Pause.NO, "ops: why")

    def test_what_was_wanted_last_is_so(self, flow: Flow) -> None:
        """A cancellation outlasts the others."""
        flow.in_status(WorkflowStatus.RUNNING)
        found = [
            flow.advance(steer(flow.clock, to, reason=f"{n}"))
            for n, to in enumerate((PAUSE, CANCEL, PAUSE, PAUSE, RESUME, CANCEL))
        ]

        assert [(of.pause, of.pause_reason, of.is_cancelled, of.news) for of in found] == [
            (Pause.PERSON, "0", False, 0),
            (Pause.NO, "1", True, 1),
            (Pause.PERSON, "2", True, 1),
            (Pause.PERSON, "3", True, 1),
            (Pause.NO, "", True, 2),
            (Pause.NO, "5", True, 3),
        ]

    @pytest.mark.parametrize("to", Steering)
    @pytest.mark.parametrize("status", sorted(ENDED))
    def test_nobody_steers_what_has_ended_nor_what_is_not_there(
        self, flow: Flow, status: WorkflowStatus, to: Steering
    ) -> None:
        assert flow.refuses(steer(flow.clock, to))
        flow.in_status(status)

        assert flow.refuses(steer(flow.clock, to))
        assert flow.refuses(steer(flow.clock, to, tenant="tenant-2"))

    def test_of_a_step_and_a_cancellation_at_once_both_are_kept(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock))
        steps = [step(flow.clock, n, occurrence=n) for n in range(1, 5)]

        flow.together([*(progress(flow.clock, one) for one in steps), steer(flow.clock, CANCEL)])

        assert flow.row().is_cancelled
        assert flow.journal().steps == tuple(steps)

    @pytest.mark.parametrize("status", LOST)
    def test_an_execution_that_was_lost_goes_on_from_its_record(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        """Its parent, its signals, what is pending and the steps that are kept stay; so does its epoch.

        A pending step that changes nothing is forgotten: it begins anew, if the code asks for it at all.
        """
        flow.advance(begin(flow.clock, parent="p", queue=QUEUE, deadline_s=1, trace="t", limit_key="k"))
        flow.advance(send(flow.clock))
        flow.advance(steer(flow.clock, CANCEL))
        kept = [step(flow.clock, n, occurrence=n) for n in (1, 2, 3, 4)] + pending(flow.clock)
        leave = Leave(to=status, output="1", error="2", wake_at=flow.clock(), waits_for="x")
        tried = step(flow.clock, name="tried", kind=StepKind.STEP, attempt=3)
        before = flow.advance(progress(flow.clock, *kept, tried, leave=leave))
        flow.clock.advance(1)
        now, at = flow.clock(), flow.clock() - LEASE

        after = flow.advance(restart(flow.clock, keep=2, deadline_s=7.5, at=at))

        assert after == replace(
            before,
            status=WorkflowStatus.QUEUED,
            output=None,
            error=None,
            wake_at=now,
            waits_for="",
            pause_reason="",
            is_cancelled=False,
            deadline_at=now + timedelta(seconds=7.5),
            updated_at=at,
            ended_at=None,
        )
        journal = flow.journal()
        assert journal.steps == (*kept[:2], *kept[4:])
        assert [message.id for message in journal.messages] == ["msg_1"]
        assert flow.dequeue() == [FLOW]
        assert (flow.row().epoch, flow.row().started_at) == (2, before.started_at)

    @pytest.mark.parametrize(("keep", "count"), [(0, 0), (3, 3), (99, 3)])
    def test_a_restart_without_a_deadline_has_none(self, flow: Flow, keep: int, count: int) -> None:
        flow.advance(begin(flow.clock, deadline_s=1))
        kept = [step(flow.clock, n, occurrence=n) for n in (1, 2, 3)] + pending(flow.clock)
        flow.advance(progress(flow.clock, *kept, leave=Leave(to=WorkflowStatus.FAILED)))

        assert flow.advance(restart(flow.clock, keep=keep)).deadline_at is None
        assert flow.journal().steps == (*kept[:count], *kept[3:])

    @pytest.mark.parametrize("status", sorted({*WorkflowStatus} - {*LOST}))
    def test_what_goes_on_or_went_well_is_not_restarted(self, flow: Flow, status: WorkflowStatus) -> None:
        assert flow.refuses(restart(flow.clock))
        flow.in_status(status)
        flow.clock.advance(LEASE_S)

        assert flow.refuses(restart(flow.clock, keep=0))

    def test_an_execution_is_restarted_once_and_at_the_epoch_that_was_seen(self, flow: Flow) -> None:
        """I3: the steps of whoever went on since then stay."""
        flow.in_status(WorkflowStatus.FAILED)
        stale = [flow.refuses(restart(flow.clock, epoch=epoch, keep=0)) for epoch in (0, 2)]
        flow.advance(restart(flow.clock))
        again = flow.refuses(restart(flow.clock))
        flow.advance(take(flow.clock, 1))
        kept = step(flow.clock, 1)
        leave = Leave(to=WorkflowStatus.FAILED)
        flow.advance(progress(flow.clock, kept, epoch=2, leave=leave))

        assert [*stale, again, flow.refuses(restart(flow.clock, epoch=1, keep=0))] == [True] * 4
        assert flow.journal().steps == (kept,)

    def test_a_child_that_was_restarted_wakes_its_parent_again(self, flow: Flow) -> None:
        flow.in_status(WorkflowStatus.WAITING)
        flow.in_status(WorkflowStatus.FAILED, "child", parent=FLOW)
        flow.advance(restart(flow.clock, workflow_id="child"))
        flow.advance(take(flow.clock, 1, "child"))

        leave = Leave(to=WorkflowStatus.SUCCEEDED)
        flow.advance(progress(flow.clock, workflow_id="child", epoch=2, leave=leave))

        assert flow.row().news == 2

    @pytest.mark.parametrize("status", WorkflowStatus)
    def test_an_execution_is_begun_from_the_record_of_another(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        """With its signals and its first steps; without its parent, deadline, trace and what became of it."""
        wanted: dict[str, Any] = {
            "function": "mail",
            "version": "v6",
            "input": "[1]",
            "actor": "bot",
            "queue": QUEUE,
            "priority": 3,
            "limit_key": "k",
            "on_failure": "review",
        }
        flow.advance(begin(flow.clock, parent="p", trace="t", deadline_s=1, **wanted))
        for name in ("b", "a"):
            flow.advance(send(flow.clock, name, body=f'"{name}"'))
        flow.advance(steer(flow.clock, CANCEL))
        flow.advance(steer(flow.clock, PAUSE))
        kept = [step(flow.clock, n, occurrence=n) for n in (1, 2, 3)] + [step(flow.clock, name="z")]
        leave = None if status is WorkflowStatus.RUNNING else Leave(to=status, output="1", waits_for="x")
        flow.advance(progress(flow.clock, *kept, leave=leave))
        source = flow.journal()
        flow.clock.advance(1)
        now, at = flow.clock(), flow.clock() - LEASE
        plain = flow.advance(begin(flow.clock, "plain", owner="", at=at, **wanted))

        after = flow.advance(fork(flow.clock, keep=2, at=at))

        assert after == replace(plain, workflow_id="fork-0", news=3)
        journal = flow.journal("fork-0")
        assert (journal.steps, journal.messages) == (tuple(kept[:2]), source.messages)
        assert flow.journal() == replace(source, now=now)
        assert flow.advance(send(flow.clock, "b", workflow_id="fork-0")) == after
        assert flow.advance(send(flow.clock, "c", workflow_id="fork-0")).news == 4
        assert len(flow.journal().messages) == 2

    def test_nobody_forks_into_an_execution_nor_from_none(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock, "theirs", tenant="tenant-2"))
        flow.in_status(WorkflowStatus.FAILED)
        flow.in_status(WorkflowStatus.FAILED, "fork-0")

        assert flow.refuses(fork(flow.clock))
        assert flow.refuses(fork(flow.clock, FLOW))
        for source in ("nobody", "theirs"):
            assert flow.refuses(fork(flow.clock, "fork-1", source=source))
            assert flow.refuses(fork(flow.clock, source, source=source))
        assert flow.known("fork-1", TENANT) is None

    def test_a_fork_and_its_source_go_their_own_ways(self, flow: Flow) -> None:
        first = step(flow.clock, 1)
        flow.advance(begin(flow.clock))
        flow.advance(progress(flow.clock, first, leave=Leave(to=WorkflowStatus.FAILED)))
        flow.advance(fork(flow.clock))
        flow.advance(take(flow.clock, 0, "fork-0"))
        other = replace(first, result="other")
        flow.advance(progress(flow.clock, other, step(flow.clock, 2, name="b"), workflow_id="fork-0"))
        mine = flow.journal("fork-0")

        flow.advance(restart(flow.clock, keep=0))

        assert flow.journal().steps == ()
        assert flow.journal("fork-0") == mine
        assert len(mine.steps) == 2

    def test_of_many_who_restart_or_fork_exactly_one_does(self, flow: Flow) -> None:
        flow.in_status(WorkflowStatus.FAILED)

        restarts = flow.together([restart(flow.clock, deadline_s=float(n)) for n in range(8)])
        forks = flow.together([fork(flow.clock, at=flow.clock() - n * LEASE) for n in range(8)])

        for answers, name in ((restarts, FLOW), (forks, "fork-0")):
            row = flow.row(name)
            assert sum(isinstance(answer, Advanced) for answer in answers) == 1
            assert all((a.execution if isinstance(a, Advanced) else a.found) == row for a in answers)
