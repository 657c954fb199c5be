"""Runs workflows for those who wait for them: in this process, or by looking at what others do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.advance import bell_of_end, bell_of_queue
from holdfast._core.execution import ENDED, ExecutionQuery, ExecutionRecord, Pause
from holdfast._core.model import EffectKey
from holdfast._core.states import WorkflowStatus
from holdfast._core.value import value
from holdfast._runtime.executions import Start, begin, found, lived, taken
from holdfast._runtime.flows import Flow, Flows
from holdfast._runtime.parts import Parts
from holdfast._runtime.purses import refusal_of
from holdfast._runtime.writing import place_of
from holdfast.errors import (
    ExecutionTaken,
    LedgerClosed,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowWaiting,
)

log = logging.getLogger("holdfast")
_MANY: Final = 1000


@value
class Standing:
    """How a workflow stands.

    Attributes:
        wake_at: When somebody should drive it again (aware, UTC); ``None``: when something happens.
        waits_for: What it waits for, for people.
        is_ended: Nothing more will happen.
        is_taken: Another worker is at it, until *wake_at* at least.
        parent: Who waits for it, and is due when it has ended; empty for nobody.
    """

    status: WorkflowStatus
    wake_at: datetime | None
    waits_for: str
    is_ended: bool
    is_taken: bool
    parent: str


async def drive(parts: Parts, flows: Flows, tenant: str, workflow_id: str) -> Standing:
    """Go on with a workflow, if somebody should, until it has ended or is put away.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
        UnknownWorkflow: Its code is not declared here.
        NonDeterminism: The code does not fit its record.
        VersionMismatch: Its input does not fit the code.
        StoreUnavailable: Nothing is known; its lease runs out by itself.
    """
    execution = await _known(parts, tenant, workflow_id)
    flows.of(execution)
    ours = await taken(parts, execution)
    if ours is not None:
        try:
            execution = await lived(parts, flows, ours)
        except ExecutionTaken:
            execution = await _known(parts, tenant, workflow_id)
    elif execution.status not in ENDED:
        execution = await _known(parts, tenant, workflow_id)
    is_paused = execution.pause is not Pause.NO  # it may well be due, and is nobody's to drive
    is_abandoned = is_paused and execution.lease_until <= parts.runtime.now()
    is_taken = execution.status is WorkflowStatus.RUNNING and not is_abandoned
    return Standing(
        status=execution.status,
        wake_at=execution.lease_until if is_taken else None if is_paused else execution.wake_at,
        waits_for=execution.waits_for,
        is_ended=execution.status in ENDED,
        is_taken=is_taken,
        parent=execution.parent,
    )


async def _known(parts: Parts, tenant: str, workflow_id: str) -> ExecutionRecord:
    execution = await found(parts, tenant, workflow_id)
    if execution is None:
        raise WorkflowNotFound(workflow_id)
    return execution


async def run(
    parts: Parts, flows: Flows, flow: Flow, given: Mapping[str, Any], start: Start, wait_s: float | None
) -> Any:
    """Begin a workflow here, or go on with it, to its end; return its output.

    Args:
        wait_s: How long to wait where it is put away, or another worker is at it; ``None``: until its end.

    Raises:
        WorkflowFailed: It ended with an error.
        WorkflowWaiting: It did not end in time; it goes on when it is run again, or by a worker.
        NonDeterminism: The code does not fit its record; it waits for code that does.
    """
    execution = await begin(parts, flow, given, start)
    return await _ended(parts, flows, execution, wait_s, works=True)


async def result(parts: Parts, tenant: str, workflow_id: str, wait_s: float | None) -> Any:
    """Wait for the output of a workflow that others work on.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
        WorkflowFailed: It ended with an error.
        WorkflowWaiting: It did not end in time.
    """
    execution = replace(await _known(parts, tenant, workflow_id), owner="")
    return await _ended(parts, Flows(), execution, wait_s, works=False)


async def _ended(
    parts: Parts, flows: Flows, execution: ExecutionRecord, wait_s: float | None, *, works: bool
) -> Any:
    until = None if wait_s is None else parts.runtime.monotonic() + wait_s
    tenant, workflow_id = execution.tenant, execution.workflow_id
    shortest, longest = parts.store.poll_s
    poll_s, is_told, is_joined = shortest, False, False
    bell = parts.runtime.bell()
    ends, dues = bell_of_end(tenant, workflow_id), bell_of_queue(tenant, execution.queue)
    # What is due in the queue concerns those who would work on it: a thousand who wait would all look.
    with parts.bus.listening(ends, bell), parts.bus.listening(dues if works else ends, bell):
        while True:
            if execution.status in ENDED:
                return output(parts, execution)
            if parts.traffic.is_closing:
                raise LedgerClosed
            if works:
                went_on = await _went_on(parts, flows, execution)
                if went_on is not None:
                    execution, poll_s = went_on, shortest
                    continue
            if until is not None and parts.runtime.monotonic() >= until:
                raise WorkflowWaiting(workflow_id, execution.waits_for or "another worker")
            if execution.waits_for and not is_told:
                is_told = True
                log.info("workflow %s waits for %s", workflow_id, execution.waits_for)
            if not is_joined:
                is_joined = True
                await parts.store.joining(tenant, EffectKey(ends))  # others ring for it from now on
                execution = replace(await _known(parts, tenant, workflow_id), owner="")
                continue
            await bell.heard(_pause(parts, execution, poll_s, until))
            poll_s = min(poll_s * 2, longest)
            execution = replace(await _known(parts, tenant, workflow_id), owner="")


async def _went_on(parts: Parts, flows: Flows, execution: ExecutionRecord) -> ExecutionRecord | None:
    """Work on it, or on what it waits for; return it as it is then, ``None`` when there is nothing to do."""
    ours = execution if execution.owner else await taken(parts, execution)
    try:
        if ours is not None:
            return replace(await lived(parts, flows, ours), owner="")
        if await _drive_children(parts, flows, execution):
            return replace(await _known(parts, execution.tenant, execution.workflow_id), owner="")
    except ExecutionTaken:
        return replace(await _known(parts, execution.tenant, execution.workflow_id), owner="")
    return None


async def _drive_children(parts: Parts, flows: Flows, execution: ExecutionRecord) -> bool:
    """Go on with the workflows that it waits for, where nobody else does; whether there was anything."""
    if execution.status not in {WorkflowStatus.WAITING, WorkflowStatus.NEEDS_REVIEW}:
        return False
    query = ExecutionQuery(
        tenant=execution.tenant, parent=execution.workflow_id, functions=flows.names, limit=_MANY
    )
    went_on = False
    for child in await parts.store.executions(query):
        if child.status in ENDED:
            continue
        ours = await taken(parts, child)
        if ours is not None:
            went_on = True
            await lived(parts, flows, ours)
        elif await _drive_children(parts, flows, child):
            went_on = True
    return went_on


def _pause(parts: Parts, execution: ExecutionRecord, poll_s: float, until: float | None) -> float:
    """Return for how long nothing has to be looked at."""
    lengths = [poll_s]
    if execution.wake_at is not None:
        lengths.append(max((execution.wake_at - parts.runtime.now()).total_seconds(), 0.001))
    if until is not None:
        lengths.append(max(until - parts.runtime.monotonic(), 0.001))
    return min(lengths)


def output(parts: Parts, execution: ExecutionRecord) -> Any:
    """Return the output of a workflow that has ended.

    Raises:
        WorkflowFailed: It ended otherwise than well.
    """
    place = place_of(execution.workflow_id)
    if execution.status is WorkflowStatus.SUCCEEDED:
        text = execution.output
        return None if text is None else json.loads(parts.opened(execution.tenant, place, text, "result"))
    said: Any = {"type": "WorkflowCancelled", "message": execution.pause_reason}
    if execution.error is not None:
        said = json.loads(parts.opened(execution.tenant, place, execution.error, "error"))
    refused = refusal_of(said)
    raise WorkflowFailed(execution.workflow_id, said.get("type", ""), said.get("message", "")) from refused
