"""Rows of either dialect -> nouns. The column order is that of every SELECT in queries.sql."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.audit import EPOCH, AuditEntry
from holdfast._core.dependency import DependencyRecord, record_from
from holdfast._core.execution import (
    ExecutionRecord,
    Halt,
    Message,
    Pause,
    StepKind,
    StepRecord,
    StepState,
)
from holdfast._core.model import EffectKey, Fingerprint, Record
from holdfast._core.notes import ItemRecord, MemoryKind, MemoryRecord, Section
from holdfast._core.states import Event, Safety, State, WorkflowStatus
from holdfast.ports import Signal, WorkflowRecord, WorkflowSummary

EFFECT_COLUMNS: Final = (
    "tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, "
    "attempt, owner, lease_until, deadline_at, result, result_gap, error, created_at, updated_at, "
    "observed_at, audit_seq, audit_hash, joined, uncertain, spent, retry_from, retry_since, not_before, "
    "external_id, undoes"
)
EXECUTION_COLUMNS: Final = (
    "tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, "
    "limit_key, parent, on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, "
    "pause, pause_reason, is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses"
)
STEP_COLUMNS: Final = (
    "name, occurrence, kind, fingerprint, state, position, attempt, started_at, ended_at, args, result, "
    "error, due_at, effect, child"
)
MESSAGE_COLUMNS: Final = "name, id, number, body, received_at"
HALT_COLUMNS: Final = "tenant, actor, reason, at"

APPROVAL_COLUMNS: Final = (
    "tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, "
    "notices, created_at, updated_at"
)

Moment = Callable[[Any], datetime]
_KINDS: Final = {kind.value: kind for kind in StepKind}  # a journal has thousands of them
_STATES: Final = {state.value: state for state in StepState}


def from_micros(value: int) -> datetime:
    """Return integer microseconds since 1970 (UTC) as a moment."""
    return EPOCH + timedelta(microseconds=value)


def in_utc(value: datetime) -> datetime:
    """Return a driver's own aware datetime in UTC, whatever zone the session is in."""
    return value.astimezone(UTC)


def record_of(row: Sequence[Any], moment: Moment) -> Record:
    """Return the effect in *row*."""

    def maybe(value: Any) -> datetime | None:
        return None if value is None else moment(value)

    return Record(
        tenant=row[0],
        key=EffectKey(row[1]),
        workflow_id=row[2],
        tool=row[3],
        intent=row[4],
        safety=Safety(row[5]),
        fingerprint=Fingerprint(row[6]),
        args=row[7],
        call_id=row[8],
        actor=row[9],
        state=State(row[10]),
        fence=row[11],
        attempt=row[12],
        owner=row[13],
        lease_until=moment(row[14]),
        deadline_at=maybe(row[15]),
        result=row[16],
        result_gap=row[17],
        error=row[18],
        created_at=moment(row[19]),
        updated_at=moment(row[20]),
        observed_at=maybe(row[21]),
        audit_seq=row[22],
        audit_hash=bytes(row[23]),
        joined=bool(row[24]),
        uncertain=bool(row[25]),
        spent=bool(row[26]),
        retry_from=row[27],
        retry_since=maybe(row[28]),
        not_before=maybe(row[29]),
        external_id=row[30],
        undoes=None if row[31] is None else EffectKey(row[31]),
    )


def entry_of(row: Sequence[Any], moment: Moment) -> AuditEntry:
    """Return the audit entry in *row*."""
    return AuditEntry(
        tenant=row[0],
        key=EffectKey(row[1]),
        seq=row[2],
        event=Event(row[3]),
        state=State(row[4]),
        fence=row[5],
        attempt=row[6],
        actor=row[7],
        at=moment(row[8]),
        body=row[9],
        salt=None if row[10] is None else bytes(row[10]),
        content_hash=bytes(row[11]),
        prev=bytes(row[12]),
        hash=bytes(row[13]),
        keyed=bool(row[14]),
    )


def workflow_of(row: Sequence[Any], moment: Moment) -> WorkflowRecord:
    """Return the workflow in *row*."""
    return WorkflowRecord(
        tenant=row[0],
        workflow_id=row[1],
        status=WorkflowStatus(row[2]),
        open_reviews=row[3],
        updated_at=moment(row[4]),
        stopped=row[5],
        stopped_by=None if row[6] is None else EffectKey(row[6]),
    )


def dependency_of(row: Sequence[Any], moment: Moment) -> DependencyRecord:
    """Return the dependency in *row*."""
    tenant, name, version, state, retry_at, body, updated_at = row
    due = None if retry_at is None else moment(retry_at)
    return record_from(tenant, name, version, state, due, body, moment(updated_at))


def signal_of(row: Sequence[Any], moment: Moment) -> Signal:
    """Return the signal in *row*."""
    tenant, subject, name, outcome, body, received_at = row
    return Signal(
        tenant=tenant, subject=subject, id=name, outcome=outcome, body=body, received_at=moment(received_at)
    )


def execution_of(row: Sequence[Any], moment: Moment) -> ExecutionRecord:
    """Return the execution in *row*."""

    def maybe(value: Any) -> datetime | None:
        return None if value is None else moment(value)

    return ExecutionRecord(
        tenant=row[0],
        workflow_id=row[1],
        function=row[2],
        version=row[3],
        status=WorkflowStatus(row[4]),
        input=row[5],
        output=row[6],
        error=row[7],
        actor=row[8],
        queue=row[9],
        priority=row[10],
        limit_key=row[11],
        parent=row[12],
        on_failure=row[13],
        trace=row[14],
        epoch=row[15],
        owner=row[16],
        lease_until=moment(row[17]),
        crashes=row[18],
        wake_at=maybe(row[19]),
        waits_for=row[20],
        news=row[21],
        pause=Pause(row[22]),
        pause_reason=row[23],
        is_cancelled=bool(row[24]),
        deadline_at=maybe(row[25]),
        started_at=maybe(row[26]),
        created_at=moment(row[27]),
        updated_at=moment(row[28]),
        ended_at=maybe(row[29]),
        purses=row[30],
    )


def step_of(row: Sequence[Any], moment: Moment) -> StepRecord:
    """Return the step in *row*."""
    return StepRecord(
        name=row[0],
        occurrence=row[1],
        kind=_KINDS[row[2]],
        fingerprint=row[3],
        state=_STATES[row[4]],
        position=row[5],
        attempt=row[6],
        started_at=moment(row[7]),
        ended_at=None if row[8] is None else moment(row[8]),
        args=row[9],
        result=row[10],
        error=row[11],
        due_at=None if row[12] is None else moment(row[12]),
        effect=None if row[13] is None else EffectKey(row[13]),
        child=row[14],
    )


def message_of(row: Sequence[Any], moment: Moment) -> Message:
    """Return the signal to a workflow in *row*."""
    name, told_as, number, body, received_at = row
    return Message(name=name, id=told_as, number=number, body=body, received_at=moment(received_at))


def halt_of(row: Sequence[Any], moment: Moment) -> Halt:
    """Return the halt in *row*."""
    return Halt(tenant=row[0], actor=row[1], reason=row[2], at=moment(row[3]))


def approval_of(row: Sequence[Any], moment: Moment) -> ApprovalRecord:
    """Return the approval in *row*."""
    return ApprovalRecord(
        tenant=row[0],
        id=row[1],
        key=EffectKey(row[2]),
        workflow_id=row[3],
        tool=row[4],
        number=row[5],
        state=ApprovalState(row[6]),
        version=row[7],
        digest=row[8],
        binding=row[9],
        body=row[10],
        expires_at=moment(row[11]),
        due_at=None if row[12] is None else moment(row[12]),
        notices=row[13],
        created_at=moment(row[14]),
        updated_at=moment(row[15]),
    )


def summary_of(row: Sequence[Any], moment: Moment) -> WorkflowSummary:
    """Return the workflow in a row of a list."""
    return WorkflowSummary(
        workflow_id=row[0],
        status=WorkflowStatus(row[1]),
        pause=Pause(row[2]),
        pause_reason=row[3],
        waits_for=row[4],
        open_reviews=row[5],
        stopped=row[6],
        function=row[7],
        version=row[8],
        actor=row[9],
        queue=row[10],
        is_code=bool(row[11]),
        created_at=None if row[12] is None else moment(row[12]),
        updated_at=moment(row[13]),
    )


def memory_of(row: Sequence[Any], moment: Moment) -> MemoryRecord:
    """Return the memory in *row*; its tags are a list, or one in JSON."""
    return MemoryRecord(
        tenant=row[0],
        namespace=row[1],
        id=row[2],
        kind=MemoryKind(row[3]),
        workflow_id=row[4],
        body=row[5],
        tags=tuple(json.loads(row[6]) if isinstance(row[6], str) else row[6]),
        vector=row[7],
        created_at=moment(row[8]),
        updated_at=moment(row[9]),
        expires_at=None if row[10] is None else moment(row[10]),
    )


def item_of(row: Sequence[Any], moment: Moment) -> ItemRecord:
    """Return the item of a hand-off in *row*."""
    return ItemRecord(
        id=row[0],
        section=Section(row[1]),
        rank=row[2],
        number=row[3],
        body=row[4],
        created_at=moment(row[5]),
        moved_at=moment(row[6]),
    )
