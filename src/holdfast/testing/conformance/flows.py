"""Executions to try a store with: ops as a worker writes them, and the store driven by them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    Dequeue,
    ExecutionOp,
    ForkExecution,
    HaltExecutions,
    Leave,
    Outrun,
    Progress,
    QueueRule,
    Resealed,
    RestartExecution,
    Send,
    SteerExecution,
    Steering,
    TakeExecution,
)
from holdfast._core.execution import ExecutionRecord, Journal, StepKind, StepRecord, StepState
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery
from holdfast.testing.conformance.subject import LEASE_S, TENANT, Subject
from holdfast.testing.runtime import FakeClock

FLOW: Final = "flow-0"
QUEUE: Final = "refunds"
LONGER_S: Final = 2 * LEASE_S


def begin(clock: FakeClock, workflow_id: str = FLOW, **fields: Any) -> BeginExecution:
    """Return the op by which worker ``a`` begins an execution."""
    op = BeginExecution(
        tenant=TENANT,
        workflow_id=workflow_id,
        function="refund",
        version="v7",
        input='{"amount":100}',
        actor="agent",
        owner="a",
        lease_s=LEASE_S,
        at=clock(),
    )
    return replace(op, **fields)


def take(clock: FakeClock, epoch: int, workflow_id: str = FLOW, **fields: Any) -> TakeExecution:
    """Return the op by which worker ``b`` takes an execution that is at *epoch*."""
    op = TakeExecution(
        tenant=TENANT, workflow_id=workflow_id, epoch=epoch, owner="b", lease_s=LEASE_S, at=clock()
    )
    return replace(op, **fields)


def progress(clock: FakeClock, *steps: StepRecord, epoch: int = 1, **fields: Any) -> Progress:
    """Return the op by which the worker at *epoch* keeps *steps*."""
    op = Progress(
        tenant=TENANT, workflow_id=FLOW, epoch=epoch, lease_s=LONGER_S, at=clock(), steps=tuple(steps)
    )
    return replace(op, **fields)


def send(clock: FakeClock, told_as: str = "msg_1", **fields: Any) -> Send:
    """Return the op that sends a signal under an id."""
    op = Send(tenant=TENANT, workflow_id=FLOW, name="approved", id=told_as, body='{"by":"ops"}', at=clock())
    return replace(op, **fields)


def steer(clock: FakeClock, to: Steering, workflow_id: str = FLOW, **fields: Any) -> SteerExecution:
    """Return the op by which a person steers an execution."""
    op = SteerExecution(tenant=TENANT, workflow_id=workflow_id, to=to, reason="ops: why", at=clock())
    return replace(op, **fields)


def restart(clock: FakeClock, epoch: int = 1, keep: int = 1, **fields: Any) -> RestartExecution:
    """Return the op by which an execution that ended at *epoch* goes on from its record."""
    op = RestartExecution(tenant=TENANT, workflow_id=FLOW, epoch=epoch, keep=keep, at=clock())
    return replace(op, **fields)


def fork(clock: FakeClock, workflow_id: str = "fork-0", keep: int = 1, **fields: Any) -> ForkExecution:
    """Return the op that begins an execution from the record of another one."""
    op = ForkExecution(tenant=TENANT, workflow_id=workflow_id, source=FLOW, keep=keep, at=clock())
    return replace(op, **fields)


def resealed(journal: Journal, keep: int, **fields: Any) -> Resealed:
    """Return what a fork of *journal* has whose texts were sealed anew."""
    kept = [step for step in journal.steps if step.position is not None and step.position <= keep]
    own = Resealed(
        epoch=journal.execution.epoch,
        news=journal.execution.news,
        input=f"{journal.execution.input} ",
        steps=tuple(replace(step, args='"mine"', result=f"{step.result} ") for step in kept),
        messages=tuple(replace(message, body=f"{message.body} ") for message in journal.messages),
    )
    return replace(own, **fields)


def dequeue(clock: FakeClock, limit: int = 100, **fields: Any) -> Dequeue:
    """Return the op by which worker ``b`` takes what is due in a queue; other *fields* are its rule's."""
    own: dict[str, Any] = {
        name: fields.pop(name) for name in ("tenant", "functions", "owner", "lease_s", "at") if name in fields
    }
    op = Dequeue(
        tenant=TENANT,
        rule=QueueRule(name=fields.pop("name", QUEUE), **fields),
        functions=("refund",),
        owner="b",
        limit=limit,
        lease_s=LEASE_S,
        at=clock(),
    )
    return replace(op, **own)


def halt(clock: FakeClock, actor: str = "agent", *, is_on: bool = True, **fields: Any) -> HaltExecutions:
    """Return the op that stops an actor's executions, or lets them go on."""
    op = HaltExecutions(tenant=TENANT, actor=actor, is_on=is_on, reason="ops: stop", at=clock())
    return replace(op, **fields)


def step(clock: FakeClock, position: int | None = None, **fields: Any) -> StepRecord:
    """Return a step that has ended, or is pending without a *position*."""
    record = StepRecord(
        name="ask",
        occurrence=0,
        kind=StepKind.STEP,
        fingerprint="f0",
        state=StepState.PENDING if position is None else StepState.SUCCEEDED,
        position=position,
        attempt=1,
        started_at=clock(),
        ended_at=None if position is None else clock(),
        result=None if position is None else "1",
    )
    return replace(record, **fields)


class Flow:
    """The store under test, driven by ops on executions."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.clock = subject.clock
        self._held: dict[tuple[str, str], ExecutionRecord] = {}

    def answer(self, op: ExecutionOp) -> Advanced | Outrun:
        """Apply *op*, or not. Who holds an execution knows its row, as of what he did last."""
        place = op.tenant, op.workflow_id
        held = self._held.get(place)
        if isinstance(op, Progress) and held is not None and held.epoch == op.epoch:
            op = replace(op, known=held)
        answer = self.subject.run(self.subject.store.advance(op))
        if isinstance(answer, Advanced) and isinstance(op, BeginExecution | TakeExecution | Progress):
            self._held[place] = answer.execution
        return answer

    def advance(self, op: ExecutionOp) -> ExecutionRecord:
        """Apply *op*; return the row as it is then, which is what the store has."""
        answer = self.answer(op)
        assert isinstance(answer, Advanced)
        assert answer.now == self.clock()
        assert answer.execution == self.journal(op.workflow_id, op.tenant).execution
        return answer.execution

    def refuses(self, op: ExecutionOp) -> bool:
        """Try *op*; whether the store said what is there instead, and changed nothing."""
        before = self.known(op.workflow_id, op.tenant)
        answer = self.answer(op)
        after = self.known(op.workflow_id, op.tenant)
        found = None if before is None else before.execution
        return answer == Outrun(found=found, now=self.clock()) and before == after

    def left(self, to: WorkflowStatus, **fields: Any) -> ExecutionRecord:
        """Begin an execution whose worker has left it already."""
        self.advance(begin(self.clock))
        return self.advance(progress(self.clock, leave=Leave(to=to, **fields)))

    def queued(self, workflow_id: str = FLOW, **fields: Any) -> ExecutionRecord:
        """Begin an execution for whoever takes it from the queue."""
        return self.advance(begin(self.clock, workflow_id, **{"owner": "", "queue": QUEUE, **fields}))

    def in_status(
        self, status: WorkflowStatus, workflow_id: str = FLOW, *, due_s: float | None = None, **fields: Any
    ) -> ExecutionRecord:
        """Begin an execution and bring it into *status*, under epoch 1; due in *due_s*, if nobody has it."""
        self.advance(begin(self.clock, workflow_id, **{"queue": QUEUE, **fields}))
        if status is not WorkflowStatus.RUNNING:
            wake_at = None if due_s is None else self.clock() + timedelta(seconds=due_s)
            leave = Leave(to=status, wake_at=wake_at, waits_for="x", output="1", error="2")
            self.advance(progress(self.clock, workflow_id=workflow_id, leave=leave))
        return self.journal(workflow_id).execution

    def dequeue(self, limit: int = 100, **fields: Any) -> list[str]:
        """Take what is due in a queue; return the workflows, whose rows are as the store has them."""
        found = self.subject.run(self.subject.store.dequeue(dequeue(self.clock, limit, **fields)))
        assert [self.journal(row.workflow_id, row.tenant).execution for row in found] == list(found)
        return [row.workflow_id for row in found]

    def halt(self, actor: str = "agent", *, is_on: bool = True, **fields: Any) -> int:
        """Stop an actor's executions, or let them go on; return how many that concerned."""
        op = halt(self.clock, actor, is_on=is_on, **fields)
        return len(self.subject.run(self.subject.store.halt(op)))

    def together(self, ops: Sequence[ExecutionOp]) -> list[Advanced | Outrun]:
        """Apply *ops* at the same time."""

        async def all_of_them() -> list[Advanced | Outrun]:
            return list(await asyncio.gather(*map(self.subject.store.advance, ops)))

        return self.subject.run(all_of_them())

    def known(self, workflow_id: str = FLOW, tenant: str = TENANT, after: int = 0) -> Journal | None:
        """Return all that is known of an execution, but for its first steps."""
        return self.subject.run(self.subject.store.journal(tenant, workflow_id, after))

    def journal(self, workflow_id: str = FLOW, tenant: str = TENANT, after: int = 0) -> Journal:
        """Return all that is known of an execution, which must be there."""
        found = self.known(workflow_id, tenant, after)
        assert found is not None
        return found

    def row(self, workflow_id: str = FLOW) -> ExecutionRecord:
        """Return an execution, which must be there."""
        return self.journal(workflow_id).execution

    def listed(self, **query: Any) -> list[ExecutionRecord]:
        """Return what a query finds."""
        return list(self.subject.run(self.subject.store.executions(ExecutionQuery(tenant=TENANT, **query))))

    def names(self, **query: Any) -> list[str]:
        """Return the workflows that a query finds."""
        return [found.workflow_id for found in self.listed(**query)]
