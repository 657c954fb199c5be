"""Executions in memory: what every store has to do, in the fewest words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast._core.execution import (
    ENDED,
    IDLE,
    Advanced,
    BeginExecution,
    ExecutionOp,
    ExecutionRecord,
    Message,
    Outrun,
    Progress,
    Send,
    StepRecord,
    StepState,
    TakeExecution,
)
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery, Lease

_Place = tuple[str, str]


class Executions:
    """Executions, their steps and their signals. Not for threads: its store holds the lock."""

    def __init__(self) -> None:
        self._rows: dict[_Place, ExecutionRecord] = {}
        self._steps: dict[_Place, dict[tuple[str, str, int], StepRecord]] = {}
        self._messages: dict[_Place, list[Message]] = {}

    def advance(self, op: ExecutionOp, now: datetime) -> Advanced | Outrun:
        """Apply *op*, if its guard holds."""
        place = op.tenant, op.workflow_id
        found = self._rows.get(place)
        match op:
            case BeginExecution():
                after = self._begun(op, now) if found is None else None
            case TakeExecution():
                after = None if found is None else _taken(found, op, now)
            case Progress():
                after = None if found is None else self._further(found, op, now)
            case Send():
                after = None if found is None else self._told(found, op, now)
        if after is None:
            return Outrun(found=found, now=now)
        self._rows[place] = after
        return Advanced(execution=after, now=now)

    def _begun(self, op: BeginExecution, now: datetime) -> ExecutionRecord:
        is_held = op.owner != ""
        return ExecutionRecord(
            tenant=op.tenant,
            workflow_id=op.workflow_id,
            function=op.function,
            version=op.version,
            status=WorkflowStatus.RUNNING if is_held else WorkflowStatus.QUEUED,
            input=op.input,
            output=None,
            error=None,
            actor=op.actor,
            epoch=1 if is_held else 0,
            owner=op.owner,
            lease_until=now + timedelta(seconds=op.lease_s if is_held else 0),
            crashes=0,
            wake_at=None if is_held else now,
            waits_for="",
            messages=0,
            is_paused=False,
            created_at=op.at,
            updated_at=op.at,
            ended_at=None,
        )

    def _further(self, found: ExecutionRecord, op: Progress, now: datetime) -> ExecutionRecord | None:
        leave = op.leave
        if (found.epoch, found.status) != (op.epoch, WorkflowStatus.RUNNING):
            return None
        if leave is not None and leave.seen is not None and leave.seen != found.messages:
            return None
        steps = self._steps.setdefault((op.tenant, op.workflow_id), {})
        steps.update((step.place, step) for step in op.steps)
        comes_further = leave is not None or any(step.state is not StepState.PENDING for step in op.steps)
        crashes = 0 if comes_further else found.crashes
        if leave is None:
            until = now + timedelta(seconds=op.lease_s)
            return replace(found, lease_until=until, crashes=crashes, updated_at=op.at)
        return replace(
            found,
            status=leave.to,
            output=leave.output,
            error=leave.error,
            owner="",
            lease_until=now,
            crashes=crashes,
            wake_at=leave.wake_at,
            waits_for=leave.waits_for,
            updated_at=op.at,
            ended_at=op.at if leave.to in ENDED else None,
        )

    def _told(self, found: ExecutionRecord, op: Send, now: datetime) -> ExecutionRecord | None:
        if found.status in ENDED:
            return None
        messages = self._messages.setdefault((op.tenant, op.workflow_id), [])
        if any(message.id == op.id for message in messages):
            return found
        number = found.messages + 1
        messages.append(Message(name=op.name, id=op.id, number=number, body=op.body, received_at=op.at))
        wake_at = now if found.status in IDLE else found.wake_at
        return replace(found, messages=number, wake_at=wake_at, updated_at=op.at)

    def renewed(self, lease: Lease, until: datetime) -> bool:
        """Extend the lease on an execution, if it is still held."""
        place = lease.tenant, lease.key
        found = self._rows.get(place)
        if found is None or (found.epoch, found.status) != (lease.fence, WorkflowStatus.RUNNING):
            return False
        self._rows[place] = replace(found, lease_until=until)
        return True

    def known(
        self, tenant: str, workflow_id: str
    ) -> tuple[ExecutionRecord, tuple[StepRecord, ...], tuple[Message, ...]] | None:
        """Return an execution with its journal."""
        place = tenant, workflow_id
        found = self._rows.get(place)
        if found is None:
            return None
        steps = sorted(
            self._steps.get(place, {}).values(),
            key=lambda step: (step.position is None, step.position or 0, step.place),
        )
        return found, tuple(steps), tuple(self._messages.get(place, ()))

    def listed(self, query: ExecutionQuery, now: datetime) -> Sequence[ExecutionRecord]:
        """Return the executions that *query* asks for."""
        rows = [row for row in self._rows.values() if _matches(query, row, now)]
        if query.is_due:
            rows.sort(key=lambda row: (row.wake_at or row.lease_until, row.workflow_id))
        else:
            rows.sort(key=lambda row: (row.updated_at, row.workflow_id), reverse=True)
        return rows[: query.limit]


def _taken(found: ExecutionRecord, op: TakeExecution, now: datetime) -> ExecutionRecord | None:
    is_dead = found.status is WorkflowStatus.RUNNING and found.lease_until <= now
    if found.epoch != op.epoch or found.is_paused or not (is_dead or found.status in IDLE):
        return None
    return replace(
        found,
        status=WorkflowStatus.RUNNING,
        epoch=found.epoch + 1,
        owner=op.owner,
        lease_until=now + timedelta(seconds=op.lease_s),
        crashes=found.crashes + is_dead,
        wake_at=None,
        waits_for="",
        updated_at=op.at,
    )


def _matches(query: ExecutionQuery, row: ExecutionRecord, now: datetime) -> bool:
    if row.tenant != query.tenant or query.workflow_id not in {None, row.workflow_id}:
        return False
    if query.status not in {None, row.status}:
        return False
    if query.functions is not None and row.function not in query.functions:
        return False
    if not query.is_due:
        return True
    is_dead = row.status is WorkflowStatus.RUNNING and row.lease_until <= now
    is_due = row.status in IDLE and row.wake_at is not None and row.wake_at <= now
    return not row.is_paused and (is_dead or is_due)
