"""Begins workflows, goes on with them, puts them away and tells how they ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from holdfast._core.advance import Advanced, BeginExecution, Leave, Send, TakeExecution
from holdfast._core.execution import ENDED, ExecutionRecord
from holdfast._core.identity import read_args, read_result
from holdfast._core.journal import Script
from holdfast._core.states import WorkflowStatus
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.life import Life, advance_patiently, failure_text, place_of
from holdfast._runtime.parts import Parts
from holdfast._runtime.turns import LoopTurns, PlainTurns, PutAway, Turns
from holdfast.errors import (
    ExecutionTaken,
    NonDeterminism,
    StoreError,
    WorkflowConflict,
    WorkflowFailed,
    WorkflowWaiting,
)
from holdfast.ports import Lease

_POLL_S: Final = 0.05
_LONGEST_POLL_S: Final = 1.0


@value
class Flow:
    """A workflow's code.

    Attributes:
        name: Under which it is registered; executions are on record under it.
        code: Given the life and the input, returns the coroutine of the user's function.
    """

    name: str
    version: str
    code: Callable[[Life, Mapping[str, Any]], Any]


@value
class Addressed:
    """Which execution it is, and for whom."""

    tenant: str
    actor: str
    workflow_id: str


async def begin(
    parts: Parts, at: Addressed, flow: Flow, given: Mapping[str, Any], *, holds: bool
) -> ExecutionRecord:
    """Put an execution into the ledger, or return the one that is there.

    Args:
        holds: This process works on it at once; else it is queued.

    Raises:
        WorkflowConflict: Its id is in use for other code or another input.
        NotSerializable: The input has no JSON form. Nothing was recorded.
    """
    payload = read_args(given, max_bytes=parts.settings.max_args_bytes)
    seal = parts.stamp(at.tenant, place_of(at.workflow_id), at.actor).seal
    op = BeginExecution(
        tenant=at.tenant,
        workflow_id=at.workflow_id,
        function=flow.name,
        version=flow.version,
        input=seal(payload.text, "args"),
        actor=at.actor,
        owner=parts.next_owner() if holds else "",
        lease_s=parts.settings.lease_s,
        at=parts.runtime.now(),
    )
    answer = await advance_patiently(parts, op)
    if isinstance(answer, Advanced):
        return answer.execution
    found = answer.found
    if found is None:
        raise StoreError("begin a workflow", "its row has vanished")
    if holds and found.owner == op.owner:
        return found  # only the answer was lost
    if found.function != flow.name:
        raise WorkflowConflict(at.workflow_id, f"other code ({found.function!r})")
    recorded = parts.opened(at.tenant, place_of(at.workflow_id), found.input, "args")
    known = read_args(json.loads(recorded), max_bytes=parts.settings.max_args_bytes)
    if known.canonical != payload.canonical:
        raise WorkflowConflict(at.workflow_id, "another input")
    return replace(found, owner="")


async def run(
    parts: Parts, at: Addressed, flow: Flow, given: Mapping[str, Any], *, wait_s: float | None
) -> Any:
    """Begin a workflow here, or go on with it, to its end; return its output.

    Args:
        wait_s: How long to wait where it is put away, or another worker is at it; ``None``: until its end.

    Raises:
        WorkflowFailed: It ended with an error.
        WorkflowWaiting: It did not end in time; it goes on when it is run again, or by a worker.
        NonDeterminism: The code does not fit its record; it is where it was.
    """
    execution = await begin(parts, at, flow, given, holds=True)
    until = None if wait_s is None else parts.runtime.monotonic() + wait_s
    poll_s = _POLL_S
    while True:
        if execution.status in ENDED:
            return _output(parts, execution)
        if execution.status is WorkflowStatus.RUNNING and execution.owner:
            execution = await _lived(parts, flow, execution)
            poll_s = _POLL_S
            continue
        taken = await _taken(parts, execution)
        if taken is not None:
            execution = taken
            continue
        if until is not None and parts.runtime.monotonic() >= until:
            raise WorkflowWaiting(at.workflow_id, execution.waits_for or "another worker")
        await parts.runtime.sleep(_pause(parts, execution, poll_s, until))
        poll_s = min(poll_s * 2, _LONGEST_POLL_S)
        execution = await _found(parts, execution)


def _pause(parts: Parts, execution: ExecutionRecord, poll_s: float, until: float | None) -> float:
    """Return for how long nothing has to be looked at."""
    lengths = [poll_s]
    if execution.wake_at is not None:
        lengths.append(max((execution.wake_at - parts.runtime.now()).total_seconds(), 0.001))
    if until is not None:
        lengths.append(max(until - parts.runtime.monotonic(), 0.001))
    return min(lengths)


async def _found(parts: Parts, execution: ExecutionRecord) -> ExecutionRecord:
    journal = await parts.store.journal(execution.tenant, execution.workflow_id)
    if journal is None:
        raise StoreError("look at a workflow", "its row has vanished")
    return replace(journal.execution, owner="")


async def _taken(parts: Parts, execution: ExecutionRecord) -> ExecutionRecord | None:
    """Take an execution that is due, or whose worker died; ``None`` when it is not to be had now."""
    is_waiting = execution.status in {WorkflowStatus.WAITING, WorkflowStatus.NEEDS_REVIEW}
    is_due = execution.wake_at is not None and execution.wake_at <= parts.runtime.now()
    if is_waiting and not is_due:
        return None
    op = TakeExecution(
        tenant=execution.tenant,
        workflow_id=execution.workflow_id,
        epoch=execution.epoch,
        owner=parts.next_owner(),
        lease_s=parts.settings.lease_s,
        at=parts.runtime.now(),
    )
    answer = await advance_patiently(parts, op)
    if isinstance(answer, Advanced):
        return answer.execution
    found = answer.found
    return found if found is not None and found.owner == op.owner else None


async def _lived(parts: Parts, flow: Flow, execution: ExecutionRecord) -> ExecutionRecord:
    """Go through the code once; return the execution as it is afterwards."""
    claimed_at = parts.runtime.monotonic()
    lease = Lease(execution.tenant, execution.workflow_id, execution.epoch, is_execution=True)
    live = parts.heartbeat.add(lease, claimed_at=claimed_at)
    try:
        return await _life(parts, flow, execution)
    finally:
        parts.heartbeat.drop(live)


async def _life(parts: Parts, flow: Flow, execution: ExecutionRecord) -> ExecutionRecord:
    journal = await parts.store.journal(execution.tenant, execution.workflow_id)
    if journal is None or journal.execution.epoch != execution.epoch:
        raise ExecutionTaken(execution.workflow_id, "" if journal is None else journal.execution.owner)
    script = Script(journal.steps)
    turns: Turns = PlainTurns(script) if parts.runtime.blocking else LoopTurns(script)
    life = Life(parts, journal, script, turns)
    given = json.loads(
        parts.opened(execution.tenant, place_of(execution.workflow_id), execution.input, "args")
    )
    tokens = context.life.set(life), context.workflow.set(execution.workflow_id)
    try:
        returned = await turns.conduct(flow.code(life, given))
    except (NonDeterminism, ExecutionTaken, StoreError):
        await _given_back(life)
        raise
    except Exception as error:  # noqa: BLE001 - how a workflow ends is put on record
        leave = Leave(to=WorkflowStatus.FAILED, error=life.sealed(failure_text(error), "error"))
    else:
        if isinstance(returned, PutAway):
            leave = _put_away(life)
        else:
            read = read_result(returned, max_bytes=parts.settings.max_result_bytes)
            leave = Leave(to=WorkflowStatus.SUCCEEDED, output=life.sealed(read.text, "result"))
    finally:
        context.workflow.reset(tokens[1])
        context.life.reset(tokens[0])
    if not await life.commit(leave):
        return execution  # signals came meanwhile: it is held still, and is gone through again
    return life.execution


def _put_away(life: Life) -> Leave:
    waits = tuple(life.waiting.values())
    due = [each.due_at for each in waits if each.due_at is not None]
    return Leave(
        to=WorkflowStatus.NEEDS_REVIEW if any(each.is_review for each in waits) else WorkflowStatus.WAITING,
        seen=life.seen,
        wake_at=min(due, default=None),
        waits_for=" and ".join(sorted({each.name for each in waits}))[:500],
    )


async def _given_back(life: Life) -> None:
    """Let somebody else go on at once, as far as that can be said."""


def _output(parts: Parts, execution: ExecutionRecord) -> Any:
    place = place_of(execution.workflow_id)
    if execution.status is WorkflowStatus.SUCCEEDED:
        text = execution.output
        return None if text is None else json.loads(parts.opened(execution.tenant, place, text, "result"))
    said: Any = {}
    if execution.error is not None:
        said = json.loads(parts.opened(execution.tenant, place, execution.error, "error"))
    raise WorkflowFailed(
        execution.workflow_id, said.get("type", str(execution.status)), said.get("message", "")
    )


async def signal(parts: Parts, at: Addressed, name: str, body: Any, signal_id: str | None) -> bool:
    """Send a workflow a signal; return whether it will hear of it: it is there, and has not ended."""
    read = read_result(body, max_bytes=parts.settings.max_args_bytes)
    stamp = parts.stamp(at.tenant, place_of(at.workflow_id), at.actor)
    op = Send(
        tenant=at.tenant,
        workflow_id=at.workflow_id,
        name=name,
        id=parts.runtime.token().hex() if signal_id is None else signal_id,
        body=stamp.seal(read.text, "body"),
        at=parts.runtime.now(),
    )
    return isinstance(await advance_patiently(parts, op), Advanced)
