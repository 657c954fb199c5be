"""What workers take from queues in a SQLite file, and halts. Blocking."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, Final

from holdfast._core.advance import Dequeue, HaltExecutions, bell_of_queue
from holdfast._core.audit import micros
from holdfast._core.execution import ExecutionRecord, Halt
from holdfast._core.queue import Candidate, admitted, is_full
from holdfast.errors import StoreInvariant
from holdfast.stores.rows import from_micros, halt_of
from holdfast.stores.sqlite.advance import get_execution
from holdfast.stores.sqlite.connect import translate
from holdfast.stores.sqlite.db import Database
from holdfast.stores.sqlite.execution_rows import candidate_row, halt_row

_DEQUEUE: Final = "take what is due in a queue"
_HALT: Final = "halt executions"
_HIGHEST: Final = 2**63 - 1
_LOWEST: Final = -(2**63)


def dequeue(database: Database, op: Dequeue) -> list[ExecutionRecord]:
    """See :meth:`holdfast.ports.executions.ExecutionStore.dequeue`.

    Who finds nothing takes no write lock: workers look often, and others write meanwhile.
    """
    try:
        with database.reading() as db:
            if not _chosen(db, database.sql, op, database.clock()):
                return []
        with database.writing() as db:
            now = database.clock()
            return [_take(db, database.sql, op, of, now) for of in _chosen(db, database.sql, op, now)]
    except sqlite3.Error as error:
        raise translate(error, _DEQUEUE) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise StoreInvariant(_DEQUEUE, f"{type(error).__name__}: no such value is stored") from error


def _chosen(db: sqlite3.Connection, sql: dict[str, str], op: Dequeue, now: datetime) -> list[Candidate]:
    """Return what *op* takes, in its order."""
    rule, moment = op.rule, micros(now)
    wanted: dict[str, Any] = {
        "tenant": op.tenant,
        "queue": rule.name,
        "functions": json.dumps(list(op.functions)),
        "now": moment,
        "since": moment - round(rule.rate_s * 1e6),
        "limit": op.limit,
    }
    dead = [_candidate(row) for row in db.execute(sql["list_dead_in_queue"], wanted)]
    if len(dead) >= op.limit:
        return dead
    running: dict[str, int] = {}
    if rule.per_key is not None or rule.concurrency is not None:
        running = dict(db.execute(sql["count_running_in_queue"], wanted).fetchall())
    started = 0
    if rule.rate is not None:
        [(started,)] = db.execute(sql["count_started_in_queue"], wanted).fetchall()
    # What the rate leaves out has its place among its key before that.
    wanted["may_start"] = rule.rate is None or started < rule.rate or rule.per_key is not None
    wanted["full_keys"] = json.dumps([key for key, count in running.items() if is_full(rule, key, count)])
    with closing(_due(db, sql, wanted)) as due:
        return dead + list(islice(admitted(due, rule, running, started), op.limit - len(dead)))


def _due(db: sqlite3.Connection, sql: dict[str, str], wanted: dict[str, Any]) -> Generator[Candidate]:
    """Yield what is due and not dead, in order; nothing is read ahead, so that a backlog costs nothing."""
    most = _HIGHEST
    while True:
        [(priority,)] = db.execute(sql["next_priority_in_queue"], {**wanted, "most": most}).fetchall()
        if priority is None:
            return
        with closing(db.execute(sql["list_due_in_queue"], {**wanted, "most": priority})) as rows:
            for row in rows:
                yield _candidate(row)
        if priority == _LOWEST:
            return
        most = priority - 1


def _candidate(row: tuple[Any, ...]) -> Candidate:
    return Candidate(workflow_id=row[0], epoch=row[1], limit_key=row[2], is_new=bool(row[3]))


def _take(
    db: sqlite3.Connection, sql: dict[str, str], op: Dequeue, candidate: Candidate, now: datetime
) -> ExecutionRecord:
    db.execute(sql["take_execution"], candidate_row(op, candidate, now))
    taken = get_execution(db, sql, op.tenant, candidate.workflow_id)
    if taken is None or taken.epoch != candidate.epoch + 1:  # it was chosen in this transaction
        raise StoreInvariant(_DEQUEUE, "what is due could not be taken")
    return taken


def halt(database: Database, op: HaltExecutions) -> list[str]:
    """See :meth:`holdfast.ports.executions.ExecutionStore.halt`."""
    sql = database.sql
    bells: set[str] = set()
    try:
        with database.writing() as db:
            row = halt_row(op, database.clock())
            if op.is_on:
                db.execute(sql["put_halt"], row)
                concerned = db.execute(sql["halt_executions"], row).fetchall()
            else:
                db.execute(sql["delete_halt"], row)
                concerned = db.execute(sql["unhalt_executions"], row).fetchall()
                bells = {bell_of_queue(op.tenant, queue) for _, queue, is_idle in concerned if is_idle}
    except sqlite3.Error as error:
        raise translate(error, _HALT) from error
    except UnicodeEncodeError as error:
        raise StoreInvariant(_HALT, f"{type(error).__name__}: a value cannot be stored") from error
    database.ring(sorted(bells))
    return sorted(workflow_id for workflow_id, *_ in concerned)


def halts(database: Database, tenant: str) -> list[Halt]:
    """See :meth:`holdfast.ports.executions.ExecutionStore.halts`."""
    return [halt_of(row, from_micros) for row in database.read("list_halts", {"tenant": tenant})]
