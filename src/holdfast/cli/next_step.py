"""Why an effect or a workflow is where it is, and which command comes next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from holdfast._core.states import Event, Safety, State, WorkflowStatus
from holdfast.cli.output import clock
from holdfast.cli.session import Session
from holdfast.ledger import AuditEvent, EffectRecord, Execution
from holdfast.ports import WorkflowRecord


def next_steps(session: Session, record: EffectRecord) -> list[str]:
    """Return the commands, or the one sentence, that move an effect on; empty when it is settled."""
    match record.state:
        case State.UNKNOWN | State.PENDING if is_in_doubt(record):
            told = "--by YOU --reason WHAT_WAS_SEEN"
            return [
                session.command(f"reconcile {record.key} --app MODULE:LEDGER", by_url=False),
                session.command(f"resolve {record.key} --done RESULT_AS_JSON {told}"),
                session.command(f"resolve {record.key} --not-done {told}"),
            ]
        case State.PENDING if record.lease_until < datetime.now(UTC):
            return ["its worker is gone: make the same call again, and the ledger decides by evidence"]
        case State.RETRYABLE:
            return [_again(session, record)]
        case State.WAITING:
            return [session.command(f"approvals --workflow {shlex.quote(record.workflow_id)}")]
        case _:
            return []


def _again(session: Session, record: EffectRecord) -> str:
    if record.spent:
        return session.command(f"retry {record.key} --by YOU --reason WHAT_HAS_CHANGED")
    known = "it may be sent again" if record.uncertain else "it is not done"
    if record.retry_at is not None and record.retry_at > datetime.now(UTC):
        return f"{known}: make the same call again from {clock(record.retry_at)} on"
    return f"{known}: make the same call again to try again"


def workflow_steps(session: Session, workflow: WorkflowRecord) -> list[str]:
    """Return the commands that let a workflow go on; empty when nothing keeps it."""
    name = shlex.quote(workflow.workflow_id)
    steps: list[str] = []
    if workflow.open_reviews:
        steps.append(session.command(f"unknown --workflow {name}"))
    if workflow.stopped is not None:
        if workflow.stopped_by is not None:
            steps.append(session.command(f"show {workflow.stopped_by}"))
        steps.append(session.command(f"resume {name} --by YOU --reason WHAT_WAS_MENDED"))
    return steps


def execution_steps(session: Session, execution: Execution) -> list[str]:
    """Return the commands that move a workflow on that runs as code; empty when nothing keeps it."""
    name = shlex.quote(execution.workflow_id)
    if execution.pause:
        return [session.command(f"workflows resume {name} --by YOU --reason WHAT_WAS_MENDED")]
    match execution.status:
        case WorkflowStatus.FAILED | WorkflowStatus.CANCELLED:
            return [session.command(f"workflows restart {name}")]
        case WorkflowStatus.NEEDS_REVIEW:
            return [session.command(f"workflows show {name}"), session.command(f"unknown --workflow {name}")]
        case WorkflowStatus.QUEUED:
            return [session.command("worker MODULE:LEDGER", by_url=False)]
        case _:
            return []


def is_in_doubt(record: EffectRecord) -> bool:
    """Whether nobody knows: on record, or because the worker of an unsafe effect is gone."""
    if record.state is State.PENDING:
        return record.safety is Safety.UNSAFE and record.lease_until < datetime.now(UTC)
    return record.state is State.UNKNOWN


def doubt_of(record: EffectRecord, events: Sequence[AuditEvent]) -> tuple[datetime, str]:
    """Return since when nobody knows about an effect, and why."""
    if record.state is State.PENDING:
        return record.lease_until, "the worker's lease ran out without an outcome"
    since, why, later = record.updated_at, "", ""
    for event in events:
        if event.event is Event.DOUBT:
            since, why, later = event.at, str(event.details.get("why", "")), ""
        elif event.event is Event.NOTE:
            later = event.note
    if not why:
        how = "without evidence" if record.error is None else f"with {record.error.type}"
        why = f"attempt {record.attempt} ended {how}"
    return since, f"{why}; since then: {later}" if later else why
