"""The part of the store contract that is about what is paused, or halted, while its worker is dead."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

import pytest

from holdfast._core.advance import Leave, Steering
from holdfast._core.execution import ExecutionRecord, Pause
from holdfast._core.states import WorkflowStatus
from holdfast.ports import Lease
from holdfast.testing.conformance.flows import (
    FLOW,
    QUEUE,
    Flow,
    begin,
    dequeue,
    progress,
    steer,
    step,
    take,
)
from holdfast.testing.conformance.random_changes import renewed
from holdfast.testing.conformance.subject import LEASE_S, TENANT

LIMITS: Final[list[dict[str, int]]] = [{"concurrency": 1}, {"per_key": 1}]
STOPS: Final = ("pause", "halt")


def _stop(flow: Flow, how: str, name: str = FLOW) -> None:
    if how == "halt":
        flow.halt()
    else:
        flow.advance(steer(flow.clock, Steering.PAUSE, name))


def _let_go_on(flow: Flow, how: str, name: str = FLOW) -> None:
    if how == "halt":
        flow.halt(is_on=False)
    else:
        flow.advance(steer(flow.clock, Steering.RESUME, name))


def _abandoned(flow: Flow, how: str = "pause") -> ExecutionRecord:
    """Let the worker of an execution die while it is stopped; another one waits for its place."""
    flow.advance(begin(flow.clock, queue=QUEUE, limit_key="k"))
    _stop(flow, how)
    flow.queued("next", limit_key="k", actor="other")
    flow.clock.advance(LEASE_S)
    return flow.row()


class AbandonedContract:
    """What :class:`holdfast.ports.Store` promises a queue of those that nobody may take over, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("rule", LIMITS, ids=str)
    @pytest.mark.parametrize("how", STOPS)
    def test_what_is_stopped_has_its_place_until_its_lease_ends_and_not_after(
        self, flow: Flow, how: str, rule: dict[str, int]
    ) -> None:
        """DUR-13: its worker may be at it until then, and nobody is after that."""
        flow.advance(begin(flow.clock, queue=QUEUE, limit_key="k"))
        _stop(flow, how)
        flow.queued("next", limit_key="k", actor="other")
        flow.clock.advance(LEASE_S - 0.000001)
        before = flow.dequeue(**rule)
        flow.clock.advance(0.000001)

        assert before == []
        assert flow.dequeue(**rule) == ["next"]
        assert flow.dequeue(**rule) == []

    @pytest.mark.parametrize("rule", LIMITS, ids=str)
    @pytest.mark.parametrize("how", STOPS)
    def test_what_is_stopped_after_its_worker_died_gives_up_its_place(
        self, flow: Flow, how: str, rule: dict[str, int]
    ) -> None:
        """DUR-13."""
        flow.advance(begin(flow.clock, queue=QUEUE, limit_key="k"))
        flow.queued("next", limit_key="k", actor="other")
        flow.clock.advance(LEASE_S)
        _stop(flow, how)

        assert flow.dequeue(**rule) == ["next"]

    @pytest.mark.parametrize("rule", LIMITS, ids=str)
    @pytest.mark.parametrize("how", STOPS)
    def test_what_gave_up_its_place_waits_for_one_when_it_goes_on(
        self, flow: Flow, how: str, rule: dict[str, int]
    ) -> None:
        """DUR-13: as any other does; its death is no crash then."""
        before = _abandoned(flow, how)
        taken = flow.dequeue(**rule)
        flow.clock.advance(1)

        _let_go_on(flow, how)

        assert taken == ["next"]
        assert flow.row() == replace(
            before,
            status=WorkflowStatus.QUEUED,
            owner="",
            wake_at=flow.clock(),
            news=1,
            pause=Pause.NO,
            pause_reason="",
            updated_at=flow.clock(),
        )
        assert flow.dequeue(**rule) == []
        flow.advance(progress(flow.clock, workflow_id="next", leave=Leave(to=WorkflowStatus.SUCCEEDED)))
        assert flow.dequeue(**rule) == [FLOW]
        assert (flow.row().epoch, flow.row().crashes) == (2, 0)

    @pytest.mark.parametrize("on_failure", ["leave", "compensate"])
    def test_what_gave_up_its_place_waits_for_one_to_be_cancelled(self, flow: Flow, on_failure: str) -> None:
        """DUR-13: whoever takes it ends it."""
        flow.advance(begin(flow.clock, queue=QUEUE, on_failure=on_failure))
        flow.advance(steer(flow.clock, Steering.PAUSE))
        flow.queued("next")
        flow.clock.advance(LEASE_S)
        before, taken = flow.row(), flow.dequeue(concurrency=1)

        after = flow.advance(steer(flow.clock, Steering.CANCEL))

        assert taken == ["next"]
        assert after == replace(
            before,
            status=WorkflowStatus.QUEUED,
            owner="",
            wake_at=flow.clock(),
            news=1,
            pause=Pause.NO,
            pause_reason="ops: why",
            is_cancelled=True,
            updated_at=flow.clock(),
        )
        assert flow.dequeue(concurrency=1) == []
        assert flow.dequeue(concurrency=2) == [FLOW]

    @pytest.mark.parametrize("how", STOPS)
    def test_what_goes_on_before_its_lease_ends_keeps_its_place_and_its_worker(
        self, flow: Flow, how: str
    ) -> None:
        before = flow.advance(begin(flow.clock, queue=QUEUE))
        _stop(flow, how)
        flow.queued("next", actor="other")
        flow.clock.advance(LEASE_S - 0.000001)

        _let_go_on(flow, how)

        assert flow.row() == replace(before, news=1, updated_at=flow.clock())
        assert flow.dequeue(concurrency=1) == []
        flow.clock.advance(0.000001)
        assert flow.dequeue(concurrency=1) == [FLOW]

    @pytest.mark.parametrize("how", STOPS)
    def test_nobody_has_a_place_again_that_was_given_away(self, flow: Flow, how: str) -> None:
        """I3: a slow worker neither renews its lease nor holds it by what it writes, which is kept."""
        before, first = _abandoned(flow, how), step(flow.clock, 1)
        lease = Lease(TENANT, FLOW, before.epoch, is_execution=True)

        assert renewed(flow.subject.store, [lease]) == set()
        held = flow.advance(progress(flow.clock, first))

        assert held == replace(before, updated_at=flow.clock())
        assert flow.journal().steps == (first,)
        assert flow.dequeue(concurrency=1) == ["next"]
        left = flow.advance(progress(flow.clock, leave=Leave(to=WorkflowStatus.WAITING)))
        assert (left.status, left.owner) == (WorkflowStatus.WAITING, "")

    def test_a_slow_worker_of_what_is_not_stopped_has_its_lease_again(self, flow: Flow) -> None:
        """Nobody has its place until somebody takes it over."""
        flow.advance(begin(flow.clock, queue=QUEUE))
        flow.clock.advance(LEASE_S)
        lease = Lease(TENANT, FLOW, 1, is_execution=True)

        assert renewed(flow.subject.store, [lease]) == {lease}
        assert flow.dequeue() == []

    @pytest.mark.parametrize("how", STOPS)
    def test_whoever_had_what_waits_again_writes_nothing_more(self, flow: Flow, how: str) -> None:
        """I3: from the moment that it may go on."""
        _abandoned(flow, how)
        _let_go_on(flow, how)

        assert flow.refuses(progress(flow.clock, step(flow.clock, 1)))
        assert flow.refuses(progress(flow.clock, leave=Leave(to=WorkflowStatus.SUCCEEDED)))
        assert flow.journal().steps == ()
        assert flow.advance(take(flow.clock, 1)).epoch == 2

    def test_of_what_is_stopped_only_the_dead_give_up_their_places(self, flow: Flow) -> None:
        """DUR-13: key by key."""
        for n in range(4):
            flow.advance(begin(flow.clock, f"r{n}", queue=QUEUE, limit_key=f"k{n % 2}", lease_s=1.0 + n % 3))
        flow.halt()
        for n in range(8):
            flow.queued(f"q{n}", limit_key=f"k{n % 2}", actor="other")
        flow.clock.advance(2)  # r0, r3 and r1 are dead; r2, of k0, is not

        assert flow.dequeue(1, per_key=1) == ["q1"]
        assert flow.dequeue(per_key=1) == []
        assert flow.dequeue(concurrency=4) == ["q0", "q2"]
        assert flow.dequeue(concurrency=4) == []

    @pytest.mark.parametrize("rule", [{"concurrency": 3}, {"per_key": 1}], ids=str)
    def test_of_those_who_take_and_those_who_let_go_on_none_exceeds_a_limit(
        self, flow: Flow, rule: dict[str, Any]
    ) -> None:
        """DUR-13: at once, again and again; what goes on waits for its turn."""
        for n in range(3):
            flow.advance(begin(flow.clock, f"r{n}", queue=QUEUE, limit_key=f"k{n}"))
        flow.halt()
        for n in range(6):
            flow.queued(f"q{n}", limit_key=f"k{n % 3}", actor="other")
        flow.clock.advance(LEASE_S)
        store = flow.subject.store

        async def at_once() -> None:
            takes = [store.dequeue(dequeue(flow.clock, 2, owner=f"w{n}", **rule)) for n in range(6)]
            resumes = [store.advance(steer(flow.clock, Steering.RESUME, f"r{n}")) for n in range(3)]
            await asyncio.gather(*takes[:3], *resumes, *takes[3:])

        flow.subject.run(at_once())
        flow.dequeue(**rule)

        alive = [row for row in flow.listed(status=WorkflowStatus.RUNNING) if row.lease_until > flow.clock()]
        assert len(alive) == len(flow.names(status=WorkflowStatus.RUNNING)) == 3
        assert len({row.limit_key for row in alive}) == 3 or "per_key" not in rule
