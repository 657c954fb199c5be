"""Executions in a SQLite file: ops applied, journals read. Blocking."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any, Final

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    ExecutionOp,
    Outrun,
    Progress,
    Send,
    TakeExecution,
)
from holdfast._core.audit import micros
from holdfast._core.execution import ENDED, ExecutionRecord, Journal, StepRecord, StepState
from holdfast._core.model import EffectKey
from holdfast.errors import StoreInvariant
from holdfast.ports import ExecutionQuery
from holdfast.stores.rows import execution_of, from_micros, message_of, record_of, step_of
from holdfast.stores.sqlite.connect import translate
from holdfast.stores.sqlite.db import Database

_ADVANCE: Final = "advance an execution"


def advance(database: Database, op: ExecutionOp) -> Advanced | Outrun:
    """See :meth:`holdfast.ports.Store.advance`."""
    try:
        with database.writing() as db:
            now = database.clock()
            is_applied = _apply(db, database.sql, op, now)
            place = {"tenant": op.tenant, "workflow_id": op.workflow_id}
            row = db.execute(database.sql["get_execution"], place).fetchone()
    except sqlite3.Error as error:
        raise translate(error, _ADVANCE) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise StoreInvariant(_ADVANCE, f"{type(error).__name__}: a value cannot be stored") from error
    found = None if row is None else execution_of(row, from_micros)
    if isinstance(op, Send):  # one that was kept before is kept
        is_applied = found is not None and found.status not in ENDED
    if is_applied and found is not None:
        return Advanced(execution=found, now=now)
    return Outrun(found=found, now=now)


def _apply(db: sqlite3.Connection, sql: dict[str, str], op: ExecutionOp, now: datetime) -> bool:
    """Run the statements of *op*; whether the first one, which is the guarded one, changed a row."""
    match op:
        case BeginExecution():
            return db.execute(sql["begin_execution"], _begin_row(op, now)).rowcount == 1
        case TakeExecution():
            return db.execute(sql["take_execution"], _take_row(op, now)).rowcount == 1
        case Progress():
            if db.execute(sql["progress"], _progress_row(op, now)).rowcount != 1:
                return False
            db.executemany(sql["keep_step"], [_step_row(op, step) for step in op.steps])
            return True
        case Send():
            row = _send_row(op, now)
            if db.execute(sql["send"], row).rowcount != 1:
                return False
            db.execute(sql["wake_execution"], row)
            return True


def journal(database: Database, tenant: str, workflow_id: str) -> Journal | None:
    """See :meth:`holdfast.ports.Store.journal`."""
    sql = database.sql
    place = {"tenant": tenant, "workflow_id": workflow_id}
    try:
        with database.reading() as db:
            row = db.execute(sql["get_execution"], place).fetchone()
            steps = db.execute(sql["list_steps"], place).fetchall()
            effects = db.execute(sql["list_step_effects"], place).fetchall()
            messages = db.execute(sql["list_messages"], place).fetchall()
            now = database.clock()
    except sqlite3.Error as error:
        raise translate(error, "read a journal") from error
    if row is None:
        return None
    return Journal(
        execution=execution_of(row, from_micros),
        steps=tuple(step_of(step, from_micros) for step in steps),
        effects={EffectKey(effect[1]): record_of(effect, from_micros) for effect in effects},
        messages=tuple(message_of(message, from_micros) for message in messages),
        now=now,
    )


def executions(database: Database, query: ExecutionQuery) -> list[ExecutionRecord]:
    """See :meth:`holdfast.ports.Store.executions`."""
    wanted = {
        "tenant": query.tenant,
        "workflow_id": query.workflow_id,
        "status": query.status,
        "functions": None if query.functions is None else json.dumps(list(query.functions)),
        "is_due": query.is_due,
        "now": micros(database.clock()),
        "limit": query.limit,
    }
    if query.workflow_id is not None:
        name = "list_one_execution"
    elif query.is_due:
        name = "list_due_executions"
    else:
        name = "list_ended_executions" if query.status in ENDED else "list_executions"
    return [execution_of(row, from_micros) for row in database.read(name, wanted)]


def _begin_row(op: BeginExecution, now: datetime) -> dict[str, Any]:
    moment = micros(now)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "function": op.function,
        "version": op.version,
        "input": op.input,
        "actor": op.actor,
        "owner": op.owner,
        "now": moment,
        "lease_until": moment + round(op.lease_s * 1e6),
        "at": micros(op.at),
    }


def _take_row(op: TakeExecution, now: datetime) -> dict[str, Any]:
    moment = micros(now)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "epoch": op.epoch,
        "owner": op.owner,
        "now": moment,
        "lease_until": moment + round(op.lease_s * 1e6),
        "at": micros(op.at),
    }


def _progress_row(op: Progress, now: datetime) -> dict[str, Any]:
    leave = op.leave
    has_end = any(step.state is not StepState.PENDING for step in op.steps)
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "epoch": op.epoch,
        "lease_until": micros(now) + (round(op.lease_s * 1e6) if leave is None else 0),
        "at": micros(op.at),
        "leaves": leave is not None,
        "comes_further": leave is not None or has_end,
        "to": None if leave is None else leave.to,
        "seen": None if leave is None else leave.seen,
        "output": None if leave is None else leave.output,
        "error": None if leave is None else leave.error,
        "wake_at": None if leave is None else _maybe(leave.wake_at),
        "waits_for": None if leave is None else leave.waits_for,
    }


def _step_row(op: Progress, step: StepRecord) -> dict[str, Any]:
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
    }


def _send_row(op: Send, now: datetime) -> dict[str, Any]:
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "name": op.name,
        "id": op.id,
        "body": op.body,
        "now": micros(now),
        "at": micros(op.at),
    }


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
