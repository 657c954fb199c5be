"""Ops on executions -> the parameters of their statements."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from holdfast._core.advance import (
    BeginExecution,
    Dequeue,
    ForkExecution,
    HaltExecutions,
    Progress,
    RestartExecution,
    Send,
    SteerExecution,
    TakeExecution,
)
from holdfast._core.audit import micros
from holdfast._core.execution import Message, StepRecord, StepState
from holdfast._core.queue import Candidate

Row = dict[str, Any]


def begin_row(op: BeginExecution, now: datetime) -> Row:
    """Return the parameters of ``begin_execution``."""
    moment = micros(now)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "function": op.function,
        "version": op.version,
        "input": op.input,
        "actor": op.actor,
        "queue": op.queue,
        "priority": op.priority,
        "limit_key": op.limit_key,
        "parent": op.parent,
        "on_failure": op.on_failure,
        "trace": op.trace,
        "owner": op.owner,
        "now": moment,
        "start_at": _maybe(op.start_at),
        "lease_until": moment + _length(op.lease_s),
        "deadline_at": None if op.deadline_s is None else moment + _length(op.deadline_s),
        "at": micros(op.at),
        "purses": op.purses,
        "fan_out": op.fan_out,
    }


def fork_row(op: ForkExecution, now: datetime) -> Row:
    """Return the parameters of ``fork_execution``, and of what follows it."""
    own = op.resealed
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "source": op.source,
        "keep": op.keep,
        "input": None if own is None else own.input,
        "epoch": None if own is None else own.epoch,
        "news": None if own is None else own.news,
        "count": None if own is None else len(own.steps),
        "now": micros(now),
        "at": micros(op.at),
    }


def restart_row(op: RestartExecution, now: datetime) -> Row:
    """Return the parameters of ``restart_execution`` and ``forget_steps``."""
    moment = micros(now)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "epoch": op.epoch,
        "keep": op.keep,
        "now": moment,
        "deadline_at": None if op.deadline_s is None else moment + _length(op.deadline_s),
        "at": micros(op.at),
    }


def take_row(op: TakeExecution, now: datetime) -> Row:
    """Return the parameters of ``take_execution``."""
    moment = micros(now)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "epoch": op.epoch,
        "owner": op.owner,
        "now": moment,
        "lease_until": moment + _length(op.lease_s),
        "at": micros(op.at),
    }


def candidate_row(op: Dequeue, candidate: Candidate, now: datetime) -> Row:
    """Return the parameters of ``take_execution`` for one that was chosen in a queue."""
    taking = TakeExecution(
        tenant=op.tenant,
        workflow_id=candidate.workflow_id,
        epoch=candidate.epoch,
        owner=op.owner,
        lease_s=op.lease_s,
        at=op.at,
    )
    return take_row(taking, now)


def progress_row(op: Progress, now: datetime) -> Row:
    """Return the parameters of ``progress``."""
    leave = op.leave
    has_end = any(step.state is not StepState.PENDING for step in op.steps)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "epoch": op.epoch,
        "now": micros(now),
        "lease_until": micros(now) + (_length(op.lease_s) if leave is None else 0),
        "at": micros(op.at),
        "leaves": leave is not None,
        "comes_further": leave is not None or has_end,
        "to": None if leave is None else leave.to,
        "seen": None if leave is None else leave.seen,
        "output": None if leave is None else leave.output,
        "error": None if leave is None else leave.error,
        "wake_at": None if leave is None else _maybe(leave.wake_at),
        "waits_for": None if leave is None else leave.waits_for,
        "pause": None if leave is None else leave.pause or None,
        "pause_reason": None if leave is None else leave.pause_reason,
    }


def message_row(op: ForkExecution, message: Message) -> Row:
    """Return the parameters of ``put_message``."""
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "id": message.id,
        "number": message.number,
        "name": message.name,
        "body": message.body,
        "received_at": micros(message.received_at),
    }


def step_row(op: Progress | ForkExecution, step: StepRecord) -> Row:
    """Return the parameters of ``keep_step``."""
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "name": step.name,
        "fingerprint": step.fingerprint,
        "occurrence": step.occurrence,
        "kind": step.kind,
        "state": step.state,
        "position": step.position,
        "attempt": step.attempt,
        "started_at": micros(step.started_at),
        "ended_at": _maybe(step.ended_at),
        "args": step.args,
        "result": step.result,
        "error": step.error,
        "due_at": _maybe(step.due_at),
        "effect": step.effect,
        "child": step.child,
    }


def send_row(op: Send, now: datetime) -> Row:
    """Return the parameters of ``send`` and ``wake_execution``."""
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "name": op.name,
        "id": op.id,
        "body": op.body,
        "now": micros(now),
        "at": micros(op.at),
    }


def steer_row(op: SteerExecution, now: datetime) -> Row:
    """Return the parameters of ``pause_execution``, ``resume_execution`` and ``cancel_execution``."""
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "reason": op.reason,
        "now": micros(now),
        "at": micros(op.at),
    }


def halt_row(op: HaltExecutions, now: datetime) -> Row:
    """Return the parameters of ``put_halt``, ``delete_halt``, and of what they do to executions."""
    return {
        "tenant": op.tenant,
        "actor": op.actor,
        "reason": op.reason,
        "now": micros(now),
        "at": micros(op.at),
    }


def _length(seconds: float) -> int:
    return round(seconds * 1e6)


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
