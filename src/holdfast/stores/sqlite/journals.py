"""Journals and listings of executions in a SQLite file. Blocking."""

from __future__ import annotations

import json
import sqlite3

from holdfast._core.audit import micros
from holdfast._core.execution import ENDED, ExecutionRecord, Journal
from holdfast._core.model import EffectKey
from holdfast.ports import ExecutionQuery
from holdfast.stores.rows import execution_of, from_micros, message_of, record_of, step_of
from holdfast.stores.sqlite.connect import translate
from holdfast.stores.sqlite.db import Database


def journal(database: Database, tenant: str, workflow_id: str, after: int) -> Journal | None:
    """See :meth:`holdfast.ports.executions.ExecutionStore.journal`."""
    sql = database.sql
    place = {"tenant": tenant, "workflow_id": workflow_id, "after": after}
    try:
        with database.reading() as db:
            row = db.execute(sql["get_execution"], place).fetchone()
            steps = db.execute(sql["list_steps"], place).fetchall()
            effects = db.execute(sql["list_step_effects"], place).fetchall()
            children = db.execute(sql["list_step_children"], place).fetchall()
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
        children={child[1]: execution_of(child, from_micros) for child in children},
        messages=tuple(message_of(message, from_micros) for message in messages),
        now=now,
    )


def executions(database: Database, query: ExecutionQuery) -> list[ExecutionRecord]:
    """See :meth:`holdfast.ports.executions.ExecutionStore.executions`."""
    wanted = {
        "tenant": query.tenant,
        "workflow_id": query.workflow_id,
        "status": query.status,
        "functions": None if query.functions is None else json.dumps(list(query.functions)),
        "queue": query.queue,
        "parent": query.parent,
        "is_paused": query.is_paused,
        "is_due": query.is_due,
        "now": micros(database.clock()),
        "limit": query.limit,
    }
    if query.workflow_id is not None:
        name = "list_one_execution"
    elif query.is_due:
        name = "list_due_executions"
    elif query.parent:
        name = "list_children"
    else:
        name = "list_ended_executions" if query.status in ENDED else "list_executions"
    return [execution_of(row, from_micros) for row in database.read(name, wanted)]
