"""Executions in PostgreSQL: ops -> parameters, and what the database answers. Both stores use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, cast

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    ExecutionOp,
    ForkExecution,
    Outrun,
    Progress,
    Resealed,
    RestartExecution,
    Send,
    SteerExecution,
    TakeExecution,
    bell_of_end,
    bell_of_queue,
)
from holdfast._core.execution import (
    ENDED,
    ExecutionRecord,
    Journal,
    Message,
    Pause,
    StepRecord,
    StepState,
)
from holdfast.errors import StoreInvariant
from holdfast.ports import ExecutionQuery
from holdfast.stores.postgres.wire import effect_in, moment_of
from holdfast.stores.rows import (
    EXECUTION_COLUMNS,
    MESSAGE_COLUMNS,
    STEP_COLUMNS,
    execution_of,
    in_utc,
    message_of,
    step_of,
)

Row = dict[str, Any]
_COLUMNS: Final = tuple(EXECUTION_COLUMNS.split(", "))
_STEP: Final = tuple(STEP_COLUMNS.split(", "))
_MESSAGE: Final = tuple(MESSAGE_COLUMNS.split(", "))


def statement(op: ExecutionOp, now: datetime | None) -> tuple[str, Row]:
    """Return the name of the statement that applies *op*, and its parameters.

    Args:
        now: The time by which leases are measured; ``None`` for the database's.
    """
    name, values = _particular(op)
    values |= {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "at": op.at,
        "now": now,
        "left": bell_of_end(op.tenant, op.workflow_id),
        "due": bell_of_queue(op.tenant, ""),  # the database knows which queue
    }
    return name, values


def checked(name: str, values: Row) -> Row:
    """Return the parameters of a statement.

    Raises:
        StoreInvariant: They hold what no database text can hold.
    """
    try:
        for value in values.values():
            texts = cast("list[object]", value) if isinstance(value, list) else [value]
            for text in texts:
                _ = text.encode() if isinstance(text, str) else None
    except UnicodeEncodeError as error:
        raise StoreInvariant(name.replace("_", " "), "it holds a lone surrogate") from error
    return values


def _particular(op: ExecutionOp) -> tuple[str, Row]:
    match op:
        case BeginExecution():
            return "begin_execution", _begin(op)
        case TakeExecution():
            return "take_execution", {"epoch": op.epoch, "owner": op.owner, "lease_s": op.lease_s}
        case Progress():
            return "progress", _progress(op)
        case Send():
            return "send", {"id": op.id, "name": op.name, "body": op.body}
        case SteerExecution():
            return "steer_execution", {"to": op.to.value, "reason": op.reason}
        case RestartExecution():
            return "restart_execution", {
                "epoch": op.epoch,
                "keep": op.keep,
                "deadline_s": op.deadline_s,
            }
        case ForkExecution():
            return "fork_execution", {"source": op.source, "keep": op.keep, **_resealed(op.resealed)}


def _begin(op: BeginExecution) -> Row:
    return {
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
        "lease_s": op.lease_s,
        "start_at": op.start_at,
        "deadline_s": op.deadline_s,
        "purses": op.purses,
        "fan_out": op.fan_out,
    }


def _progress(op: Progress) -> Row:
    leave = op.leave
    steps: dict[tuple[str, str, int], Row] = {}
    for step in op.steps:  # the last of one place is kept, but what has ended by none that has not
        if step.place not in steps or step.state is not StepState.PENDING or _is_open(steps[step.place]):
            steps[step.place] = _step(step)
    has_end = any(step.state is not StepState.PENDING for step in op.steps)
    pauses = leave is not None and leave.pause
    return {
        "epoch": op.epoch,
        "is_note": op.is_note,
        "lease_s": op.lease_s if leave is None else 0.0,
        "steps": json.dumps(list(steps.values()), ensure_ascii=False),
        "leaves": leave is not None,
        "ends": leave is not None and leave.to in ENDED,
        "comes_further": leave is not None or has_end,
        "to": None if leave is None else leave.to,
        "seen": None if leave is None else leave.seen,
        "output": None if leave is None else leave.output,
        "error": None if leave is None else leave.error,
        "wake_at": None if leave is None else leave.wake_at,
        "waits_for": None if leave is None else leave.waits_for,
        "pause": leave.pause.value if leave is not None and pauses else None,
        "pause_reason": leave.pause_reason if leave is not None and pauses else None,
    }


def _resealed(own: Resealed | None) -> Row:
    if own is None:
        return dict.fromkeys(("epoch", "news", "count", "input", "steps", "messages"))
    return {
        "epoch": own.epoch,
        "news": own.news,
        "count": len(own.steps),
        "input": own.input,
        "steps": json.dumps([_step(step) for step in own.steps], ensure_ascii=False),
        "messages": json.dumps([_message(message) for message in own.messages], ensure_ascii=False),
    }


def _message(message: Message) -> Row:
    return {
        "id": message.id,
        "number": message.number,
        "name": message.name,
        "body": message.body,
        "received_at": message.received_at.isoformat(),
    }


def _is_open(step: Row) -> bool:
    return bool(step["state"] == StepState.PENDING)


def _step(step: StepRecord) -> Row:
    return {
        "name": step.name,
        "fingerprint": step.fingerprint,
        "occurrence": step.occurrence,
        "kind": step.kind,
        "state": step.state,
        "position": step.position,
        "attempt": step.attempt,
        "started_at": step.started_at.isoformat(),
        "ended_at": None if step.ended_at is None else step.ended_at.isoformat(),
        "args": step.args,
        "result": step.result,
        "error": step.error,
        "due_at": None if step.due_at is None else step.due_at.isoformat(),
        "effect": step.effect,
        "child": step.child,
    }


def step_alone(op: Progress, now: datetime | None) -> Row | None:
    """Return the parameters of ``keep_step``; ``None`` where *op* is more than one step of what goes on."""
    if op.leave is not None or len(op.steps) != 1 or op.known is None:
        return None
    [step] = op.steps
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "epoch": op.epoch,
        "is_note": op.is_note,
        "lease_s": op.lease_s,
        "comes_further": step.state is not StepState.PENDING,
        "at": op.at,
        "now": now,
        **_step(step),
    }


def kept_in(op: Progress, rows: Sequence[Sequence[Any]]) -> Advanced | None:
    """Return the answer to ``keep_step``; ``None`` when it was not applied."""
    if not rows or op.known is None:
        return None
    now, lease_until, crashes, news, pause, pause_reason, is_cancelled = rows[0]
    execution = replace(
        op.known,
        lease_until=in_utc(lease_until),
        crashes=crashes,
        news=news,
        pause=Pause(pause),
        pause_reason=pause_reason,
        is_cancelled=is_cancelled,
        updated_at=op.at,
    )
    return Advanced(execution=execution, now=in_utc(now))


def advanced_in(op: ExecutionOp, rows: Sequence[Sequence[Any]]) -> Advanced | Outrun | None:
    """Return the answer to *op*.

    ``None`` when a racing begin has won since the statement began, which does not see its row: ask again.
    """
    now, is_applied, told, _, *more = rows[0]
    found = None if told is None else execution_in(told)
    if is_applied and found is not None:
        is_new = not isinstance(op, Send) or more == [True]
        return Advanced(execution=found, now=in_utc(now), is_new=is_new)
    if isinstance(op, BeginExecution) and more != [None]:
        return Outrun(found=None, now=in_utc(now), siblings=more[0])
    has_source = isinstance(op, ForkExecution) and more == [True]
    if found is None and (isinstance(op, BeginExecution) or has_source):
        return None
    return Outrun(found=found, now=in_utc(now))


def bells_in(rows: Sequence[Sequence[Any]]) -> Sequence[str]:
    """Return what rings, of the answer to an op."""
    return tuple(rows[0][3])


def execution_in(row: Mapping[str, Any]) -> ExecutionRecord:
    """Return the execution in a row that was told in JSON."""
    return execution_of([row[name] for name in _COLUMNS], moment_of)


def journal_in(rows: Sequence[Sequence[Any]], clock: datetime | None) -> Journal | None:
    """Return the answer of ``get_journal``."""
    if not rows:
        return None
    now, execution, steps, effects, children, messages = rows[0]
    records = [effect_in(row) for row in effects or ()]
    begun = [execution_in(row) for row in children or ()]
    return Journal(
        execution=execution_in(execution),
        steps=tuple(step_of([row[name] for name in _STEP], moment_of) for row in steps or ()),
        effects={record.key: record for record in records},
        children={child.workflow_id: child for child in begun},
        messages=tuple(message_of([row[name] for name in _MESSAGE], moment_of) for row in messages or ()),
        now=clock or in_utc(now),
    )


def executions_of(query: ExecutionQuery, now: datetime | None) -> tuple[str, Row]:
    """Return the statement whose order *query* asks for, and whose index serves it, with its parameters."""
    values = {
        "tenant": query.tenant,
        "workflow_id": query.workflow_id,
        "status": query.status,
        "functions": None if query.functions is None else list(query.functions),
        "queue": query.queue,
        "parent": query.parent,
        "is_paused": query.is_paused,
        "limit": query.limit,
    }
    if query.is_due:
        return "list_due_executions", {**values, "now": now}
    return ("list_ended_executions" if query.status in ENDED else "list_executions"), values


def executions_in(rows: Sequence[Sequence[Any]]) -> list[ExecutionRecord]:
    """Return the answer of the listing statements."""
    return [execution_of(row, in_utc) for row in rows]
