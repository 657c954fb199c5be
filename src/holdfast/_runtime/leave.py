"""How a worker leaves a workflow: waiting, failed, cancelled, late; and what is undone before that."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

from holdfast._core.advance import Leave
from holdfast._core.execution import Pause, StepKind
from holdfast._core.states import WorkflowStatus
from holdfast._runtime.flows import Flow
from holdfast._runtime.life import Life
from holdfast._runtime.parts import Parts
from holdfast._runtime.steer import cancel_children

_LOOK_AGAIN_S: Final = 60.0
_SHOWN: Final = 500
_WAITED: Final = {StepKind.WAIT: "signal", StepKind.CHILD: "workflow"}


async def put_away(parts: Parts, flow: Flow, life: Life) -> Leave:
    """Return how to leave a workflow whose code waits, or is not to go on."""
    execution, left_s = life.execution, life.left_s()
    if execution.is_cancelled:
        said = json.dumps({"type": "WorkflowCancelled", "message": execution.pause_reason})
        return await ended(parts, flow, life, WorkflowStatus.CANCELLED, said)
    if left_s is not None and left_s <= 0:
        waited = _waited(life)
        message = "its time was over" + (f" while it waited for {waited}" if waited else "")
        said = json.dumps({"type": "WorkflowTimeout", "message": message})
        return await ended(parts, flow, life, WorkflowStatus.FAILED, said)
    if parts.traffic.is_leaving:
        return Leave(to=WorkflowStatus.QUEUED, wake_at=life.now(), waits_for="a worker")
    waits = tuple(life.waiting.values())
    due = [each.due_at for each in waits if each.due_at is not None]
    if execution.pause is not Pause.NO:
        due.append(life.now())
    if execution.deadline_at is not None:
        due.append(execution.deadline_at)
    return Leave(
        to=WorkflowStatus.NEEDS_REVIEW if any(each.is_review for each in waits) else WorkflowStatus.WAITING,
        seen=life.seen,
        wake_at=min(due, default=None),
        waits_for=" and ".join(sorted({each.name for each in waits}))[:_SHOWN],
    )


def _waited(life: Life) -> str:
    """Say what a workflow waited for, whether its code came to that in this life or not."""
    names = {each.name for each in life.waiting.values()}
    if not names:
        pending = [step for step in life.journal.steps if step.position is None]
        names = {f"{_WAITED.get(step.kind, step.kind)} {step.name!r}" for step in pending}
    return " and ".join(sorted(names))[:_SHOWN]


async def ended(parts: Parts, flow: Flow, life: Life, to: WorkflowStatus, said: str) -> Leave:
    """Return how to leave a workflow that has failed, or is cancelled.

    Args:
        said: Its error, as JSON.
    """
    execution, error = life.execution, life.sealed(said, "error")
    why: str = json.loads(said)["message"] or json.loads(said)["type"]
    await life.turns.still()  # what a branch of the code is at is undone, or cancelled, with the rest
    # Nobody waits for them any more.
    tenant, workflow_id = execution.tenant, life.workflow_id
    await cancel_children(parts, tenant, workflow_id, f"its parent {workflow_id!r} has ended")
    if flow.on_failure == "compensate":
        reason = f"the workflow {'was cancelled' if to is WorkflowStatus.CANCELLED else 'failed'}: {why}"
        if await flow.compensate(execution, reason[:2000]):
            wake_at = life.now() + timedelta(seconds=_LOOK_AGAIN_S)
            waits_for = "a person to see to what could not be undone"
            review = WorkflowStatus.NEEDS_REVIEW
            return Leave(to=review, seen=life.seen, error=error, wake_at=wake_at, waits_for=waits_for)
    if flow.on_failure == "review" and to is WorkflowStatus.FAILED:
        reason = f"it failed: {json.loads(said)['type']}: {why}"[:_SHOWN]
        return Leave(to=WorkflowStatus.NEEDS_REVIEW, error=error, pause=Pause.PERSON, pause_reason=reason)
    return Leave(to=to, error=error)
