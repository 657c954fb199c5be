"""What people, and other programs, want of workflows: signals, pauses, cancellations, restarts, forks."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

from holdfast._core.advance import (
    Advanced,
    ForkExecution,
    HaltExecutions,
    RestartExecution,
    Send,
    SteerExecution,
    Steering,
)
from holdfast._core.execution import (
    ENDED,
    ExecutionQuery,
    ExecutionRecord,
    Halt,
    Journal,
    StepRecord,
    StepState,
)
from holdfast._core.identity import read_result
from holdfast._core.states import TERMINAL, WorkflowStatus
from holdfast._core.value import value
from holdfast._runtime.life import PAST_ALL_STEPS
from holdfast._runtime.minding import take_back
from holdfast._runtime.parts import Parts
from holdfast._runtime.resealing import resealed
from holdfast._runtime.writing import advance_patiently, place_of
from holdfast.errors import InvalidCall, WorkflowConflict, WorkflowNotFound

T = TypeVar("T")
_TAKEN_BACK: Final = 1000
_READS: Final = 20  # each one after the first says that the source came further meanwhile


@value
class Whose:
    """On whose behalf."""

    tenant: str
    actor: str


async def send(
    parts: Parts, whose: Whose, workflow_id: str, name: str, body: Any, signal_id: str | None
) -> bool:
    """Send a workflow a signal; return whether it will hear of it: it is there, and has not ended.

    Raises:
        InvalidCall: Another signal has that id. The workflow hears of that one only.
    """
    read = read_result(body, max_bytes=parts.settings.max_args_bytes)
    stamp = parts.stamp(whose.tenant, place_of(workflow_id), whose.actor)
    op = Send(
        tenant=whose.tenant,
        workflow_id=workflow_id,
        name=name,
        id=parts.runtime.token().hex() if signal_id is None else signal_id,
        body=stamp.seal(read.text, "body"),
        at=parts.runtime.now(),
    )
    answer = await advance_patiently(parts, op)
    if not isinstance(answer, Advanced):
        return False
    if not answer.is_new:  # kept before, it or another
        await _refuse_another(parts, op, read.text)
    return True


async def _refuse_another(parts: Parts, op: Send, text: str) -> None:
    journal = await parts.store.journal(op.tenant, op.workflow_id, PAST_ALL_STEPS)
    for message in () if journal is None else journal.messages:
        if message.id != op.id:
            continue
        body = parts.opened(op.tenant, place_of(op.workflow_id), message.body, "body")
        if (message.name, json.loads(body)) != (op.name, json.loads(text)):
            what = f"signal id {op.id!r} was given to another signal ({message.name!r}) of {op.workflow_id!r}"
            raise InvalidCall(what, "give each signal an id of its own, e.g. that of the message it tells of")


async def steer(parts: Parts, whose: Whose, workflow_id: str, to: Steering, reason: str) -> ExecutionRecord:
    """Pause, resume or cancel a workflow; with its children, when it is cancelled.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
        InvalidCall: It has ended.
    """
    op = SteerExecution(
        tenant=whose.tenant, workflow_id=workflow_id, to=to, reason=reason, at=parts.runtime.now()
    )
    answer = await advance_patiently(parts, op)
    if to is Steering.CANCEL:  # its children after it: it must not hear of their end and go on without them
        await cancel_children(parts, whose.tenant, workflow_id, reason)
        await take_back(parts, whose.tenant, _TAKEN_BACK)
    if isinstance(answer, Advanced):
        return answer.execution
    if answer.found is None:
        raise WorkflowNotFound(workflow_id)
    what = f"workflow {workflow_id!r} has ended ({answer.found.status})"
    raise InvalidCall(what, "restart it, or fork it from one of its steps")


async def cancel_children(parts: Parts, tenant: str, workflow_id: str, reason: str) -> None:
    """End the workflows that one began and that have not ended, and those that these began."""
    query = ExecutionQuery(tenant=tenant, parent=workflow_id, limit=10_000)
    for child in await parts.store.executions(query):
        if child.status not in ENDED:
            op = SteerExecution(
                tenant=tenant,
                workflow_id=child.workflow_id,
                to=Steering.CANCEL,
                reason=reason,
                at=parts.runtime.now(),
            )
            await advance_patiently(parts, op)
        if child.status not in ENDED or child.status is WorkflowStatus.CANCELLED:
            await cancel_children(parts, tenant, child.workflow_id, reason)


async def restart(parts: Parts, whose: Whose, workflow_id: str, deadline_s: float | None) -> ExecutionRecord:
    """Queue a workflow that failed, or was cancelled: it goes on from its record, without its last failures.

    Effects keep their keys: what is done is answered from the record.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
        InvalidCall: It has not ended, or it has ended well; or an effect of it has failed for good, or the
            record of one was deleted.
    """
    journal = await parts.store.journal(whose.tenant, workflow_id)
    if journal is None:
        raise WorkflowNotFound(workflow_id)
    _refuse_final(journal)
    await _refuse_failed_children(parts, journal)
    _refuse_deleted(journal, _kept(journal.steps))
    op = RestartExecution(
        tenant=whose.tenant,
        workflow_id=workflow_id,
        epoch=journal.execution.epoch,
        keep=_kept(journal.steps),
        at=parts.runtime.now(),
        deadline_s=deadline_s,
    )
    answer = await advance_patiently(parts, op)
    if isinstance(answer, Advanced):
        return answer.execution
    status = None if answer.found is None else answer.found.status
    instead = "fork it from one of its steps" if status is WorkflowStatus.SUCCEEDED else "resume or cancel it"
    raise InvalidCall(f"workflow {workflow_id!r} is {status}, so there is nothing to restart", instead)


def _refuse_final(journal: Journal) -> None:
    """Refuse what can come to the same end only: an effect that failed for good is never executed again."""
    for step in journal.steps[_kept(journal.steps) :]:
        record = None if step.effect is None else journal.effects.get(step.effect)
        if record is not None and record.state in TERMINAL:
            what = f"step {step.name!r}, at which it failed, is effect {record.key}, which is {record.state}"
            raise InvalidCall(what, f"fork it from step {step.position}: what a fork does is its own")


async def _refuse_failed_children(parts: Parts, journal: Journal) -> None:
    """Refuse what can come to the same end only: a workflow that failed is answered from its record."""
    for step in journal.steps[_kept(journal.steps) :]:
        if step.child is None or step.state is StepState.SUCCEEDED:
            continue
        query = ExecutionQuery(tenant=journal.execution.tenant, workflow_id=step.child, limit=1)
        for child in await parts.store.executions(query):
            if child.status in ENDED and child.status is not WorkflowStatus.SUCCEEDED:
                what = f"workflow {step.child!r}, whose output it waits for, is {child.status}"
                raise InvalidCall(what, "restart that one first")


def _refuse_deleted(journal: Journal, keep: int) -> None:
    """Refuse to go on from steps whose effects were deleted since: nobody knows what they came to."""
    for step in journal.steps[:keep]:
        if step.effect is not None and step.effect not in journal.effects:
            what = f"the record of step {step.position}, {step.name!r}, was deleted by `reap`"
            raise InvalidCall(what, f"fork it from a step before {step.position}, or begin it anew")


def _kept(steps: tuple[StepRecord, ...]) -> int:
    """Return the position of the last end before the failures that a workflow ended with.

    What was under way beside a failed step may have ended after it; what the code began later shows that it
    went on in spite of it. The times of a journal tell that whatever the clocks of its workers say: a failure
    is put after all that had begun, and what begins after all that had ended.
    """
    ends = [step for step in steps if step.position is not None]
    kept, begun_at = len(ends), None
    for before, step in reversed(list(enumerate(ends))):
        if step.state is not StepState.FAILED:
            begun_at = step.started_at if begun_at is None else max(begun_at, step.started_at)
        elif begun_at is not None and step.ended_at is not None and begun_at >= step.ended_at:
            break
        else:
            kept = before
    return kept


async def fork(
    parts: Parts, whose: Whose, source: str, workflow_id: str, from_step: str | int
) -> ExecutionRecord:
    """Queue a new workflow that goes on from a step of another one; what came before it is its record too.

    Args:
        from_step: The name of the step that is the first to be made again, or its position from 1.

    Raises:
        WorkflowNotFound: Nothing is on record of *source*.
        WorkflowConflict: *workflow_id* is in use.
        InvalidCall: *source* has no such step; or the record of an earlier one was deleted; or it changes all
            the time.
        PayloadSealed: It is sealed, and this ledger cannot open it.
    """
    for _ in range(_READS):
        journal = await parts.store.journal(whose.tenant, source)
        if journal is None:
            raise WorkflowNotFound(source)
        keep = _position(journal.steps, source, from_step) - 1
        _refuse_deleted(journal, keep)
        own = resealed(parts, journal, keep, workflow_id)
        op = ForkExecution(
            tenant=whose.tenant,
            workflow_id=workflow_id,
            source=source,
            keep=keep,
            at=parts.runtime.now(),
            resealed=None if parts.codec is None else own,
        )
        answer = await advance_patiently(parts, op)
        if isinstance(answer, Advanced):
            return answer.execution
        if answer.found is not None:
            raise WorkflowConflict(workflow_id, "a record of its own")
    what = f"workflow {source!r} has changed whenever its record was read"
    raise InvalidCall(what, "pause it, and fork it then")


def _position(steps: tuple[StepRecord, ...], source: str, wanted: str | int) -> int:
    ends = [step for step in steps if step.position is not None]
    if isinstance(wanted, int):
        if 1 <= wanted <= len(ends) + 1:
            return wanted
        what = f"workflow {source!r} has {len(ends)} steps that ended, and no step {wanted}"
        raise InvalidCall(what, f"give a whole number from 1 to {len(ends) + 1}")
    found = next((step for step in ends if step.name == wanted), None)
    if found is None or found.position is None:
        names = ", ".join(dict.fromkeys(step.name for step in ends)) or "none"
        raise InvalidCall(
            f"workflow {source!r} has no step {wanted!r} that ended", f"give one of: {names[:300]}"
        )
    return found.position


async def halt(parts: Parts, whose: Whose, actor: str, reason: str, *, is_on: bool) -> tuple[str, ...]:
    """Stop all workflows of an actor at their next steps, or let them go on; return which."""
    op = HaltExecutions(tenant=whose.tenant, actor=actor, is_on=is_on, reason=reason, at=parts.runtime.now())
    return tuple(await parts.store.halt(op))


async def halts(parts: Parts, whose: Whose) -> tuple[Halt, ...]:
    """Return who is stopped."""
    return tuple(await parts.store.halts(whose.tenant))
