"""The part of the store contract that is about executions: what each op needs, and what it changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from holdfast._core.advance import Advanced, Leave, Outrun
from holdfast._core.execution import ENDED, IDLE, ExecutionRecord, Message
from holdfast._core.states import WorkflowStatus
from holdfast.testing.conformance.flows import FLOW, LONGER_S, Flow, begin, progress, send, step, take
from holdfast.testing.conformance.subject import LEASE_S, TENANT

ALL: Final = sorted(WorkflowStatus)
LEASE: Final = timedelta(seconds=LEASE_S)
WAITING: Final = WorkflowStatus.WAITING


class ExecutionContract:
    """What :class:`holdfast.ports.Store` promises of executions, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("owner", ["a", ""])
    def test_an_execution_is_begun_with_every_column(self, flow: Flow, owner: str) -> None:
        """Held by who began it; or, without one, queued and due."""
        now, at, is_held = flow.clock(), flow.clock() - LEASE, owner != ""

        assert flow.advance(begin(flow.clock, owner=owner, at=at)) == ExecutionRecord(
            tenant=TENANT,
            workflow_id=FLOW,
            function="refund",
            version="v7",
            status=WorkflowStatus.RUNNING if is_held else WorkflowStatus.QUEUED,
            input='{"amount":100}',
            output=None,
            error=None,
            actor="agent",
            epoch=int(is_held),
            owner=owner,
            lease_until=now + LEASE if is_held else now,
            crashes=0,
            wake_at=None if is_held else now,
            waits_for="",
            messages=0,
            is_paused=False,
            created_at=at,
            updated_at=at,
            ended_at=None,
        )
        journal = flow.journal()
        assert (journal.steps, journal.effects, journal.messages, journal.now) == ((), {}, (), now)

    @pytest.mark.parametrize("status", [WorkflowStatus.RUNNING, WAITING, WorkflowStatus.SUCCEEDED])
    def test_a_workflow_is_begun_once(self, flow: Flow, status: WorkflowStatus) -> None:
        if status is WorkflowStatus.RUNNING:
            flow.advance(begin(flow.clock))
        else:
            flow.left(status)

        assert flow.refuses(begin(flow.clock, owner="b", input="2"))
        assert flow.refuses(begin(flow.clock, owner=""))

    def test_of_many_who_begin_one_workflow_exactly_one_does(self, flow: Flow) -> None:
        answers = flow.together([begin(flow.clock, owner=f"w{n}", input=str(n)) for n in range(16)])

        [begun] = [answer.execution for answer in answers if isinstance(answer, Advanced)]
        assert flow.journal().execution == begun
        assert [a.found for a in answers if isinstance(a, Outrun)] == [begun] * 15

    @pytest.mark.parametrize("status", sorted(IDLE))
    def test_an_idle_execution_is_taken(self, flow: Flow, status: WorkflowStatus) -> None:
        """I3: under a new epoch; nobody died, and it waits for nothing any more."""
        due = flow.clock() + LEASE
        before = flow.left(status, wake_at=due, waits_for="a person", output="1", error="2")
        flow.clock.advance(1)
        now, at = flow.clock(), flow.clock() + LEASE

        assert flow.advance(take(flow.clock, before.epoch, lease_s=LONGER_S, at=at)) == replace(
            before,
            status=WorkflowStatus.RUNNING,
            epoch=before.epoch + 1,
            owner="b",
            lease_until=now + 2 * LEASE,
            wake_at=None,
            waits_for="",
            updated_at=at,
        )

    def test_a_dead_workers_execution_is_taken_once_its_lease_is_over(self, flow: Flow) -> None:
        """I2: to the microsecond; it is counted as a crash."""
        before = flow.advance(begin(flow.clock))
        flow.clock.advance(LEASE_S - 0.000001)
        alive = flow.refuses(take(flow.clock, 1))
        flow.clock.advance(0.000001)

        taken = flow.advance(take(flow.clock, 1))

        assert alive
        assert taken == replace(
            before, epoch=2, owner="b", crashes=1, lease_until=flow.clock() + LEASE, updated_at=flow.clock()
        )
        flow.clock.advance(LEASE_S)
        assert flow.advance(take(flow.clock, 2)).crashes == 2

    @pytest.mark.parametrize("status", ALL)
    def test_nobody_takes_one_at_another_epoch_nor_one_that_has_ended(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        """I3."""
        assert flow.refuses(take(flow.clock, 0))
        flow.left(status)
        flow.clock.advance(LEASE_S)

        assert flow.refuses(take(flow.clock, 0))
        assert flow.refuses(take(flow.clock, 2))
        assert isinstance(flow.answer(take(flow.clock, 1)), Outrun if status in ENDED else Advanced)

    @pytest.mark.parametrize("is_dead", [False, True])
    def test_of_many_who_take_an_execution_exactly_one_does(self, flow: Flow, *, is_dead: bool) -> None:
        """I3: the others learn of it."""
        flow.advance(begin(flow.clock)) if is_dead else flow.left(WAITING)
        flow.clock.advance(LEASE_S)

        answers = flow.together([take(flow.clock, 1, owner=f"w{n}") for n in range(16)])

        [taken] = [answer.execution for answer in answers if isinstance(answer, Advanced)]
        assert (taken.epoch, taken.crashes) == (2, int(is_dead))
        assert [answer.found for answer in answers if isinstance(answer, Outrun)] == [taken] * 15
        assert flow.journal().execution == taken

    @pytest.mark.parametrize("ends", [False, True])
    def test_progress_keeps_steps_and_holds_the_execution(self, flow: Flow, *, ends: bool) -> None:
        """Whoever ends a step is no crashing worker; who merely begins one may be."""
        flow.advance(begin(flow.clock))
        flow.clock.advance(LEASE_S)
        before = flow.advance(take(flow.clock, 1))
        flow.clock.advance(3)
        at = flow.clock() + LEASE
        steps = [step(flow.clock), step(flow.clock, 1 if ends else None, name="b")]

        assert flow.advance(progress(flow.clock, *steps, epoch=2, at=at)) == replace(
            before, lease_until=flow.clock() + 2 * LEASE, crashes=0 if ends else 1, updated_at=at
        )
        assert flow.journal().steps == tuple(steps[::-1] if ends else steps)

    def test_nothing_is_written_by_whoever_lost_the_execution(self, flow: Flow) -> None:
        """I3: neither the row nor a step, whether another worker has it or nobody does."""
        steps = (step(flow.clock), step(flow.clock, 1, name="b"))
        leaves: tuple[Leave | None, ...] = (None, Leave(to=WorkflowStatus.SUCCEEDED, output="1"))
        assert all(flow.refuses(progress(flow.clock, *steps, leave=leave)) for leave in leaves)
        flow.advance(begin(flow.clock, owner=""))
        assert all(flow.refuses(progress(flow.clock, *steps, epoch=0, leave=leave)) for leave in leaves)
        flow.advance(take(flow.clock, 0))

        for epoch in (0, 2):
            assert all(flow.refuses(progress(flow.clock, *steps, epoch=epoch, leave=of)) for of in leaves)

    @pytest.mark.parametrize("status", sorted({*ALL} - {WorkflowStatus.RUNNING}))
    def test_an_execution_is_left_and_nobody_writes_after_that(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        before = flow.advance(begin(flow.clock))
        flow.clock.advance(1)
        now, at, due = flow.clock(), flow.clock() - LEASE, flow.clock() + LEASE
        said = Leave(to=status, output="[1]", error="[2]", wake_at=due, waits_for="a person")
        kept = step(flow.clock, 1)

        after = flow.advance(progress(flow.clock, kept, at=at, leave=said))

        assert after == replace(
            before,
            status=status,
            output="[1]",
            error="[2]",
            owner="",
            lease_until=now,
            wake_at=due,
            waits_for="a person",
            updated_at=at,
            ended_at=at if status in ENDED else None,
        )
        assert flow.journal().steps == (kept,)
        assert flow.refuses(progress(flow.clock, step(flow.clock, 2)))
        assert flow.refuses(progress(flow.clock, leave=Leave(to=WAITING)))

    def test_leaving_replaces_what_was_said_before_and_forgets_crashes(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock))
        flow.clock.advance(LEASE_S)
        assert flow.advance(take(flow.clock, 1)).crashes == 1
        said = Leave(to=WAITING, output="1", error="2", wake_at=flow.clock(), waits_for="x")
        assert flow.advance(progress(flow.clock, epoch=2, leave=said)).crashes == 0
        taken = flow.advance(take(flow.clock, 2))
        assert (taken.output, taken.error) == ("1", "2")

        after = flow.advance(progress(flow.clock, epoch=3, leave=Leave(to=WAITING)))

        assert (after.output, after.error, after.wake_at, after.waits_for) == (None, None, None, "")

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

    @pytest.mark.parametrize("status", [WorkflowStatus.RUNNING, *sorted(IDLE)])
    def test_a_signal_is_kept_and_wakes_whoever_waits(self, flow: Flow, status: WorkflowStatus) -> None:
        before = flow.advance(begin(flow.clock))
        if status in IDLE:
            later = flow.clock() + LEASE
            before = flow.advance(progress(flow.clock, leave=Leave(to=status, wake_at=later, waits_for="x")))
        flow.clock.advance(1)
        now, at = flow.clock(), flow.clock() - LEASE

        after = flow.advance(send(flow.clock, at=at))

        assert after == replace(before, messages=1, updated_at=at, wake_at=now if status in IDLE else None)
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

        assert flow.advance(send(flow.clock, name="other", body="2")) == before.execution
        assert flow.journal() == replace(before, now=flow.clock())
        assert flow.advance(send(flow.clock, workflow_id="flow-1")).messages == 1

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
        assert [message.number for message in told] == sorted({message.number for message in told})
        assert flow.journal().execution.messages >= told[-1].number

    def test_steps_and_signals_at_once_are_all_kept(self, flow: Flow) -> None:
        """Branches of one worker end together, while the outside tells of something."""
        flow.advance(begin(flow.clock))
        steps = [step(flow.clock, n, occurrence=n) for n in range(1, 9)]

        flow.together(
            [progress(flow.clock, one) for one in steps] + [send(flow.clock, f"m{n}") for n in range(8)]
        )

        assert flow.journal().steps == tuple(steps)
        assert len(flow.journal().messages) == flow.journal().execution.messages == 8
