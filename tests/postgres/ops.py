"""Ops on executions as workers and people write them, for tests that speak to a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from holdfast._core.advance import (
    BeginExecution,
    Dequeue,
    ExecutionOp,
    ForkExecution,
    HaltExecutions,
    Leave,
    Progress,
    QueueRule,
    Resealed,
    RestartExecution,
    Send,
    SteerExecution,
    Steering,
    TakeExecution,
)
from holdfast._core.execution import StepKind, StepRecord, StepState
from holdfast._core.states import WorkflowStatus

NOW = datetime(2026, 11, 28, tzinfo=UTC)
STEP = StepRecord(
    name="ask",
    occurrence=0,
    kind=StepKind.STEP,
    fingerprint="f",
    state=StepState.SUCCEEDED,
    position=1,
    attempt=1,
    started_at=NOW,
    ended_at=NOW,
    result="1",
)
PENDING = replace(STEP, state=StepState.PENDING, position=None, ended_at=None, result=None)
BEGIN = BeginExecution(
    tenant="t",
    workflow_id="w",
    function="refund",
    version="1",
    input="{}",
    actor="a",
    owner="",
    lease_s=10.0,
    at=NOW,
    queue="q",
    limit_key="k",
)
TAKE = TakeExecution(tenant="t", workflow_id="w", epoch=0, owner="a", lease_s=10.0, at=NOW)
SEND = Send(tenant="t", workflow_id="w", name="approved", id="m1", body="1", at=NOW)
STEPS = tuple(replace(STEP, occurrence=n, position=n + 1) for n in range(50))
PROGRESS = Progress(tenant="t", workflow_id="w", epoch=1, lease_s=10.0, at=NOW, steps=STEPS)
NOTE = replace(PROGRESS, steps=(PENDING,), is_note=True)
LEAVE = replace(PROGRESS, steps=(STEP,), leave=Leave(to=WorkflowStatus.WAITING, seen=1))
PAUSE, RESUME, CANCEL = (
    SteerExecution(tenant="t", workflow_id="w", to=to, reason="ops", at=NOW) for to in Steering
)
RESTART = RestartExecution(tenant="t", workflow_id="w", epoch=1, keep=20, at=NOW)
FORK = ForkExecution(tenant="t", workflow_id="w-2", source="w", keep=20, at=NOW)
OWN = Resealed(epoch=1, news=3, input="{}", steps=STEPS[:20], messages=())
SEALED_FORK = replace(FORK, workflow_id="w-3", resealed=OWN)
LIFE: tuple[ExecutionOp, ...] = (
    *(BEGIN, TAKE, NOTE, PROGRESS, SEND, LEAVE),
    *(PAUSE, RESUME, CANCEL, RESTART, FORK, SEALED_FORK),
)
"""An execution's life, op by op: each is applied."""
HALT = HaltExecutions(tenant="t", actor="a", is_on=True, reason="ops", at=NOW)
UNHALT = replace(HALT, is_on=False)


def dequeue(limit: int = 100, owner: str = "o", **rule: int) -> Dequeue:
    """Return the op by which a worker takes what is due in the queue, within the limits of *rule*."""
    return Dequeue(
        tenant="t",
        rule=QueueRule(name="q", **rule),
        functions=("refund",),
        owner=owner,
        limit=limit,
        lease_s=10.0,
        at=NOW,
    )
