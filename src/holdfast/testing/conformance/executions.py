"""The part of the store contract that is about executions: what each op needs, and what it changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import Advanced, Leave, Outrun, Steering
from holdfast._core.execution import ENDED, IDLE, ExecutionRecord, Pause
from holdfast._core.states import WorkflowStatus
from holdfast.testing.conformance.flows import (
    FLOW,
    LONGER_S,
    Flow,
    begin,
    progress,
    send,
    steer,
    step,
    take,
)
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
            queue="",
            priority=0,
            limit_key="",
            parent="",
            on_failure="leave",
            trace="",
            epoch=int(is_held),
            owner=owner,
            lease_until=now + LEASE if is_held else now,
            crashes=0,
            wake_at=None if is_held else now,
            waits_for="",
            news=0,
            pause=Pause.NO,
            pause_reason="",
            is_cancelled=False,
            deadline_at=None,
            started_at=now if is_held else None,
            created_at=at,
            updated_at=at,
            ended_at=None,
        )
        journal = flow.journal()
        assert (journal.steps, journal.effects, journal.messages, journal.now) == ((), {}, (), now)
        assert journal.children == {}

    @pytest.mark.parametrize("on_failure", ["compensate", "review", "leave"])
    @pytest.mark.parametrize("owner", ["a", ""])
    def test_what_is_wanted_of_an_execution_is_kept(self, flow: Flow, owner: str, on_failure: str) -> None:
        """A later start is one of a queued execution; a deadline is measured by the store's clock."""
        plain, now = flow.advance(begin(flow.clock, "plain", owner=owner)), flow.clock()
        fields: dict[str, Any] = {
            "queue": "Rückläufer",
            "priority": -7,
            "limit_key": "customer-1",
            "parent": "plain",
            "on_failure": on_failure,
            "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        moments: dict[str, Any] = {"start_at": now + 2 * LEASE, "deadline_s": 3.000001, "at": now - LEASE}

        assert flow.advance(begin(flow.clock, owner=owner, **fields, **moments)) == replace(
            plain,
            workflow_id=FLOW,
            wake_at=None if owner else now + 2 * LEASE,
            deadline_at=now + timedelta(seconds=3.000001),
            created_at=now - LEASE,
            updated_at=now - LEASE,
            **fields,
        )

    def test_what_starts_later_is_due_then(self, flow: Flow) -> None:
        """To the microsecond."""
        flow.queued(start_at=flow.clock() + LEASE)
        flow.clock.advance(LEASE_S - 0.000001)
        early = flow.names(is_due=True), flow.dequeue()
        flow.clock.advance(0.000001)

        assert early == ([], [])
        assert flow.names(is_due=True) == flow.dequeue() == [FLOW]

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

    def test_it_is_started_when_somebody_first_takes_it_by_the_stores_clock(self, flow: Flow) -> None:
        """The clock of whoever writes may be wrong; rates are measured by this."""
        assert flow.queued().started_at is None
        flow.clock.advance(1)
        first = flow.clock()
        flow.advance(take(flow.clock, 0, at=first - LEASE))
        flow.clock.advance(LEASE_S)

        assert flow.advance(take(flow.clock, 1)).started_at == first

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

    @pytest.mark.parametrize("wanted", [Steering.PAUSE, Steering.CANCEL])
    @pytest.mark.parametrize("steps", [1, 2])
    def test_whoever_makes_progress_learns_what_others_did_meanwhile(
        self, flow: Flow, wanted: Steering, steps: int
    ) -> None:
        """Also from a store that tells only what others may have changed of the row that the writer knows."""
        known = flow.advance(begin(flow.clock))
        flow.advance(send(flow.clock))
        wanted_of_it = flow.advance(steer(flow.clock, wanted))
        flow.clock.advance(1)

        made = [step(flow.clock, n, name=f"step {n}") for n in range(1, steps + 1)]
        now = flow.advance(progress(flow.clock, *made))

        assert (now.pause is Pause.PERSON) == (wanted is Steering.PAUSE)
        assert now.is_cancelled == (wanted is Steering.CANCEL)
        assert (now.news, now.pause, now.pause_reason) == (
            wanted_of_it.news,
            wanted_of_it.pause,
            wanted_of_it.pause_reason,
        )
        assert now.lease_until > known.lease_until

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

    @pytest.mark.parametrize("is_asked_to", [False, True])
    @pytest.mark.parametrize("pause", [Pause.DEAD, Pause.DIVERGED])
    def test_an_execution_is_left_for_a_person(self, flow: Flow, pause: Pause, *, is_asked_to: bool) -> None:
        """Why it is left goes before why somebody wanted it to be."""
        flow.advance(begin(flow.clock))
        if is_asked_to:
            flow.advance(steer(flow.clock, Steering.PAUSE))
        leave = Leave(to=WAITING, wake_at=flow.clock(), pause=pause, pause_reason="5 workers died")

        after = flow.advance(progress(flow.clock, leave=leave))

        assert (after.pause, after.pause_reason) == (pause, "5 workers died")
        assert flow.refuses(take(flow.clock, 1))
        assert flow.names(is_due=True) == []
        assert flow.names(is_paused=True) == [FLOW]

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

    def test_a_note_is_written_like_any_other_progress(self, flow: Flow) -> None:
        """What it need not outlive cannot be tried here."""
        before = flow.advance(begin(flow.clock))
        flow.clock.advance(1)
        kept = [step(flow.clock), step(flow.clock, 1, name="b")]

        noted = flow.advance(progress(flow.clock, kept[0], is_note=True))
        flow.advance(progress(flow.clock, kept[1]))
        again = flow.advance(progress(flow.clock, is_note=True))

        assert (
            noted == again == replace(before, lease_until=flow.clock() + 2 * LEASE, updated_at=flow.clock())
        )
        assert flow.journal().steps == tuple(kept[::-1])
        assert flow.refuses(progress(flow.clock, step(flow.clock, 2), epoch=2, is_note=True))
        left = flow.advance(progress(flow.clock, is_note=True, leave=Leave(to=WorkflowStatus.SUCCEEDED)))
        assert left.status is WorkflowStatus.SUCCEEDED
