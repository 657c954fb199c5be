"""The part of the store contract that is about listings of executions, their leases, and what is reaped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from holdfast._core.advance import Leave, Steering
from holdfast._core.execution import ENDED
from holdfast._core.states import WorkflowStatus
from holdfast.ports import Lease
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
from holdfast.testing.conformance.random_changes import renewed
from holdfast.testing.conformance.subject import LEASE_S, TENANT, WORKFLOWS, key_of, new_effect

LEASE: Final = timedelta(seconds=LEASE_S)
WAITING: Final = WorkflowStatus.WAITING


class ListingContract:
    """What :class:`holdfast.ports.Store` promises whoever looks after many executions, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    def test_executions_are_listed_last_touched_first(self, flow: Flow) -> None:
        for n in range(5):
            fields = {"function": "mail"} if n == 3 else {"queue": QUEUE, "parent": f"p{n % 2}"}
            flow.advance(begin(flow.clock, f"flow-{n}", **fields))
            flow.clock.advance(n % 2)  # some at one moment
        for n in (4, 1, 2):
            flow.advance(progress(flow.clock, workflow_id=f"flow-{n}", leave=Leave(to=WorkflowStatus.FAILED)))
            flow.clock.advance(1)
        running, failed = ["flow-3", "flow-0"], ["flow-2", "flow-1", "flow-4"]

        assert flow.names() == failed + running
        assert flow.names(limit=2) == failed[:2]
        assert flow.names(status=WorkflowStatus.FAILED) == failed
        assert flow.names(status=WorkflowStatus.FAILED, limit=1) == failed[:1]
        assert flow.names(status=WorkflowStatus.RUNNING) == running
        assert flow.names(status=WAITING) == flow.names(functions=[]) == []
        assert flow.names(functions=["mail", "other"]) == ["flow-3"]
        assert flow.names(functions=["refund"], status=WorkflowStatus.FAILED) == failed
        assert flow.names(workflow_id="flow-1") == ["flow-1"]
        assert flow.names(workflow_id="flow-1", status=WorkflowStatus.RUNNING) == []
        assert flow.names(workflow_id="flow-1", functions=["mail"]) == flow.names(workflow_id="flow") == []
        assert flow.listed(workflow_id="flow-1") == [flow.row("flow-1")]
        assert flow.names(queue=QUEUE) == ["flow-2", "flow-1", "flow-4", "flow-0"]
        assert flow.names(queue="") == flow.names(parent="") == ["flow-3"]
        assert flow.names(parent="p0") == ["flow-2", "flow-4", "flow-0"]
        assert flow.names(parent="p0", limit=1) == ["flow-2"]
        assert flow.names(parent="p0", status=WorkflowStatus.FAILED, queue=QUEUE) == ["flow-2", "flow-4"]
        assert flow.names(parent="p0", queue="") == flow.names(parent="p2") == flow.names(queue="other") == []
        assert flow.names(workflow_id="flow-1", queue=QUEUE, parent="p1") == ["flow-1"]
        assert (
            flow.names(workflow_id="flow-1", queue="") == flow.names(workflow_id="flow-1", parent="p0") == []
        )

    def test_what_is_paused_is_listed_and_what_is_not(self, flow: Flow) -> None:
        for name in ("a", "b", "c"):
            flow.queued(name)
            flow.clock.advance(1)
        flow.advance(steer(flow.clock, Steering.PAUSE, "a"))
        flow.clock.advance(1)
        flow.halt("agent")
        flow.advance(steer(flow.clock, Steering.RESUME, "b"))
        flow.clock.advance(1)
        flow.advance(send(flow.clock, workflow_id="c"))

        assert flow.names(is_paused=True) == ["c", "a"]
        assert flow.names(is_paused=False) == flow.names(is_paused=False, is_due=True) == ["b"]
        assert flow.names(is_paused=True, is_due=True) == []
        assert flow.names(is_paused=True, queue=QUEUE, limit=1) == ["c"]
        assert flow.names(is_paused=True, workflow_id="a", status=WorkflowStatus.QUEUED) == ["a"]
        assert (
            flow.names(is_paused=False, workflow_id="a") == flow.names(is_paused=True, workflow_id="b") == []
        )

    def test_what_is_due_is_listed_longest_due_first(self, flow: Flow) -> None:
        """To the microsecond: the queued, the waiting whose time has come, and what dead workers left."""
        start = flow.clock()
        left: dict[str, tuple[WorkflowStatus, float | None]] = {
            "w3": (WAITING, 3),
            "r5": (WorkflowStatus.NEEDS_REVIEW, 5),
            "q4": (WorkflowStatus.QUEUED, 4),
            "never": (WAITING, None),
            "done": (WorkflowStatus.SUCCEEDED, 1),
            "lost": (WorkflowStatus.FAILED, 1),
            "off": (WorkflowStatus.CANCELLED, 1),
        }
        for name, (status, due_s) in left.items():
            fields = {"queue": QUEUE} if name == "q4" else {"parent": "p"} if name == "w3" else {}
            flow.advance(begin(flow.clock, name, **fields))
            said = Leave(to=status, wake_at=None if due_s is None else start + timedelta(seconds=due_s))
            flow.advance(progress(flow.clock, workflow_id=name, leave=said))
        flow.advance(begin(flow.clock, "dead", lease_s=2.0))
        flow.advance(begin(flow.clock, "alive", lease_s=60.0))
        flow.advance(begin(flow.clock, "new", owner="", function="mail"))
        flow.clock.advance(2 - 0.000001)

        found = [flow.names(is_due=True)]
        for moment in (0.000001, 1 - 0.000001, 0.000001, 2):
            flow.clock.advance(moment)
            found.append(flow.names(is_due=True))

        assert found[:4] == [["new"], ["new", "dead"], ["new", "dead"], ["new", "dead", "w3"]]
        assert found[4] == ["new", "dead", "w3", "q4", "r5"]
        assert flow.names(is_due=True, limit=2) == found[4][:2]
        assert flow.names(is_due=True, functions=["mail"]) == ["new"]
        assert flow.names(is_due=True, functions=["refund"], limit=1) == ["dead"]
        assert flow.names(is_due=True, status=WAITING) == ["w3"]
        assert flow.names(is_due=True, queue=QUEUE) == ["q4"]
        assert flow.names(is_due=True, parent="p", queue="") == ["w3"]
        assert [flow.names(is_due=True, workflow_id=name) for name in ("r5", "alive", "off")] == [
            ["r5"],
            [],
            [],
        ]

    def test_what_a_signal_woke_is_due_at_once(self, flow: Flow) -> None:
        flow.left(WAITING)
        assert flow.names(is_due=True) == []

        flow.advance(send(flow.clock))

        assert flow.names(is_due=True) == [FLOW]

    def test_the_lease_on_an_execution_is_renewed(self, flow: Flow) -> None:
        """I2: from the store's present time on; together with the claims of effects."""
        before = flow.advance(begin(flow.clock))
        head = flow.subject.insert(0)
        leases = [Lease(TENANT, FLOW, 1, is_execution=True), Lease(TENANT, head.key, head.fence)]
        flow.clock.advance(3.5)

        assert renewed(flow.subject.store, leases) == {*leases}
        until = flow.clock() + LEASE
        assert flow.journal().execution == replace(before, lease_until=until)
        assert flow.subject.find(0).lease_until == until
        flow.clock.advance(LEASE_S - 0.000001)
        assert flow.refuses(take(flow.clock, 1))

    def test_an_execution_that_was_lost_or_left_is_not_renewed(self, flow: Flow) -> None:
        """I3."""
        flow.left(WAITING)
        flow.advance(begin(flow.clock, "flow-1"))
        flow.advance(begin(flow.clock, "flow-2"))
        flow.clock.advance(LEASE_S)
        flow.advance(take(flow.clock, 1, "flow-1"))
        journals = [flow.journal(name) for name in (FLOW, "flow-1", "flow-2")]
        flow.clock.advance(1)
        leases = [
            Lease(TENANT, FLOW, 1, is_execution=True),
            Lease(TENANT, "flow-1", 1, is_execution=True),
            Lease("tenant-2", "flow-2", 1, is_execution=True),
            Lease(TENANT, "flow-2", 1),
            Lease(TENANT, "flow-3", 1, is_execution=True),
        ]

        assert renewed(flow.subject.store, leases) == set()
        after = [replace(flow.journal(of.execution.workflow_id), now=of.now) for of in journals]
        assert after == journals

    @pytest.mark.parametrize("is_execution", [False, True])
    def test_an_effect_and_an_execution_of_one_name_are_told_apart(
        self, flow: Flow, *, is_execution: bool
    ) -> None:
        name = key_of(0)
        execution = flow.advance(begin(flow.clock, name))
        flow.subject.insert(0)
        effect = flow.subject.find(0)
        flow.clock.advance(1)
        lease = Lease(TENANT, name, 1, is_execution=is_execution)

        assert renewed(flow.subject.store, [lease]) == {lease}
        assert (flow.journal(name).execution != execution) == is_execution
        assert (flow.subject.find(0) != effect) != is_execution

    def test_old_executions_that_have_ended_are_reaped_with_all_that_is_theirs(self, flow: Flow) -> None:
        """IDE-20: strictly before; what is open stays, however old it is, and so do newer ones."""
        for status in WorkflowStatus:
            flow.advance(begin(flow.clock, status))
            flow.advance(send(flow.clock, workflow_id=status))
            leave = Leave(to=status)
            flow.advance(progress(flow.clock, step(flow.clock, 1), workflow_id=status, leave=leave))
        flow.advance(begin(flow.clock, "theirs", tenant="tenant-2"))
        theirs = progress(
            flow.clock, workflow_id="theirs", tenant="tenant-2", leave=Leave(to=WorkflowStatus.FAILED)
        )
        flow.advance(theirs)
        flow.clock.advance(1)
        before = flow.clock()
        flow.in_status(WorkflowStatus.SUCCEEDED, "new")
        reap, run = flow.subject.store.reap_rest, flow.subject.run
        early = run(reap(TENANT, before - timedelta(seconds=1), 9))
        kept = [flow.journal(name) for name in (*sorted({*WorkflowStatus} - ENDED), "new")]

        counts = [run(reap(TENANT, before, limit)) for limit in (2, 2, 9)]

        assert (early, counts) == (0, [2, 1, 0])
        assert [flow.known(status) for status in sorted(ENDED)] == [None] * 3
        assert [flow.journal(of.execution.workflow_id) for of in kept] == kept
        assert flow.journal("theirs", "tenant-2").execution.status is WorkflowStatus.FAILED
        again = flow.advance(begin(flow.clock, WorkflowStatus.FAILED))
        assert (again.news, again.epoch) == (0, 1)
        journal = flow.journal(WorkflowStatus.FAILED)
        assert (journal.steps, journal.messages) == ((), ())

    def test_a_child_is_not_reaped_while_its_parent_may_ask_how_it_ended(self, flow: Flow) -> None:
        flow.in_status(WAITING)
        flow.advance(begin(flow.clock, "other", tenant="tenant-2"))
        for name, parent in (("child", FLOW), ("orphan", "nobody"), ("alone", ""), ("foster", "other")):
            flow.in_status(WorkflowStatus.SUCCEEDED, name, parent=parent)
        flow.clock.advance(1)
        reap, run = flow.subject.store.reap_rest, flow.subject.run

        assert run(reap(TENANT, flow.clock(), 9)) == 3
        assert sorted(flow.names()) == ["child", FLOW]
        flow.advance(steer(flow.clock, Steering.CANCEL))
        assert run(reap(TENANT, flow.clock(), 9)) == 1
        assert flow.names() == [FLOW]

    @pytest.mark.parametrize("status", WorkflowStatus)
    def test_the_effects_of_an_execution_that_has_not_ended_are_not_reaped(
        self, flow: Flow, status: WorkflowStatus
    ) -> None:
        """It may yet ask for them; those of other workflows, and of calls outside of any code, are."""
        subject = flow.subject
        subject.finished(0)
        subject.finished(1)
        subject.insert(2, effect=new_effect(2, tenant="tenant-2", workflow_id=WORKFLOWS[0]))
        flow.in_status(status, WORKFLOWS[0])
        flow.advance(begin(flow.clock, WORKFLOWS[1], tenant="tenant-2"))
        flow.clock.advance(1)
        subject.bystander()

        reaped = subject.run(subject.store.reap(TENANT, flow.clock(), 9))

        is_open = status not in ENDED
        assert reaped == (1 if is_open else 2)
        assert [record.key for record in subject.effects()] == ([key_of(0)] if is_open else [])

    def test_of_effects_that_are_reaped_few_at_a_time_those_that_are_kept_are_not_in_the_way(
        self, flow: Flow
    ) -> None:
        for n in range(6):
            flow.subject.finished(n)
        flow.in_status(WAITING, WORKFLOWS[0])
        flow.clock.advance(1)
        flow.subject.bystander()

        counts = [flow.subject.run(flow.subject.store.reap(TENANT, flow.clock(), 2)) for _ in range(3)]

        assert counts == [2, 1, 0]

    def test_what_was_restarted_is_not_reaped_as_ended(self, flow: Flow) -> None:
        flow.in_status(WorkflowStatus.FAILED)
        flow.advance(restart(flow.clock))
        flow.advance(fork(flow.clock))
        flow.clock.advance(1)

        assert flow.subject.run(flow.subject.store.reap_rest(TENANT, flow.clock(), 9)) == 0
