"""Sequences of ops on executions, timely and stale, for comparing a store with the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from holdfast._core.advance import Advanced, ExecutionOp, Leave, TakeExecution
from holdfast._core.execution import StepRecord
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.flows import begin, progress, send, step, take
from holdfast.testing.conformance.random_changes import renewed
from holdfast.testing.conformance.subject import LEASE_S, Subject

_FLOWS: Final = ("flow-0", "flow-1")
_FUNCTIONS: Final = ("mail", "refund")
_DO: Final = ("begin", *["take"] * 2, *["progress"] * 5, *["send"] * 2, "renew", "look")
_TEXTS: Final = st.none() | st.sampled_from(("null", '"ü\\u0000\\ud83d"', "9007199254740993"))


@dataclass(slots=True)
class FlowTrial:
    """One tenant on the store under test and on the oracle."""

    subject: Subject
    oracle: MemoryStore
    tenant: str

    def step(self, data: st.DataObject) -> None:
        """Do one random thing to both stores; they must answer alike."""
        self.subject.clock.advance(data.draw(st.sampled_from([0.0, 0.000001, 4.0, LEASE_S]), label="time"))
        match data.draw(st.sampled_from(_DO), label="what"):
            case "renew":
                self._renew(data)
            case "look":
                self._look(data)
            case what:
                op = self._op(data, what)
                answer = self.subject.run(self.subject.store.advance(op))
                assert answer == self.subject.run(self.oracle.advance(op))
                if isinstance(op, TakeExecution) and isinstance(answer, Advanced):
                    assert answer.execution.epoch == op.epoch + 1

    def journals_agree(self) -> None:
        """Both stores hold the same."""
        run = self.subject.run
        for name in _FLOWS:
            mine = run(self.subject.store.journal(self.tenant, name))
            assert mine == run(self.oracle.journal(self.tenant, name))

    def _epoch(self, data: st.DataObject, name: str) -> int:
        """Return the epoch that is on record, now and then another one."""
        known = self.subject.run(self.oracle.journal(self.tenant, name))
        epoch = 0 if known is None else known.execution.epoch
        return epoch + data.draw(st.sampled_from([0, 0, 0, 0, -1, 1]), label="stale")

    def _op(self, data: st.DataObject, what: str) -> ExecutionOp:
        clock = self.subject.clock
        name = data.draw(st.sampled_from([_FLOWS[0], *_FLOWS]), label="workflow")
        place: dict[str, Any] = {"tenant": self.tenant, "workflow_id": name}
        match what:
            case "begin":
                owner = data.draw(st.sampled_from(["", "a"]), label="owner")
                function = data.draw(st.sampled_from(_FUNCTIONS), label="function")
                return begin(clock, owner=owner, function=function, **place)
            case "take":
                return take(clock, self._epoch(data, name), **place)
            case "send":
                return send(clock, data.draw(st.sampled_from(["m1", "m2", "m10"]), label="message"), **place)
            case _:
                steps = [self._step(data) for _ in range(data.draw(st.integers(0, 3), label="steps"))]
                leave = self._leave(data) if data.draw(st.booleans(), label="leaves") else None
                return progress(clock, *steps, epoch=self._epoch(data, name), leave=leave, **place)

    def _step(self, data: st.DataObject) -> StepRecord:
        return step(
            self.subject.clock,
            data.draw(st.none() | st.integers(1, 12), label="position"),
            name=data.draw(st.sampled_from(["a", "B", "ä"]), label="name"),
            occurrence=data.draw(st.integers(0, 2), label="occurrence"),
            args=data.draw(_TEXTS, label="args"),
        )

    def _leave(self, data: st.DataObject) -> Leave:
        due_s = data.draw(st.none() | st.sampled_from([0.0, 4.0, 9.0]), label="due")
        return Leave(
            to=data.draw(st.sampled_from([*WorkflowStatus, *[WorkflowStatus.WAITING] * 6]), label="to"),
            seen=data.draw(st.none() | st.integers(0, 3), label="seen"),
            output=data.draw(_TEXTS, label="output"),
            error=data.draw(_TEXTS, label="error"),
            wake_at=None if due_s is None else self.subject.clock() + timedelta(seconds=due_s),
            waits_for=data.draw(st.sampled_from(["", "a person"]), label="waits for"),
        )

    def _renew(self, data: st.DataObject) -> None:
        leases = [Lease(self.tenant, name, self._epoch(data, name), is_execution=True) for name in _FLOWS]
        assert renewed(self.subject.store, leases) == self.oracle.renew(leases, LEASE_S)

    def _look(self, data: st.DataObject) -> None:
        query = ExecutionQuery(
            tenant=self.tenant,
            workflow_id=data.draw(st.none() | st.sampled_from(_FLOWS), label="workflow"),
            status=data.draw(st.none() | st.sampled_from(WorkflowStatus), label="status"),
            functions=data.draw(st.none() | st.lists(st.sampled_from(_FUNCTIONS)), label="functions"),
            is_due=data.draw(st.booleans(), label="due"),
            limit=data.draw(st.integers(1, 2), label="limit"),
        )
        mine = list(self.subject.run(self.subject.store.executions(query)))
        assert mine == list(self.subject.run(self.oracle.executions(query)))
