"""Ops on executions in a SQLite file, each applied wholly or not at all. Blocking."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Final

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    ExecutionOp,
    ForkExecution,
    Outrun,
    Progress,
    RestartExecution,
    Send,
    SteerExecution,
    Steering,
    TakeExecution,
    bells_of,
)
from holdfast._core.execution import ENDED, ExecutionRecord
from holdfast.errors import StoreInvariant
from holdfast.stores.rows import execution_of, from_micros
from holdfast.stores.sqlite.connect import translate
from holdfast.stores.sqlite.db import Database
from holdfast.stores.sqlite.execution_rows import (
    Row,
    begin_row,
    fork_row,
    message_row,
    progress_row,
    restart_row,
    send_row,
    steer_row,
    step_row,
    take_row,
)

_ADVANCE: Final = "advance an execution"
_STEERED: Final = {
    Steering.PAUSE: "pause_execution",
    Steering.RESUME: "resume_execution",
    Steering.CANCEL: "cancel_execution",
}


def advance(database: Database, op: ExecutionOp) -> Advanced | Outrun:
    """See :meth:`holdfast.ports.executions.ExecutionStore.advance`."""
    try:
        with database.writing(lazily=isinstance(op, Progress) and op.is_note) as db:
            now = database.clock()
            is_applied = is_new = _apply(db, database.sql, op, now)
            found = get_execution(db, database.sql, op.tenant, op.workflow_id)
            siblings = None if is_applied or found is not None else _siblings(db, database.sql, op)
            bells: list[str] = []
            if isinstance(op, Send):  # one that was kept before is kept
                is_applied = found is not None and found.status not in ENDED
            if is_applied and found is not None:
                bells = bells_of(op, found, now)
                if found.status in ENDED and found.parent != "":
                    bells += database.wake(db, op.tenant, found.parent, op.at, now)
    except sqlite3.Error as error:
        raise translate(error, _ADVANCE) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise StoreInvariant(_ADVANCE, f"{type(error).__name__}: a value cannot be stored") from error
    database.ring(bells)
    if is_applied and found is not None:
        return Advanced(execution=found, now=now, is_new=is_new)
    return Outrun(found=found, now=now, siblings=siblings)


def get_execution(
    db: sqlite3.Connection, sql: dict[str, str], tenant: str, workflow_id: str
) -> ExecutionRecord | None:
    """Return an execution as it is in the transaction that is open."""
    row = db.execute(sql["get_execution"], {"tenant": tenant, "workflow_id": workflow_id}).fetchone()
    return None if row is None else execution_of(row, from_micros)


def _apply(db: sqlite3.Connection, sql: dict[str, str], op: ExecutionOp, now: datetime) -> bool:
    """Run the statements of *op*; whether the first one, which is the guarded one, changed a row."""
    row, (first, *others) = _statements(op, now)
    if db.execute(sql[first], row).rowcount != 1:
        return False
    for name in others:
        db.execute(sql[name], row)
    if isinstance(op, Progress):
        db.executemany(sql["keep_step"], [step_row(op, step) for step in op.steps])
    if isinstance(op, ForkExecution) and op.resealed is not None:
        db.executemany(sql["keep_step"], [step_row(op, step) for step in op.resealed.steps])
        db.executemany(sql["put_message"], [message_row(op, message) for message in op.resealed.messages])
    return True


def _siblings(db: sqlite3.Connection, sql: dict[str, str], op: ExecutionOp) -> int | None:
    """Return how many children of its parent leave no room for the execution that *op* begins."""
    if not isinstance(op, BeginExecution) or op.fan_out is None or op.parent == "":
        return None
    row = db.execute(sql["count_siblings"], {"tenant": op.tenant, "parent": op.parent}).fetchone()
    return int(row[0])


def _statements(op: ExecutionOp, now: datetime) -> tuple[Row, tuple[str, ...]]:
    """Return the parameters that the statements of *op* share, and their names."""
    match op:
        case BeginExecution():
            return begin_row(op, now), ("begin_execution",)
        case TakeExecution():
            return take_row(op, now), ("take_execution",)
        case Progress():
            return progress_row(op, now), ("progress",)
        case SteerExecution():
            return steer_row(op, now), (_STEERED[op.to],)
        case Send():
            return send_row(op, now), ("send", "wake_execution")
        case RestartExecution():
            return restart_row(op, now), ("restart_execution", "forget_steps")
        case ForkExecution():
            copies = ("fork_steps", "fork_messages") if op.resealed is None else ()
            return fork_row(op, now), ("fork_execution", *copies)
