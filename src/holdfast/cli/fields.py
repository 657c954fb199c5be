"""What ``--json`` prints, noun by noun. A contract: fields are added, never renamed or removed.

Payloads are shown without what sits under a telltale name (``password``, ``token`` ...).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast._core.model import Failure
from holdfast._core.redact import redact_names
from holdfast._core.states import State
from holdfast.cli.output import iso
from holdfast.errors import AttemptInfo
from holdfast.ledger import (
    AuditEvent,
    DependencyState,
    EffectFate,
    EffectRecord,
    Execution,
    WorkflowEvent,
    WorkflowStep,
)
from holdfast.ports import WorkflowRecord


def effect_fields(record: EffectRecord) -> dict[str, Any]:
    """Return an effect."""
    error = record.error
    return {
        "key": record.key,
        "tenant": record.tenant,
        "workflow_id": record.workflow_id,
        "tool": record.tool,
        "intent": record.intent,
        "safety": record.safety,
        "state": record.state,
        "attempt": record.attempt,
        "actor": record.actor,
        "call_id": record.call_id,
        "fingerprint": record.fingerprint,
        "args": _plain(record.args),
        "result": redact_names(record.result),
        "result_gap": record.result_gap,
        "error": None if error is None else _error_fields(error),
        "lease_until": iso(record.lease_until) if record.state is State.PENDING else None,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
        "observed_at": iso(record.observed_at),
        "spent": record.spent,
        "retry_at": iso(record.retry_at),
        "uncertain": record.uncertain,
        "external_id": record.external_id,
        "undoes": record.undoes,
    }


def _error_fields(error: Failure) -> dict[str, Any]:
    return {
        "type": error.type,
        "message": error.message,
        "kind": error.kind or None,
        "status": error.status,
    }


def attempt_fields(attempt: AttemptInfo) -> dict[str, Any]:
    """Return one execution."""
    return {
        "number": attempt.number,
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "outcome": attempt.outcome,
        "error": attempt.error,
        "fault": attempt.fault,
        "delay_s": attempt.delay_s,
    }


def story_fields(event: AuditEvent) -> dict[str, Any]:
    """Return one line of an effect's story."""
    return {
        "seq": event.seq,
        "at": iso(event.at),
        "event": event.event,
        "state": event.state,
        "actor": event.actor,
        "attempt": event.attempt,
        "fence": event.fence,
        "note": event.note,
        "details": _plain(event.details),
        "hash": event.hash,
    }


def workflow_fields(workflow: WorkflowRecord) -> dict[str, Any]:
    """Return a workflow, without its effects."""
    return {
        "workflow_id": workflow.workflow_id,
        "tenant": workflow.tenant,
        "status": workflow.status,
        "open_reviews": workflow.open_reviews,
        "stopped": workflow.stopped,
        "stopped_by": workflow.stopped_by,
        "updated_at": iso(workflow.updated_at),
    }


def dependency_fields(dependency: DependencyState, *, tenant: str) -> dict[str, Any]:
    """Return a system that tools depend on."""
    return {
        "name": dependency.name,
        "tenant": tenant,
        "state": dependency.state,
        "retry_at": iso(dependency.retry_at),
        "good": dependency.good,
        "bad": dependency.bad,
        "retries_left": round(dependency.retries_left, 3),
        "updated_at": iso(dependency.updated_at),
    }


def fate_fields(fate: EffectFate) -> dict[str, Any]:
    """Return what became of one effect of an undone workflow."""
    return {
        "key": fate.key,
        "tool": fate.tool,
        "intent": fate.intent,
        "fate": fate.fate,
        "reversal": fate.reversal,
        "by": fate.by,
        "why": fate.why,
        "external_id": fate.external_id,
    }


def _plain(value: Mapping[str, Any] | None) -> Any:
    return None if value is None else redact_names(value)


def execution_fields(execution: Execution) -> dict[str, Any]:
    """Return a workflow that runs as code."""
    return {
        "workflow_id": execution.workflow_id,
        "tenant": execution.tenant,
        "status": execution.status,
        "name": execution.function,
        "version": execution.version,
        "actor": execution.actor,
        "queue": execution.queue,
        "priority": execution.priority,
        "limit_key": execution.limit_key,
        "parent": execution.parent or None,
        "input": _json(execution.input),
        "output": _json(execution.output),
        "error": _json(execution.error),
        "waits_for": execution.waits_for or None,
        "wake_at": iso(execution.wake_at),
        "pause": execution.pause or None,
        "pause_reason": execution.pause_reason or None,
        "is_cancelled": execution.is_cancelled,
        "crashes": execution.crashes,
        "owner": execution.owner or None,
        "deadline_at": iso(execution.deadline_at),
        "created_at": iso(execution.created_at),
        "started_at": iso(execution.started_at),
        "updated_at": iso(execution.updated_at),
        "ended_at": iso(execution.ended_at),
    }


def _json(text: str | None) -> Any:
    """Return a recorded JSON text as the value that it is; one that is sealed as the text."""
    if text is None:
        return None
    try:
        return redact_names(json.loads(text))
    except ValueError:
        return text


def step_fields(step: WorkflowStep) -> dict[str, Any]:
    """Return a step of a workflow."""
    return {
        "position": step.position,
        "kind": step.kind,
        "name": step.name,
        "state": step.state,
        "attempts": step.attempts,
        "args": redact_names(step.args),
        "result": redact_names(step.result),
        "error": step.error,
        "started_at": iso(step.started_at),
        "ended_at": iso(step.ended_at),
        "due_at": iso(step.due_at),
        "effect": step.effect,
        "child": step.child,
    }


def event_fields(event: WorkflowEvent) -> dict[str, Any]:
    """Return an event of a workflow."""
    return {
        "offset": event.offset,
        "kind": event.kind,
        "name": event.name,
        "state": event.state,
        "result": redact_names(event.result),
        "error": event.error,
        "attempts": event.attempts,
        "at": iso(event.at),
    }
