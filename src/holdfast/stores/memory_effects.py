"""What each op makes of an effect's row, in memory. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from holdfast._core.change import InsertEffect, MoveEffect
from holdfast._core.model import Record
from holdfast._core.states import Event
from holdfast.ports import Query


def inserted(op: InsertEffect, now: datetime) -> Record:
    """Return a new effect."""
    outcome = op.outcome
    return Record(
        tenant=op.tenant,
        key=op.key,
        workflow_id=op.workflow_id,
        tool=op.tool,
        intent=op.intent,
        safety=op.safety,
        fingerprint=op.fingerprint,
        args=op.args,
        call_id=op.call_id,
        actor=op.actor,
        state=op.state,
        fence=1,
        attempt=op.attempt,
        owner=op.owner,
        lease_until=now + timedelta(seconds=op.lease_s),
        deadline_at=None if op.timeout_s is None else now + timedelta(seconds=op.timeout_s),
        result=None if outcome is None else outcome.result,
        result_gap=None if outcome is None else outcome.result_gap,
        error=None if outcome is None else outcome.error,
        created_at=op.at,
        updated_at=op.at,
        observed_at=None if outcome is None else op.at,
        audit_seq=1,
        audit_hash=op.audit_hash,
        external_id=None if outcome is None else outcome.external_id,
        undoes=op.undoes,
    )


def guard_holds(op: MoveEffect, record: Record, now: datetime) -> bool:
    """I3: state, fence and the end of the audit trail are what the writer saw."""
    return (
        record.state is op.frm
        and record.fence == op.fence
        and record.audit_hash == op.prev
        and (not op.lease_over or record.lease_until <= now)
    )


def moved(op: MoveEffect, record: Record, now: datetime) -> Record:
    """Return the effect as it is after *op*."""
    moved = replace(
        record,
        state=op.to,
        fence=record.fence + (op.event is not Event.NOTE),
        attempt=record.attempt + (op.event in {Event.CLAIM, Event.TAKE_OVER, Event.OBSERVE}),
        updated_at=op.at,
        audit_seq=record.audit_seq + 1,
        audit_hash=op.audit_hash,
        joined=record.joined if op.event is Event.NOTE else False,
    )
    if op.owner is not None and op.lease_s is not None:
        moved = replace(
            moved,
            owner=op.owner,
            safety=op.safety or record.safety,
            lease_until=now + timedelta(seconds=op.lease_s),
            deadline_at=None if op.timeout_s is None else now + timedelta(seconds=op.timeout_s),
        )
    if op.event is not Event.NOTE or op.delay_s is not None:
        due = None if op.delay_s is None else now + timedelta(seconds=op.delay_s)
        moved = replace(moved, not_before=due)
    if op.uncertain is not None:
        moved = replace(moved, uncertain=op.uncertain)
    if op.spent is not None:
        moved = replace(moved, spent=op.spent)
    if op.args is not None:
        moved = replace(moved, args=op.args)
    if op.renews:
        moved = replace(moved, retry_from=moved.attempt, retry_since=op.at)
    elif op.unstarted:
        moved = replace(moved, retry_from=moved.retry_from + 1)
    if op.ends_attempt:
        moved = replace(moved, deadline_at=max(record.deadline_at or now, now))
    if op.outcome is not None:
        moved = replace(
            moved,
            result=op.outcome.result,
            result_gap=op.outcome.result_gap,
            error=op.outcome.error,
            observed_at=op.at,
            external_id=moved.external_id if op.outcome.external_id is None else op.outcome.external_id,
        )
    return moved


def matches(query: Query, record: Record) -> bool:
    """Whether *query* asks for it."""
    return (
        record.tenant == query.tenant
        and query.workflow_id in {None, record.workflow_id}
        and query.tool in {None, record.tool}
        and query.intent in {None, record.intent}
        and query.state in {None, record.state}
        and query.external_id in {None, record.external_id}
        and (query.due is None or record.not_before is None or record.not_before <= query.due)
        and (query.lapsed is None or record.lease_until <= query.lapsed)
        and (query.since is None or record.created_at >= query.since)
        and (query.before is None or record.updated_at < query.before)
        and (query.key_prefix is None or record.key.startswith(query.key_prefix))
    )
