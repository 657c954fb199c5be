"""The part of the store contract that is about halts: an actor's executions stopped, and let go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from holdfast._core.advance import Leave, Steering
from holdfast._core.execution import ENDED, IDLE, ExecutionRecord, Halt, Pause
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery
from holdfast.testing.conformance.flows import (
    FLOW,
    Flow,
    begin,
    fork,
    halt,
    progress,
    restart,
    send,
    steer,
    take,
)
from holdfast.testing.conformance.subject import LEASE_S, TENANT

LEASE: Final = timedelta(seconds=LEASE_S)
OPEN: Final = [WorkflowStatus.RUNNING, *sorted(IDLE)]


def _pauses(flow: Flow, *names: str) -> list[str]:
    return [str(flow.row(name).pause) for name in names]


class HaltContract:
    """What :class:`holdfast.ports.Store` promises whoever stops an actor, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("actor", ["agent", ""])
    @pytest.mark.parametrize("status", OPEN)
    def test_the_executions_of_a_halted_actor_are_paused_and_go_on_after_that(
        self, flow: Flow, status: WorkflowStatus, actor: str
    ) -> None:
        """Whose worker is at it leaves it; going on, they are due at once and crashes are forgotten."""
        flow.advance(begin(flow.clock))
        flow.clock.advance(LEASE_S)
        flow.advance(take(flow.clock, 1))
        if status in IDLE:
            leave = Leave(to=status, wake_at=flow.clock() + LEASE, waits_for="x")
            flow.advance(progress(flow.clock, epoch=2, leave=leave))
        before = flow.row()
        flow.clock.advance(1)
        at = flow.clock() - LEASE

        assert flow.halt(actor, at=at) == 1
        halted = flow.row()
        assert halted == replace(before, pause=Pause.HALT, pause_reason="ops: stop", updated_at=at)
        flow.clock.advance(1)
        assert flow.halt(actor, is_on=False, reason="other", at=at + LEASE) == 1

        assert flow.row() == replace(
            before,
            news=1,
            wake_at=flow.clock() if status in IDLE else None,
            crashes=0,
            updated_at=at + LEASE,
        )

    def test_a_halt_concerns_its_actors_executions_that_are_open(self, flow: Flow) -> None:
        others = {"other": {"actor": "Agent"}, "theirs": {"tenant": "tenant-2"}, "nobodys": {"actor": ""}}
        for name, fields in others.items():
            flow.advance(begin(flow.clock, name, owner="", **fields))
        for status in WorkflowStatus:
            flow.in_status(status, status)
        ended = [flow.row(status) for status in sorted(ENDED)]

        assert flow.halt() == len(OPEN)

        assert _pauses(flow, *OPEN) == ["halted"] * len(OPEN)
        assert sorted(flow.names(is_paused=True)) == sorted(OPEN)
        assert [flow.row(status) for status in sorted(ENDED)] == ended
        assert _pauses(flow, "other", "nobodys") == ["", ""]
        assert flow.journal("theirs", "tenant-2").execution.pause is Pause.NO
        assert flow.halt("") == 2
        assert _pauses(flow, "other", "nobodys") == ["halted"] * 2
        assert flow.journal("theirs", "tenant-2").execution.pause is Pause.NO

    def test_who_halts_or_lets_go_on_is_told_which_workflows_that_concerned(self, flow: Flow) -> None:
        """Sorted; an engine is to drive those that go on."""
        run, store = flow.subject.run, flow.subject.store
        for name in ("b", "ä", "B", "paused"):
            flow.advance(begin(flow.clock, name, owner=""))
        flow.advance(begin(flow.clock, "other", owner="", actor="other"))
        flow.advance(steer(flow.clock, Steering.PAUSE, "paused"))

        halted = run(store.halt(halt(flow.clock)))
        flow.advance(steer(flow.clock, Steering.RESUME, "b"))
        let_go = run(store.halt(halt(flow.clock, is_on=False)))
        none = run(store.halt(halt(flow.clock, is_on=False)))

        assert (list(halted), list(let_go), list(none)) == (["B", "b", "ä"], ["B", "ä"], [])

    def test_those_that_are_paused_for_another_reason_stay_as_they_are(self, flow: Flow) -> None:
        flow.in_status(WorkflowStatus.WAITING, "person")
        flow.advance(steer(flow.clock, Steering.PAUSE, "person"))
        for pause in (Pause.DEAD, Pause.DIVERGED):
            flow.advance(begin(flow.clock, pause))
            leave = Leave(to=WorkflowStatus.WAITING, pause=pause, pause_reason="why")
            flow.advance(progress(flow.clock, workflow_id=pause, leave=leave))
        names = ["person", Pause.DEAD, Pause.DIVERGED]
        before = [flow.row(name) for name in names]
        flow.clock.advance(1)

        assert flow.halt() == 0
        assert flow.halt(is_on=False) == 0

        assert [flow.row(name) for name in names] == before

    def test_what_a_halted_actor_begins_is_queued_and_paused(self, flow: Flow) -> None:
        """Whoever wanted to work on it; one that was to start later is still to start then."""
        plain = flow.advance(begin(flow.clock, "plain", owner=""))
        later = flow.clock() + LEASE
        flow.halt()
        halted = replace(plain, workflow_id=FLOW, pause=Pause.HALT, pause_reason="ops: stop")

        assert flow.advance(begin(flow.clock)) == halted
        assert flow.advance(begin(flow.clock, "b", owner="")) == replace(halted, workflow_id="b")
        third = flow.advance(begin(flow.clock, "c", start_at=later))
        assert third == replace(halted, workflow_id="c", wake_at=later)
        assert flow.advance(begin(flow.clock, "d", actor="other")).pause is Pause.NO
        assert flow.names(is_due=True) == flow.dequeue(name="") == []
        assert flow.refuses(take(flow.clock, 0))

    def test_a_whole_tenant_is_halted(self, flow: Flow) -> None:
        flow.halt("", reason="all")

        assert flow.advance(begin(flow.clock)).pause_reason == "all"
        assert flow.advance(begin(flow.clock, "b", actor="other")).status is WorkflowStatus.QUEUED
        assert flow.advance(begin(flow.clock, "c", tenant="tenant-2")).status is WorkflowStatus.RUNNING
        flow.halt()
        assert flow.advance(begin(flow.clock, "d")).pause_reason == "ops: stop"  # the actor's own comes first

    def test_what_another_halt_holds_is_not_let_go_on(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock))
        flow.advance(begin(flow.clock, "other", actor="other"))

        assert [flow.halt(), flow.halt("")] == [1, 1]
        flow.clock.advance(1)
        before = flow.row()
        assert flow.halt(is_on=False) == 0
        assert flow.row() == before
        assert flow.halt() == 0
        assert flow.halt("", is_on=False) == 1
        assert _pauses(flow, FLOW, "other") == ["halted", ""]
        assert flow.halt(is_on=False) == 1
        assert flow.row().pause is Pause.NO

    def test_one_execution_of_a_halted_actor_may_go_on(self, flow: Flow) -> None:
        """A person says so; the others stay halted, and that one is not stopped again by what it does."""
        for name in (FLOW, "b"):
            flow.advance(begin(flow.clock, name, owner=""))
        flow.halt()
        flow.advance(steer(flow.clock, Steering.RESUME))

        assert flow.dequeue(name="") == [FLOW]
        left = flow.advance(progress(flow.clock, leave=Leave(to=WorkflowStatus.WAITING)))
        assert (left.pause, left.pause_reason) == (Pause.NO, "")
        assert flow.halt(is_on=False) == 1

    @pytest.mark.parametrize("on_failure", ["leave", "compensate"])
    def test_a_halted_execution_is_cancelled(self, flow: Flow, on_failure: str) -> None:
        flow.in_status(WorkflowStatus.WAITING, on_failure=on_failure)
        flow.halt()

        after = flow.advance(steer(flow.clock, Steering.CANCEL))

        is_ended = on_failure == "leave"
        assert (after.status in ENDED, after.pause) == (is_ended, Pause.NO)
        assert flow.dequeue() == ([] if is_ended else [FLOW])

    def test_a_halted_execution_hears_of_news_and_keeps_it(self, flow: Flow) -> None:
        flow.in_status(WorkflowStatus.WAITING)
        flow.halt()

        after = flow.advance(send(flow.clock))

        assert (after.news, after.wake_at, after.pause) == (1, flow.clock(), Pause.HALT)
        assert flow.names(is_due=True) == []

    def test_what_a_halted_actor_restarts_or_forks_is_paused(self, flow: Flow) -> None:
        flow.in_status(WorkflowStatus.FAILED)
        flow.halt("", reason="all")
        flow.halt()

        again, forked = flow.advance(restart(flow.clock)), flow.advance(fork(flow.clock))

        for row in (again, forked):
            assert (row.status, row.pause) == (WorkflowStatus.QUEUED, Pause.HALT)
            assert (row.pause_reason, row.wake_at) == ("ops: stop", flow.clock())
        assert flow.dequeue() == []
        assert [flow.halt(is_on=False), flow.halt("", is_on=False)] == [0, 2]
        assert sorted(flow.dequeue()) == [FLOW, "fork-0"]

    def test_what_was_restarted_or_forked_before_keeps_no_halt(self, flow: Flow) -> None:
        flow.halt()
        flow.advance(begin(flow.clock))
        flow.advance(steer(flow.clock, Steering.CANCEL))
        flow.halt(is_on=False)

        rows = flow.advance(restart(flow.clock, epoch=0)), flow.advance(fork(flow.clock))

        assert [(row.pause, row.pause_reason) for row in rows] == [(Pause.NO, "")] * 2

    def test_halts_are_listed_by_actor_and_told_by_their_last_reason(self, flow: Flow) -> None:
        run, store = flow.subject.run, flow.subject.store
        assert list(run(store.halts(TENANT))) == []
        for actor in ("ä", "b", "B", "", "a"):
            flow.halt(actor)
        flow.halt("a", tenant="tenant-2")
        flow.clock.advance(1)
        at = flow.clock() - LEASE
        flow.halt("b", reason="other", at=at)
        flow.halt("a", is_on=False)
        flow.halt("nobody", is_on=False)

        found = list(run(store.halts(TENANT)))

        first = flow.clock() - timedelta(seconds=1)
        assert found == [
            Halt(tenant=TENANT, actor=actor, reason="other" if actor == "b" else "ops: stop", at=moment)
            for actor, moment in (("", first), ("B", first), ("b", at), ("ä", first))
        ]
        assert [told.actor for told in run(store.halts("tenant-2"))] == ["a"]

    def test_of_what_begins_while_its_actor_is_halted_nothing_escapes(self, flow: Flow) -> None:
        """Each is begun before, and is halted; or after, and is queued."""
        store = flow.subject.store

        async def at_once() -> list[ExecutionRecord]:
            begins = [store.advance(begin(flow.clock, f"flow-{n}")) for n in range(8)]
            work = [*begins[:4], store.halt(halt(flow.clock)), *begins[4:]]
            await asyncio.gather(*work)
            return list(await store.executions(ExecutionQuery(tenant=TENANT)))

        found = flow.subject.run(at_once())

        assert [row.pause for row in found] == [Pause.HALT] * 8
