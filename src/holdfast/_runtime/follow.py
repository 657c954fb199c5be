"""What happens in a workflow, told to whoever follows it: from any process, from any point."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from holdfast._core.advance import bell_of_end
from holdfast._core.change import Column
from holdfast._core.execution import ENDED, Journal, StepRecord
from holdfast._core.model import EffectKey
from holdfast._core.value import value
from holdfast._runtime.parts import Parts
from holdfast._runtime.writing import place_of
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


@value
class WorkflowStep:
    """One step of a workflow as it is on record.

    Attributes:
        position: Which end it is of all that the code was told, from 1; ``None`` while it has not ended.
        kind: As of :class:`WorkflowEvent`.
        state: ``pending``, ``succeeded`` or ``failed``.
        attempts: How often it was tried.
        args: What it was called with, as JSON; of an effect what its own record has.
        result: What it came to, as JSON.
        error: ``type`` and ``message`` of its error, or of its last try's.
        due_at: When a wait is over (aware, UTC).
        effect: The key of the effect that it was answered from.
        child: The workflow whose output it is.
    """

    position: int | None
    kind: str
    name: str
    state: str
    attempts: int
    args: Any
    result: Any
    error: dict[str, str] | None
    started_at: datetime
    ended_at: datetime | None
    due_at: datetime | None
    effect: str | None
    child: str | None


async def steps(parts: Parts, tenant: str, workflow_id: str) -> list[WorkflowStep]:
    """Return the steps of a workflow in the order of their ends; those that have not ended come last.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
    """
    journal = await parts.store.journal(tenant, workflow_id)
    if journal is None:
        raise WorkflowNotFound(workflow_id)
    return steps_in(parts, journal)


def steps_in(parts: Parts, journal: Journal) -> list[WorkflowStep]:
    """Return the steps in a journal, in its order.

    Raises:
        PayloadSealed: This ledger cannot open what they say.
    """
    return [_shown(parts, journal, step) for step in journal.steps]


def _shown(parts: Parts, journal: Journal, step: StepRecord) -> WorkflowStep:
    event = _event(parts, journal, step)
    record = None if step.effect is None else journal.effects.get(step.effect)
    if record is not None:
        args = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    else:
        args = _plain(parts, journal, step.args, "args")
    return WorkflowStep(
        position=step.position,
        kind=step.kind,
        name=step.name,
        state=step.state,
        attempts=step.attempt,
        args=args,
        result=event.result,
        error=event.error,
        started_at=step.started_at,
        ended_at=step.ended_at,
        due_at=step.due_at,
        effect=step.effect,
        child=step.child,
    )


def _plain(parts: Parts, journal: Journal, text: str | None, column: Column) -> Any:
    """Return what is on record of the workflow itself, as JSON values."""
    if text is None:
        return None
    execution = journal.execution
    return json.loads(parts.opened(execution.tenant, place_of(execution.workflow_id), text, column))


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
    if follows:
        await parts.store.joining(tenant, EffectKey(bell_of_end(tenant, workflow_id)))
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
    result = _plain(parts, journal, step.result, "result")
    record = None if step.effect is None else journal.effects.get(step.effect)
    if record is not None and record.result is not None:
        result = json.loads(parts.opened(record.tenant, record.key, record.result, "result"))
    return WorkflowEvent(
        offset=step.position or 0,
        kind=step.kind,
        name=step.name,
        state=step.state,
        result=result,
        error=_plain(parts, journal, step.error, "error"),
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
    return WorkflowEvent(
        offset=offset,
        kind="end",
        name=execution.function,
        state=execution.status,
        result=_plain(parts, journal, execution.output, "result"),
        error=_plain(parts, journal, execution.error, "error"),
        attempts=execution.epoch,
        at=execution.ended_at or execution.updated_at,
    )
