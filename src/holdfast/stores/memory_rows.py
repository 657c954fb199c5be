"""What each op makes of an execution's row, in memory. Pure; ``None`` when its guard does not hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast._core.advance import (
    BeginExecution,
    Dequeue,
    ForkExecution,
    Progress,
    RestartExecution,
    SteerExecution,
    Steering,
    TakeExecution,
)
from holdfast._core.execution import ENDED, IDLE, ExecutionQuery, ExecutionRecord, Halt, Pause, StepState
from holdfast._core.states import WorkflowStatus


def begun(op: BeginExecution, halt: Halt | None, now: datetime) -> ExecutionRecord:
    """Return a new execution."""
    is_held = op.owner != "" and halt is None
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
        queue=op.queue,
        priority=op.priority,
        limit_key=op.limit_key,
        parent=op.parent,
        on_failure=op.on_failure,
        trace=op.trace,
        epoch=1 if is_held else 0,
        owner=op.owner if is_held else "",
        lease_until=now + timedelta(seconds=op.lease_s if is_held else 0),
        crashes=0,
        wake_at=None if is_held else op.start_at or now,
        waits_for="",
        news=0,
        pause=Pause.NO if halt is None else Pause.HALT,
        pause_reason="" if halt is None else halt.reason,
        is_cancelled=False,
        deadline_at=None if op.deadline_s is None else now + timedelta(seconds=op.deadline_s),
        started_at=now if is_held else None,
        created_at=op.at,
        updated_at=op.at,
        ended_at=None,
        purses=op.purses,
    )


def forked(source: ExecutionRecord, op: ForkExecution, halt: Halt | None, now: datetime) -> ExecutionRecord:
    """Return a new execution that goes on from the record of *source*."""
    op_of_source = BeginExecution(
        tenant=op.tenant,
        workflow_id=op.workflow_id,
        function=source.function,
        version=source.version,
        input=source.input if op.resealed is None else op.resealed.input,
        actor=source.actor,
        owner="",
        lease_s=0,
        at=op.at,
        queue=source.queue,
        priority=source.priority,
        limit_key=source.limit_key,
        on_failure=source.on_failure,
        purses=source.purses,
    )
    return replace(begun(op_of_source, halt, now), news=source.news)


def restarted(
    found: ExecutionRecord, op: RestartExecution, halt: Halt | None, now: datetime
) -> ExecutionRecord | None:
    """Return one that has ended otherwise than well as it goes on."""
    if found.epoch != op.epoch or found.status not in ENDED - {WorkflowStatus.SUCCEEDED}:
        return None
    return replace(
        found,
        status=WorkflowStatus.QUEUED,
        output=None,
        error=None,
        crashes=0,
        wake_at=now,
        waits_for="",
        pause=Pause.NO if halt is None else Pause.HALT,
        pause_reason="" if halt is None else halt.reason,
        is_cancelled=False,
        deadline_at=None if op.deadline_s is None else now + timedelta(seconds=op.deadline_s),
        updated_at=op.at,
        ended_at=None,
    )


def further(found: ExecutionRecord, op: Progress, now: datetime) -> ExecutionRecord | None:
    """Return one whose worker comes further, and holds it or leaves it."""
    leave = op.leave
    if (found.epoch, found.status) != (op.epoch, WorkflowStatus.RUNNING):
        return None
    if leave is not None and leave.seen is not None and leave.seen != found.news:
        return None
    comes_further = leave is not None or any(step.state is not StepState.PENDING for step in op.steps)
    crashes = 0 if comes_further else found.crashes
    if leave is None:
        until = found.lease_until if is_abandoned(found, now) else now + timedelta(seconds=op.lease_s)
        return replace(found, lease_until=until, crashes=crashes, updated_at=op.at)
    is_end = leave.to in ENDED
    pause, why = (leave.pause, leave.pause_reason) if leave.pause else (found.pause, found.pause_reason)
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
        pause=Pause.NO if is_end else pause,
        pause_reason=found.pause_reason if is_end else why,
        updated_at=op.at,
        ended_at=op.at if is_end else None,
    )


def is_dead(row: ExecutionRecord, now: datetime) -> bool:
    """Whether its worker's lease has run out."""
    return row.status is WorkflowStatus.RUNNING and row.lease_until <= now


def is_abandoned(row: ExecutionRecord, now: datetime) -> bool:
    """Whether its worker's lease has run out while nobody may go on with it: it has no place in its queue."""
    return row.pause is not Pause.NO and is_dead(row, now)


def is_free(row: ExecutionRecord, now: datetime) -> bool:
    """Whether somebody may work on it who does not yet."""
    return row.pause is Pause.NO and (is_dead(row, now) or row.status in IDLE)


def taken(found: ExecutionRecord, op: TakeExecution | Dequeue, now: datetime) -> ExecutionRecord:
    """Return one that is free as the worker of *op* has it."""
    return replace(
        found,
        status=WorkflowStatus.RUNNING,
        epoch=found.epoch + 1,
        owner=op.owner,
        lease_until=now + timedelta(seconds=op.lease_s),
        crashes=found.crashes + is_dead(found, now),
        wake_at=None,
        waits_for="",
        started_at=found.started_at or now,
        updated_at=op.at,
    )


def with_news(found: ExecutionRecord, at: datetime, now: datetime) -> ExecutionRecord:
    """Return one that something happened to that it may wait for."""
    wake_at = now if found.status in IDLE else found.wake_at
    return replace(found, news=found.news + 1, wake_at=wake_at, updated_at=at)


def resumed(found: ExecutionRecord, at: datetime, now: datetime) -> ExecutionRecord:
    """Return one that was paused as it goes on."""
    return replace(with_news(_queued_again(found, now), at, now), pause=Pause.NO, pause_reason="", crashes=0)


def _queued_again(found: ExecutionRecord, now: datetime) -> ExecutionRecord:
    """Return one that gave up its place as it waits for another one; any other as it is."""
    if not is_abandoned(found, now):
        return found
    return replace(found, status=WorkflowStatus.QUEUED, owner="")


def steered(found: ExecutionRecord, op: SteerExecution, now: datetime) -> ExecutionRecord | None:
    """Return one as a person wants it."""
    if found.status in ENDED:
        return None
    match op.to:
        case Steering.PAUSE:
            return replace(found, pause=Pause.PERSON, pause_reason=op.reason, updated_at=op.at)
        case Steering.RESUME:
            return resumed(found, op.at, now)
        case Steering.CANCEL:
            told = with_news(_queued_again(found, now), op.at, now)
            wanted = replace(told, pause=Pause.NO, pause_reason=op.reason, is_cancelled=True)
            if found.status not in IDLE or found.on_failure != "leave":
                return wanted
            return replace(
                wanted, status=WorkflowStatus.CANCELLED, wake_at=None, waits_for="", ended_at=op.at
            )


def matches(query: ExecutionQuery, row: ExecutionRecord, now: datetime) -> bool:
    """Whether *query* asks for it."""
    wanted: Iterable[tuple[object, object]] = (
        (query.workflow_id, row.workflow_id),
        (query.status, row.status),
        (query.queue, row.queue),
        (query.parent, row.parent),
        (query.is_paused, row.pause is not Pause.NO),
    )
    if row.tenant != query.tenant or any(want not in {None, have} for want, have in wanted):
        return False
    if query.functions is not None and row.function not in query.functions:
        return False
    if not query.is_due:
        return True
    is_due = row.wake_at is not None and row.wake_at <= now
    return is_free(row, now) and (row.status is WorkflowStatus.RUNNING or is_due)
