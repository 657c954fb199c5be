"""Executions to try a store with: ops as a worker writes them, and the store driven by them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    ExecutionOp,
    Leave,
    Outrun,
    Progress,
    Send,
    TakeExecution,
)
from holdfast._core.execution import ExecutionRecord, Journal, StepKind, StepRecord, StepState
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery
from holdfast.testing.conformance.subject import LEASE_S, TENANT, Subject
from holdfast.testing.runtime import FakeClock

FLOW: Final = "flow-0"
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

    def answer(self, op: ExecutionOp) -> Advanced | Outrun:
        """Apply *op*, or not."""
        return self.subject.run(self.subject.store.advance(op))

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

    def together(self, ops: Sequence[ExecutionOp]) -> list[Advanced | Outrun]:
        """Apply *ops* at the same time."""

        async def all_of_them() -> list[Advanced | Outrun]:
            return list(await asyncio.gather(*map(self.subject.store.advance, ops)))

        return self.subject.run(all_of_them())

    def known(self, workflow_id: str = FLOW, tenant: str = TENANT) -> Journal | None:
        """Return all that is known of an execution."""
        return self.subject.run(self.subject.store.journal(tenant, workflow_id))

    def journal(self, workflow_id: str = FLOW, tenant: str = TENANT) -> Journal:
        """Return all that is known of an execution, which must be there."""
        found = self.known(workflow_id, tenant)
        assert found is not None
        return found

    def listed(self, **query: Any) -> list[ExecutionRecord]:
        """Return what a query finds."""
        return list(self.subject.run(self.subject.store.executions(ExecutionQuery(tenant=TENANT, **query))))

    def names(self, **query: Any) -> list[str]:
        """Return the workflows that a query finds."""
        return [found.workflow_id for found in self.listed(**query)]
