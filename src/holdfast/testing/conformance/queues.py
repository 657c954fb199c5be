"""The part of the store contract that is about queues: who is given what, in which order, and how much."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import Leave, Steering
from holdfast._core.execution import IDLE, ExecutionRecord, Pause
from holdfast._core.states import WorkflowStatus
from holdfast.testing.conformance.flows import FLOW, QUEUE, Flow, begin, dequeue, progress, steer, take
from holdfast.testing.conformance.subject import LEASE_S

LEASE: Final = timedelta(seconds=LEASE_S)
WAITING: Final = WorkflowStatus.WAITING
DONE: Final = Leave(to=WorkflowStatus.SUCCEEDED)


def _left(flow: Flow, *names: str, epoch: int = 1, leave: Leave = DONE) -> None:
    """Let the workers of *names* leave them."""
    for name in names:
        flow.advance(progress(flow.clock, workflow_id=name, epoch=epoch, leave=leave))


class QueueContract:
    """What :class:`holdfast.ports.Store` promises those who work on a queue, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("status", sorted(IDLE))
    def test_what_is_due_in_a_queue_is_taken(self, flow: Flow, status: WorkflowStatus) -> None:
        """I3: as if each were taken by itself."""
        before = flow.in_status(status, due_s=LEASE_S)
        flow.clock.advance(LEASE_S - 0.000001)
        early = flow.dequeue()
        flow.clock.advance(0.000001)
        at = flow.clock() - LEASE

        taken = flow.dequeue(owner="c", lease_s=2 * LEASE_S, at=at)

        assert (early, taken) == ([], [FLOW])
        assert flow.row() == replace(
            before,
            status=WorkflowStatus.RUNNING,
            epoch=2,
            owner="c",
            lease_until=flow.clock() + 2 * LEASE,
            wake_at=None,
            waits_for="",
            updated_at=at,
        )
        assert flow.dequeue() == []

    def test_what_is_first_taken_from_a_queue_is_started(self, flow: Flow) -> None:
        flow.queued()
        flow.clock.advance(1)
        first = flow.clock()

        assert flow.dequeue(at=first - LEASE) == [FLOW]
        assert (flow.row().started_at, flow.row().crashes) == (first, 0)
        flow.clock.advance(LEASE_S)
        assert flow.dequeue() == [FLOW]
        assert (flow.row().started_at, flow.row().crashes) == (first, 1)

    def test_what_dead_workers_left_comes_first_then_by_priority_then_by_time_then_by_name(
        self, flow: Flow
    ) -> None:
        start = flow.clock()
        for name, lease_s in (("dead-b", 2.0), ("dead-ä", 1.0), ("dead-a", 2.0), ("dead-Z", 1.0)):
            flow.advance(begin(flow.clock, name, queue=QUEUE, lease_s=lease_s, priority=-9))
        due = {
            "low": (-1, 0.0),
            "late": (0, 2.0),
            "b": (0, 1.0),
            "ä": (0, 1.0),
            "a": (0, 1.0),
            "B": (0, 1.0),
            "high": (2, 2.0),
            "higher": (10, 2.0),
        }
        for name, (priority, due_s) in due.items():
            flow.queued(name, priority=priority, start_at=start + timedelta(seconds=due_s))
        flow.clock.advance(2)
        dead = ["dead-Z", "dead-ä", "dead-a", "dead-b"]
        others = ["higher", "high", "B", "a", "b", "ä", "late", "low"]

        assert flow.dequeue(5) == [*dead, *others[:1]]
        assert flow.dequeue(3) == others[1:4]
        assert flow.dequeue() == others[4:]

    def test_nothing_is_taken_that_is_not_due_or_not_ones_own(self, flow: Flow) -> None:
        """Paused, ended, held or asleep; of another queue, another tenant, or code that one does not have."""
        for status in WorkflowStatus:
            flow.in_status(status, f"asleep-{status}")
            flow.in_status(status, f"later-{status}", due_s=LEASE_S)
            flow.in_status(status, f"paused-{status}", due_s=0)
            if status in IDLE:
                flow.advance(steer(flow.clock, Steering.PAUSE, f"paused-{status}"))
        dead = flow.in_status(WorkflowStatus.RUNNING, "dead", lease_s=1.0)
        flow.advance(steer(flow.clock, Steering.PAUSE, "dead"))
        flow.queued("other", queue="other")
        flow.queued("none", queue="")
        flow.queued("mail", function="mail")
        flow.queued("theirs", tenant="tenant-2")
        flow.clock.advance(1)

        assert flow.dequeue() == flow.dequeue(functions=()) == flow.dequeue(functions=("Refund",)) == []
        assert flow.row("dead").epoch == dead.epoch
        assert flow.dequeue(name="") == ["none"]
        assert flow.dequeue(functions=("mail", "other")) == ["mail"]
        assert flow.dequeue(name="other", functions=("mail", "refund")) == ["other"]
        assert flow.dequeue(tenant="tenant-2") == ["theirs"]

    def test_no_more_is_taken_than_is_wanted(self, flow: Flow) -> None:
        for n in range(4):
            flow.queued(f"q{n}")
        flow.advance(begin(flow.clock, "dead", queue=QUEUE, lease_s=1.0))
        flow.clock.advance(1)

        assert flow.dequeue(0) == []
        assert flow.dequeue(1, concurrency=9, per_key=9, rate=9) == ["dead"]
        assert flow.dequeue(1, concurrency=9, per_key=9, rate=9) == ["q0"]
        assert flow.dequeue(2) == ["q1", "q2"]

    def test_no_more_run_at_once_than_the_queue_allows(self, flow: Flow) -> None:
        """Whatever their code; one that waits does not run."""
        for n in range(9):
            flow.queued(f"q{n}")
        flow.advance(begin(flow.clock, "mail", queue=QUEUE, function="mail", lease_s=9 * LEASE_S))
        flow.advance(begin(flow.clock, "elsewhere", queue="other"))
        flow.advance(begin(flow.clock, "theirs", tenant="tenant-2", queue=QUEUE))

        assert flow.dequeue(concurrency=3) == ["q0", "q1"]
        assert flow.dequeue(concurrency=3) == flow.dequeue(concurrency=0) == flow.dequeue(concurrency=1) == []
        _left(flow, "q0", leave=Leave(to=WAITING))
        _left(flow, "q1")
        assert flow.dequeue(1, concurrency=3) == ["q2"]
        flow.advance(steer(flow.clock, Steering.PAUSE, "q2"))
        assert flow.dequeue(concurrency=3) == ["q3"]
        assert flow.dequeue(concurrency=5) == ["q4", "q5"]

    def test_an_idle_queue_keeps_its_limits_too(self, flow: Flow) -> None:
        """Whoever finds that nothing runs is given no more than may."""
        for n in range(5):
            flow.queued(f"q{n}", limit_key="a")

        assert flow.dequeue(concurrency=2) == ["q0", "q1"]
        _left(flow, "q0")
        _left(flow, "q1")
        assert flow.dequeue(per_key=1) == ["q2"]

    def test_what_a_dead_worker_left_is_taken_whatever_the_limits(self, flow: Flow) -> None:
        """It counts as running before and after."""
        for n in range(2):
            flow.advance(begin(flow.clock, f"dead-{n}", queue=QUEUE, limit_key="k", lease_s=1.0 + n))
        flow.queued("q0", limit_key="k")
        flow.clock.advance(2)
        none = {"concurrency": 0, "per_key": 0, "rate": 0}

        assert flow.dequeue(concurrency=2) == ["dead-0", "dead-1"]
        assert flow.dequeue(concurrency=2) == flow.dequeue(per_key=2) == []
        flow.clock.advance(LEASE_S)
        assert flow.dequeue(**none) == ["dead-0", "dead-1"]
        flow.clock.advance(LEASE_S)
        assert flow.dequeue(1, **none) == ["dead-0"]
        assert flow.dequeue(concurrency=3) == ["dead-1", "q0"]

    def test_no_more_of_a_key_run_at_once_than_the_queue_allows(self, flow: Flow) -> None:
        """The first ones of each key; those without a key are not bounded."""
        for n, key in enumerate(("a", "a", "b", "", "", "", "a", "b", "A")):
            flow.queued(f"q{n}", limit_key=key)
        flow.advance(begin(flow.clock, "r0", queue=QUEUE, limit_key="b", function="mail", lease_s=99.0))
        flow.advance(begin(flow.clock, "r1", queue="other", limit_key="a", lease_s=99.0))

        assert flow.dequeue(per_key=0) == ["q3", "q4", "q5"]
        assert flow.dequeue(per_key=1) == ["q0", "q8"]
        assert flow.dequeue(per_key=1) == []
        _left(flow, "q0", leave=Leave(to=WAITING, wake_at=flow.clock()))
        assert flow.dequeue(1, per_key=1) == ["q0"]  # by name
        assert flow.dequeue(per_key=2) == ["q1", "q2"]

    def test_no_more_are_started_in_a_time_than_the_queue_allows(self, flow: Flow) -> None:
        """To the microsecond; what became of those that were started does not matter."""
        for n in range(8):
            flow.queued(f"q{n}")
        rule: dict[str, Any] = {"rate": 2, "rate_s": 4.0}

        assert flow.dequeue(1, **rule) == ["q0"]
        flow.clock.advance(1)
        assert flow.dequeue(**rule) == ["q1"]
        _left(flow, "q0")
        assert flow.dequeue(**rule) == flow.dequeue(rate=0) == []
        flow.clock.advance(3 - 0.000001)
        assert flow.dequeue(**rule) == []
        flow.clock.advance(0.000001)
        assert flow.dequeue(**rule) == ["q2"]
        flow.clock.advance(5)
        assert flow.dequeue(**rule) == ["q3", "q4"]

    def test_going_on_is_no_start(self, flow: Flow) -> None:
        """Nor is it counted, nor does it wait for those that are."""
        for n in range(3):
            flow.queued(f"q{n}")
        rule: dict[str, Any] = {"rate": 1, "rate_s": 4.0}
        assert flow.dequeue(**rule) == ["q0"]
        _left(flow, "q0", leave=Leave(to=WAITING, wake_at=flow.clock() + timedelta(seconds=1)))
        flow.clock.advance(1)
        flow.advance(begin(flow.clock, "other", queue=QUEUE))  # who begins one to work on it starts it

        assert flow.dequeue(**rule) == ["q0"]
        _left(flow, "q0", epoch=2, leave=Leave(to=WAITING, wake_at=flow.clock()))
        flow.clock.advance(4)
        assert flow.dequeue(**rule) == ["q1", "q0"]  # what has been due longest first
        assert flow.dequeue(**rule) == []

    def test_the_limits_leave_out_one_after_the_other(self, flow: Flow) -> None:
        """Per key, then the rate, then concurrency, then what is wanted."""
        flow.queued("k0", limit_key="k", priority=9)
        flow.queued("k1", limit_key="k", priority=8)
        flow.queued("n0", priority=7)
        flow.queued("n1", priority=6)
        flow.in_status(WAITING, "w0", due_s=0, limit_key="k", priority=5)
        flow.in_status(WAITING, "w1", due_s=0, priority=4)
        flow.in_status(WAITING, "w2", due_s=0, priority=3)
        flow.queued("n2", priority=2)
        flow.advance(begin(flow.clock, "dead", queue=QUEUE, lease_s=1.0))
        flow.clock.advance(1)
        # w0, w1, w2 and the dead one were started within 2 seconds.
        rule: dict[str, Any] = {"per_key": 1, "rate": 5, "rate_s": 2.0, "concurrency": 3}

        # k1 and w0: more than one of a key; n0, n1, n2: too many starts; then two more may run.
        assert flow.dequeue(2, **rule) == ["dead", "k0"]
        assert flow.dequeue(**rule) == ["w1"]
        assert flow.dequeue(**{**rule, "concurrency": 4}) == ["w2"]
        assert flow.dequeue(**{**rule, "concurrency": 9}) == []
        assert flow.dequeue(**{**rule, "concurrency": 9, "rate": 6}) == ["n0"]
        assert flow.dequeue(**{**rule, "concurrency": 9, "rate": 6, "per_key": 3}) == ["w0"]

    def test_what_the_rate_leaves_out_had_its_place_among_its_key(self, flow: Flow) -> None:
        """One after the other: it is not given to the next one of that key."""
        flow.in_status(WAITING, "w0", due_s=0, limit_key="k")
        flow.queued("n0", limit_key="k", priority=1)

        assert flow.dequeue(per_key=1, rate=1) == []
        flow.clock.advance(1)
        assert flow.dequeue(per_key=1, rate=1) == ["n0"]

    @pytest.mark.parametrize("rule", [{}, {"concurrency": 5}, {"per_key": 1}, {"rate": 7, "rate_s": 9.0}])
    @pytest.mark.parametrize("is_dead", [False, True])
    def test_those_who_dequeue_at_once_are_never_given_the_same_one_and_keep_the_rule(
        self, flow: Flow, rule: dict[str, Any], *, is_dead: bool
    ) -> None:
        """I3: the dead ones are handed out once as well, whatever the rule."""
        for n in range(40):
            fields = {"limit_key": f"k{n % 8}", "queue": QUEUE, "owner": "a" if is_dead else ""}
            flow.advance(begin(flow.clock, f"q{n:02}", **fields))
        flow.clock.advance(LEASE_S)
        store = flow.subject.store
        ops = [dequeue(flow.clock, 1 + n % 4, owner=f"w{n}", **rule) for n in range(16)]

        async def at_once() -> list[Sequence[ExecutionRecord]]:
            return list(await asyncio.gather(*map(store.dequeue, ops)))

        given = [row for rows in flow.subject.run(at_once()) for row in rows]

        names = Counter(row.workflow_id for row in given)
        most = {} if is_dead else {"concurrency": 5, "per_key": 8, "rate": 7}
        assert set(names.values()) == {1}
        assert len(given) <= min([40, *(most[name] for name in rule if name in most)])
        assert {row.workflow_id: row for row in given} == {name: flow.row(name) for name in names}
        keys = Counter(row.limit_key for row in given)
        assert is_dead or "per_key" not in rule or set(keys.values()) == {1}
        # What was passed over, because somebody else was about to take it, is given to the next who asks.
        rest = flow.dequeue(**rule)
        assert names.keys().isdisjoint(rest)
        assert len(given) + len(rest) == min([40, *(most[name] for name in rule if name in most)])

    def test_one_that_is_dequeued_and_taken_at_once_has_one_worker(self, flow: Flow) -> None:
        """I3."""
        flow.queued()
        store = flow.subject.store

        async def at_once() -> list[object]:
            takes = [store.advance(take(flow.clock, 0, owner=f"t{n}")) for n in range(4)]
            dequeues = [store.dequeue(dequeue(flow.clock, owner=f"d{n}")) for n in range(4)]
            return list(await asyncio.gather(*takes, *dequeues))

        flow.subject.run(at_once())

        assert (flow.row().epoch, flow.row().pause) == (1, Pause.NO)
