"""Ops -> the parameters of their statements."""

from __future__ import annotations

import operator
import re
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from holdfast._core.audit import micros
from holdfast._core.change import AppendAudit, InsertEffect, MoveEffect, ReviewWorkflow
from holdfast._core.dependency import DependencyRecord, body_of
from holdfast._core.states import Event, State
from holdfast.ports import Query, Signal

_NAMED: Final = re.compile(r":([a-z_]+)")
_OPEN: Final = frozenset({State.WAITING, State.RETRYABLE, State.UNKNOWN})


class Bound:
    """A statement of the hot path, its parameters bound by position: quicker than by name."""

    def __init__(self, text: str) -> None:
        sql = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        self.sql = _NAMED.sub("?", sql)
        self._pick = operator.itemgetter(*_NAMED.findall(sql))

    def run(self, db: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
        """Execute it; whether it touched exactly one row."""
        return db.execute(self.sql, self._pick(row)).rowcount == 1


def insert_row(op: InsertEffect, now: datetime) -> dict[str, Any]:
    """Return the parameters of ``insert_effect``."""
    outcome = op.outcome
    started = micros(now)
    return {
        "tenant": op.tenant,
        "key": op.key,
        "workflow_id": op.workflow_id,
        "tool": op.tool,
        "intent": op.intent,
        "safety": op.safety,
        "fingerprint": op.fingerprint,
        "args": op.args,
        "call_id": op.call_id,
        "actor": op.actor,
        "state": op.state,
        "attempt": op.attempt,
        "owner": op.owner,
        "lease_until": started + round(op.lease_s * 1e6),
        "deadline_at": None if op.timeout_s is None else started + round(op.timeout_s * 1e6),
        "result": None if outcome is None else outcome.result,
        "result_gap": None if outcome is None else outcome.result_gap,
        "error": None if outcome is None else outcome.error,
        "observed_at": None if outcome is None else micros(op.at),
        "at": micros(op.at),
        "audit_hash": op.audit_hash,
        "external_id": None if outcome is None else outcome.external_id,
        "undoes": op.undoes,
        "dependency": None if op.admission is None else op.admission.dependency,
        "obeys": op.admission is not None and op.admission.obeys,
        "epoch": None if op.admission is None else op.admission.epoch,
        "untold": op.untold,
    }


def move_row(op: MoveEffect, now: datetime) -> dict[str, Any]:
    """Return the parameters of ``move_effect``."""
    outcome = op.outcome
    moment = micros(now)
    claims = op.owner is not None and op.lease_s is not None
    return {
        "tenant": op.tenant,
        "key": op.key,
        "frm": op.frm,
        "to": op.to,
        "fence": op.fence,
        "prev": op.prev,
        "lease_over": op.lease_over,
        "now": moment,
        "fence_step": op.event is not Event.NOTE,
        "attempt_step": op.event in {Event.CLAIM, Event.TAKE_OVER, Event.OBSERVE},
        "owner": op.owner,
        "safety": op.safety,
        "args": op.args,
        "claims": claims,
        "lease_until": None if op.lease_s is None else moment + round(op.lease_s * 1e6),
        "deadline_at": None if op.timeout_s is None else moment + round(op.timeout_s * 1e6),
        "ends_attempt": op.ends_attempt,
        "has_outcome": outcome is not None,
        "result": None if outcome is None else outcome.result,
        "result_gap": None if outcome is None else outcome.result_gap,
        "error": None if outcome is None else outcome.error,
        "at": micros(op.at),
        "audit_hash": op.audit_hash,
        "external_id": None if outcome is None else outcome.external_id,
        "uncertain": op.uncertain,
        "spent": op.spent,
        "not_before": None if op.delay_s is None else moment + round(op.delay_s * 1e6),
        "renews": op.renews,
        "unstarted": op.unstarted,
        "dependency": None if op.admission is None else op.admission.dependency,
        "obeys": op.admission is not None and op.admission.obeys,
        "epoch": None if op.admission is None else op.admission.epoch,
    }


def review_row(op: ReviewWorkflow) -> dict[str, Any]:
    """Return the parameters of ``review_workflow``."""
    return {
        "tenant": op.tenant,
        "workflow_id": op.workflow_id,
        "delta": op.delta,
        "at": micros(op.at),
        "stop": op.stop,
        "stopped_by": op.stopped_by,
        "resumes": op.resumes,
    }


def listing_of(query: Query) -> tuple[str, dict[str, Any]]:
    """Return the statement whose order *query* asks for, and whose index serves it, with its parameters."""
    parameters = {
        "tenant": query.tenant,
        "workflow_id": query.workflow_id,
        "tool": query.tool,
        "intent": query.intent,
        "state": query.state,
        "since": None if query.since is None else micros(query.since),
        "before": None if query.before is None else micros(query.before),
        "key_prefix": query.key_prefix,
        "key_end": None if query.key_prefix is None else query.key_prefix + "~",
        "external_id": query.external_id,
        "due": None if query.due is None else micros(query.due),
        "lapsed": None if query.lapsed is None else micros(query.lapsed),
        "limit": query.limit,
    }
    if query.due is not None or query.lapsed is not None:
        name = "list_due_open_effects" if query.state in _OPEN else "list_due_effects"
    elif query.external_id is not None:
        name = "list_effects_outside"
    elif query.workflow_id is not None:
        name = "list_workflow_effects"
    else:
        name = "list_open_effects" if query.state in _OPEN else "list_effects"
    return name, parameters


def dependency_row(record: DependencyRecord) -> dict[str, Any]:
    """Return the parameters of ``put_dependency``."""
    return {
        "tenant": record.tenant,
        "name": record.name,
        "version": record.version,
        "state": record.state,
        "retry_at": None if record.retry_at is None else micros(record.retry_at),
        "body": body_of(record),
        "at": micros(record.updated_at),
    }


def signal_row(signal: Signal) -> dict[str, Any]:
    """Return the parameters of ``put_signal``."""
    return {
        "tenant": signal.tenant,
        "subject": signal.subject,
        "id": signal.id,
        "outcome": signal.outcome,
        "body": signal.body,
        "received_at": micros(signal.received_at),
    }


def audit_row(op: AppendAudit) -> dict[str, Any]:
    """Return the parameters of ``append_audit``."""
    entry = op.entry
    return {
        "tenant": entry.tenant,
        "key": entry.key,
        "seq": entry.seq,
        "event": entry.event,
        "state": entry.state,
        "fence": entry.fence,
        "attempt": entry.attempt,
        "actor": entry.actor,
        "at": micros(entry.at),
        "body": entry.body,
        "salt": entry.salt,
        "content_hash": entry.content_hash,
        "prev": entry.prev,
        "hash": entry.hash,
        "keyed": entry.keyed,
    }
