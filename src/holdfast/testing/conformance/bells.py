"""What rings when executions are left and when they become due: a hint that our own stores give."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from holdfast._core.advance import Leave, Steering, bell_of_end, bell_of_queue
from holdfast._core.change import WorkflowStop
from holdfast._core.execution import ENDED, IDLE, Pause
from holdfast._core.states import Event, WorkflowStatus
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
from holdfast.testing.conformance.subject import LEASE_S, TENANT, WORKFLOWS

DUE = bell_of_queue(TENANT, QUEUE)
LEFT = bell_of_end(TENANT, FLOW)


class Bells:
    """What rang; the same may ring twice."""

    def __init__(self, flow: Flow) -> None:
        self._rung: list[str] = []
        flow.subject.store.subscribe(self._rung.append)

    def heard(self) -> set[str]:
        """Return what rang since the last look, of executions."""
        rung = {bell for bell in self._rung if bell.startswith(("left ", "due "))}
        self._rung.clear()
        return rung


class BellContract:
    """What a store rings for within its own process, after the commit, one test each.

    Not a part of ``StoreContract``: nothing depends on it, so a store may ring for nothing.
    """

    @pytest.fixture
    def bells(self, flow: Flow) -> Bells:
        """Return what rings from now on."""
        return Bells(flow)

    def test_the_queue_rings_when_one_is_begun_that_is_due(self, flow: Flow, bells: Bells) -> None:
        flow.advance(begin(flow.clock, "held", queue=QUEUE))
        flow.queued("later", start_at=flow.clock() + timedelta(seconds=0.000001))
        silent = bells.heard()

        flow.queued()

        assert (silent, bells.heard()) == (set(), {DUE})
        flow.queued("by nobody", queue="")
        assert bells.heard() == {bell_of_queue(TENANT, "")}
        flow.queued("theirs", tenant="tenant-2")
        assert bells.heard() == {bell_of_queue("tenant-2", QUEUE)}
        assert flow.refuses(begin(flow.clock, owner="", queue=QUEUE))
        assert bells.heard() == set()

    @pytest.mark.parametrize("status", sorted({*WorkflowStatus} - {WorkflowStatus.RUNNING}))
    def test_an_end_rings_when_one_is_left(self, flow: Flow, bells: Bells, status: WorkflowStatus) -> None:
        """And the queue, if it is due at once and nobody has paused it."""
        flow.in_status(status)
        asleep = bells.heard()
        flow.in_status(status, "due", due_s=0)
        due = bells.heard()
        flow.advance(begin(flow.clock, "paused", queue=QUEUE))
        leave = Leave(to=status, wake_at=flow.clock(), pause=Pause.DEAD)
        flow.advance(progress(flow.clock, workflow_id="paused", leave=leave))

        assert asleep == {LEFT}
        assert due == {bell_of_end(TENANT, "due"), *([DUE] if status in IDLE else [])}
        assert bells.heard() == {bell_of_end(TENANT, "paused")}

    def test_nothing_rings_while_somebody_works_on_it(self, flow: Flow, bells: Bells) -> None:
        flow.in_status(WorkflowStatus.RUNNING)

        flow.advance(progress(flow.clock, step(flow.clock, 1)))
        flow.advance(progress(flow.clock, step(flow.clock), is_note=True))
        flow.advance(send(flow.clock))
        for to in (Steering.PAUSE, Steering.RESUME, Steering.CANCEL):
            flow.advance(steer(flow.clock, to))
        flow.halt()
        flow.halt(is_on=False)
        assert flow.refuses(progress(flow.clock, epoch=2, leave=Leave(to=WorkflowStatus.FAILED)))
        flow.clock.advance(LEASE_S * 2)
        flow.advance(take(flow.clock, 1))

        assert bells.heard() == set()

    @pytest.mark.parametrize("status", sorted(IDLE))
    def test_the_queue_rings_for_news(self, flow: Flow, bells: Bells, status: WorkflowStatus) -> None:
        flow.in_status(status)
        bells.heard()

        flow.advance(send(flow.clock))
        told = bells.heard()
        flow.advance(steer(flow.clock, Steering.PAUSE))
        flow.advance(send(flow.clock, "msg_2"))
        paused = bells.heard()
        flow.advance(steer(flow.clock, Steering.RESUME))

        assert (told, paused, bells.heard()) == ({DUE}, set(), {DUE})

    @pytest.mark.parametrize("on_failure", ["leave", "compensate"])
    def test_what_is_cancelled_rings(self, flow: Flow, bells: Bells, on_failure: str) -> None:
        flow.in_status(WorkflowStatus.WAITING, on_failure=on_failure)
        bells.heard()

        flow.advance(steer(flow.clock, Steering.CANCEL))

        assert bells.heard() == {LEFT if on_failure == "leave" else DUE}

    def test_the_parents_queue_rings_for_the_end_of_a_child(self, flow: Flow, bells: Bells) -> None:
        flow.in_status(WorkflowStatus.WAITING, queue="parents")
        for name in ("a", "b", "c"):
            flow.advance(begin(flow.clock, name, parent=FLOW))
        flow.advance(progress(flow.clock, workflow_id="b", leave=Leave(to=WorkflowStatus.WAITING)))
        bells.heard()

        flow.advance(progress(flow.clock, workflow_id="a", leave=Leave(to=WorkflowStatus.SUCCEEDED)))
        ended = bells.heard()
        flow.advance(steer(flow.clock, Steering.CANCEL, "b"))
        cancelled = bells.heard()
        flow.advance(steer(flow.clock, Steering.PAUSE))
        flow.advance(progress(flow.clock, workflow_id="c", leave=Leave(to=WorkflowStatus.SUCCEEDED)))

        parents = bell_of_queue(TENANT, "parents")
        assert ended == {bell_of_end(TENANT, "a"), parents}
        assert cancelled == {bell_of_end(TENANT, "b"), parents}
        assert bells.heard() == {bell_of_end(TENANT, "c")}

    @pytest.mark.parametrize("status", sorted(ENDED - {WorkflowStatus.SUCCEEDED}))
    def test_the_queue_rings_for_a_restart_and_for_a_fork(
        self, flow: Flow, bells: Bells, status: WorkflowStatus
    ) -> None:
        flow.in_status(status)
        bells.heard()

        flow.advance(fork(flow.clock))
        forked = bells.heard()
        flow.advance(restart(flow.clock))

        assert (forked, bells.heard()) == ({DUE}, {DUE})

    def test_the_queues_ring_when_an_actor_may_go_on(self, flow: Flow, bells: Bells) -> None:
        flow.in_status(WorkflowStatus.WAITING)
        flow.in_status(WorkflowStatus.WAITING, "b")
        flow.queued("c", queue="other", start_at=flow.clock() + timedelta(seconds=LEASE_S))
        flow.in_status(WorkflowStatus.RUNNING, "d", queue="third")
        bells.heard()

        flow.halt()
        flow.queued("e", queue="fourth", actor="other")
        flow.halt("other")
        halted = bells.heard()
        flow.halt(is_on=False)

        assert halted == {bell_of_queue(TENANT, "fourth")}
        assert bells.heard() == {DUE, bell_of_queue(TENANT, "other")}

    def test_the_queue_rings_when_doubt_ends_and_a_workflow_goes_on(self, flow: Flow, bells: Bells) -> None:
        subject = flow.subject
        flow.in_status(WorkflowStatus.WAITING, WORKFLOWS[0])
        head = subject.move(subject.insert(0), Event.DOUBT, workflow=WorkflowStop(reason="401"))
        bells.heard()

        head = subject.move(head, Event.RESOLVE_DONE)
        resolved = bells.heard()
        subject.move(head, Event.NOTE, workflow=WorkflowStop(reason=None))

        assert (resolved, bells.heard()) == ({DUE}, {DUE})

    def test_whoever_is_rung_may_ask_the_store(self, flow: Flow) -> None:
        """It is committed by then, and no lock is held."""
        store = flow.subject.store
        found: list[bool] = []

        def look() -> None:
            with asyncio.Runner() as runner:
                found.append(runner.run(store.journal(TENANT, FLOW)) is not None)

        def ring(_: str) -> None:
            asking = threading.Thread(target=look)
            asking.start()
            asking.join(timeout=10)

        store.subscribe(ring)
        flow.advance(begin(flow.clock, owner=""))

        assert found == [True]
