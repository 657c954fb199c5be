"""What happens in a workflow, told to whoever follows it: from any process, from any point."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from holdfast._core.advance import bell_of_end
from holdfast._core.execution import ENDED, Journal, StepRecord, StepState
from holdfast._core.value import value
from holdfast._runtime.life import place_of
from holdfast._runtime.parts import Parts
from holdfast.errors import WorkflowNotFound


@value
class WorkflowEvent:
    """One thing that happened in a workflow: a step ended, or the workflow itself.

    Attributes:
        offset: Its place among the workflow's events, from 1; give the last one seen to go on after it.
        kind: ``step``, ``effect``, ``sleep``, ``wait``, ``value``, ``gate``, ``child``; ``end`` for the last.
        name: Of the step, or of the workflow's code.
        state: ``succeeded`` or ``failed``; of the workflow its status.
        result: What it came to, as JSON.
        error: ``type`` and ``message`` of its error.
        attempts: How often it was tried.
        at: When it ended (aware, UTC).
    """

    offset: int
    kind: str
    name: str
    state: str
    result: Any
    error: dict[str, str] | None
    attempts: int
    at: datetime


async def events(
    parts: Parts, tenant: str, workflow_id: str, after: int, *, follows: bool
) -> AsyncGenerator[WorkflowEvent]:
    """Tell the events after an offset, each once and in order; those to come too, if that is wanted.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
    """
    shortest, longest = parts.store.poll_s
    poll_s = shortest
    bell = parts.runtime.bell()
    with parts.bus.listening(bell_of_end(tenant, workflow_id), bell):
        while True:
            journal = await parts.store.journal(tenant, workflow_id, after)
            if journal is None:
                raise WorkflowNotFound(workflow_id)
            for step in journal.steps:
                if step.position is not None:
                    after, poll_s = step.position, shortest
                    yield _event(parts, journal, step)
            if journal.execution.status in ENDED:
                last = await _last(parts, journal, after)
                if last is not None:
                    yield last
                return
            if not follows:
                return
            await bell.heard(poll_s)
            poll_s = min(poll_s * 2, longest)


def _event(parts: Parts, journal: Journal, step: StepRecord) -> WorkflowEvent:
    tenant, place = journal.execution.tenant, place_of(journal.execution.workflow_id)
    result, error = step.result, step.error
    if step.effect is not None and step.state is StepState.SUCCEEDED:
        record = journal.effects.get(step.effect)
        result = None
        if record is not None and record.result is not None:
            opened = parts.opened(tenant, record.key, record.result, "result")
            return _told(step, json.loads(opened), None)
    return _told(
        step,
        None if result is None else json.loads(parts.opened(tenant, place, result, "result")),
        None if error is None else json.loads(parts.opened(tenant, place, error, "error")),
    )


def _told(step: StepRecord, result: Any, error: Any) -> WorkflowEvent:
    return WorkflowEvent(
        offset=step.position or 0,
        kind=step.kind,
        name=step.name,
        state=step.state,
        result=result,
        error=error,
        attempts=step.attempt,
        at=step.ended_at or step.started_at,
    )


async def _last(parts: Parts, journal: Journal, after: int) -> WorkflowEvent | None:
    """Return the workflow's own end, which comes after all its steps; ``None`` for who has seen it."""
    execution = journal.execution
    whole = await parts.store.journal(execution.tenant, execution.workflow_id)
    steps = journal.steps if whole is None else whole.steps
    offset = sum(step.position is not None for step in steps) + 1
    if after >= offset:
        return None
    place = place_of(execution.workflow_id)
    said, error = execution.output, execution.error
    return WorkflowEvent(
        offset=offset,
        kind="end",
        name=execution.function,
        state=execution.status,
        result=None if said is None else json.loads(parts.opened(execution.tenant, place, said, "result")),
        error=None if error is None else json.loads(parts.opened(execution.tenant, place, error, "error")),
        attempts=execution.epoch,
        at=execution.ended_at or execution.updated_at,
    )
