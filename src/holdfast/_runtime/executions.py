"""Begins workflows, and goes through their code until they have ended or are put away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from holdfast._core.advance import Advanced, BeginExecution, Leave, TakeExecution
from holdfast._core.execution import ENDED, ExecutionQuery, ExecutionRecord, Pause
from holdfast._core.identity import read_args, read_result
from holdfast._core.journal import Script
from holdfast._core.lineage import crowded
from holdfast._core.model import Alert
from holdfast._core.states import WorkflowStatus
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.closing import drop, passing
from holdfast._runtime.flows import Flow, Flows
from holdfast._runtime.holding import held, let_go
from holdfast._runtime.leave import ended, put_away
from holdfast._runtime.life import Life
from holdfast._runtime.loop_turns import LoopTurns
from holdfast._runtime.parts import Parts
from holdfast._runtime.purses import descent, of_life, refusal
from holdfast._runtime.turns import PlainTurns, PutAway, Turns
from holdfast._runtime.writing import failure_text, place_of
from holdfast.errors import (
    ExecutionTaken,
    InvalidCall,
    NonDeterminism,
    StoreError,
    VersionMismatch,
    WorkflowConflict,
)
from holdfast.ports import Lease

_TRY_AGAIN_S: Final = 60.0  # code that does not fit a record may be replaced by code that does


@value
class Start:
    """How an execution begins.

    Attributes:
        is_held: This process works on it at once; else it is queued.
        queue: ``None``: as its code says. So for *priority* and *limit_key*.
        start_at: Not before; ``None`` for at once.
    """

    tenant: str
    actor: str
    workflow_id: str
    is_held: bool
    queue: str | None = None
    priority: int | None = None
    limit_key: str | None = None
    start_at: datetime | None = None
    parent: str = ""


async def begin(parts: Parts, flow: Flow, given: Mapping[str, Any], start: Start) -> ExecutionRecord:
    """Put an execution into the ledger, or return the one that is there; with its owner if that is ours.

    Raises:
        WorkflowConflict: Its id is in use for other code or another input.
        NotSerializable: The input has no JSON form. Nothing was recorded.
        BudgetExceeded: A budget around the caller lets nothing more be begun. Nothing was recorded.
    """
    payload = read_args(given, max_bytes=parts.settings.max_args_bytes)
    seal = parts.stamp(start.tenant, place_of(start.workflow_id), start.actor).seal
    limit_key = start.limit_key
    if limit_key is None:
        limit_key = "" if flow.limit_key is None else flow.limit_key(given)
    named = cast("object", limit_key)
    if not isinstance(named, str) or not named.isprintable():
        what = f"the limit_key of workflow {flow.name!r} is no printable text"
        raise InvalidCall(what, "return text, or an empty one for no limit")
    way = descent(start.tenant, start.parent, parts.runtime.now())
    if way.refused is not None and await found(parts, start.tenant, start.workflow_id) is None:
        raise refusal(way.refused)
    op = BeginExecution(
        tenant=start.tenant,
        workflow_id=start.workflow_id,
        function=flow.name,
        version=flow.version,
        input=seal(payload.text, "args"),
        actor=start.actor,
        owner=parts.next_owner() if start.is_held else "",
        lease_s=parts.settings.lease_s,
        at=parts.runtime.now(),
        queue=flow.queue if start.queue is None else start.queue,
        priority=flow.priority if start.priority is None else start.priority,
        limit_key=limit_key,
        parent=start.parent,
        on_failure=flow.on_failure,
        trace=parts.tracer.here(),
        start_at=start.start_at,
        deadline_s=flow.timeout_s,
        purses=way.purses,
        fan_out=way.fan_out,
    )
    answer = await held(parts, op)
    if isinstance(answer, Advanced):
        return answer.execution
    known = answer.found
    if answer.siblings is not None and op.fan_out is not None:
        raise refusal(crowded(op.parent, answer.siblings, op.fan_out))
    if known is None:
        raise StoreError("begin a workflow", "its row has vanished")
    if start.is_held and known.owner == op.owner:
        return known  # only the answer was lost
    if known.function != flow.name:
        raise WorkflowConflict(start.workflow_id, f"other code ({known.function!r})")
    if not _is_same(parts, flow, known, payload.canonical):
        raise WorkflowConflict(start.workflow_id, "another input")
    return replace(known, owner="")


def _is_same(parts: Parts, flow: Flow, known: ExecutionRecord, canonical: str) -> bool:
    """Whether an execution has that input: as it was given, or as the code takes it today."""
    recorded = _input(parts, known)
    most = parts.settings.max_args_bytes
    if read_args(recorded, max_bytes=most).canonical == canonical:
        return True
    if flow.upgrade is None or flow.version == known.version:
        return False
    return read_args(_fitting(flow, known, recorded), max_bytes=most).canonical == canonical


def _input(parts: Parts, execution: ExecutionRecord) -> Any:
    place = place_of(execution.workflow_id)
    return json.loads(parts.opened(execution.tenant, place, execution.input, "args"))


async def found(parts: Parts, tenant: str, workflow_id: str) -> ExecutionRecord | None:
    """Return an execution as it is now."""
    rows = await parts.store.executions(ExecutionQuery(tenant=tenant, workflow_id=workflow_id, limit=1))
    return next(iter(rows), None)


async def taken(parts: Parts, execution: ExecutionRecord) -> ExecutionRecord | None:
    """Take an execution that somebody should work on now; ``None`` when it is not to be had."""
    if parts.traffic.is_leaving or not is_due(parts, execution):
        return None
    op = TakeExecution(
        tenant=execution.tenant,
        workflow_id=execution.workflow_id,
        epoch=execution.epoch,
        owner=parts.next_owner(),
        lease_s=parts.settings.lease_s,
        at=parts.runtime.now(),
    )
    answer = await held(parts, op)
    if isinstance(answer, Advanced):
        return answer.execution
    row = answer.found
    return row if row is not None and row.owner == op.owner else None


def is_due(parts: Parts, execution: ExecutionRecord) -> bool:
    """Whether somebody should work on it now, as far as this clock tells."""
    if execution.status in ENDED or execution.pause is not Pause.NO:
        return False
    if execution.status is WorkflowStatus.RUNNING:
        return execution.lease_until <= parts.runtime.now()
    return execution.wake_at is not None and execution.wake_at <= parts.runtime.now()


async def lived(parts: Parts, flows: Flows, execution: ExecutionRecord) -> ExecutionRecord:
    """Go through the code of an execution that is ours until it is left; return it as it is then.

    Raises:
        NonDeterminism: The code does not fit its record; it waits for code that does.
        VersionMismatch: Its input does not fit the code; likewise.
        ExecutionTaken: Somebody else works on it by now.
        StoreUnavailable: Nothing is known; its lease runs out by itself.
    """
    claimed_at = parts.runtime.monotonic()
    lease = Lease(execution.tenant, execution.workflow_id, execution.epoch, is_execution=True)
    epoch = execution.epoch
    async with passing(parts, is_block=True):
        live = parts.heartbeat.add(lease, claimed_at=claimed_at)
        try:
            while execution.status is WorkflowStatus.RUNNING and execution.epoch == epoch:
                with parts.tracer.life(execution):
                    execution = await _life(parts, flows, execution)
        except parts.runtime.stops:
            await let_go(parts, execution.tenant, execution.workflow_id, execution.owner)
            raise
        else:
            return execution
        finally:
            drop(parts, live)


async def _life(parts: Parts, flows: Flows, execution: ExecutionRecord) -> ExecutionRecord:
    journal = await parts.store.journal(execution.tenant, execution.workflow_id)
    if journal is None or journal.execution.epoch != execution.epoch:
        raise ExecutionTaken(execution.workflow_id, "" if journal is None else journal.execution.owner)
    script = Script(journal.steps)
    turns: Turns = PlainTurns(script) if parts.runtime.blocking else LoopTurns(script)
    life = Life(parts, journal, script, turns)
    try:
        leave = await _gone_through(parts, flows, life)
    except (NonDeterminism, VersionMismatch) as error:
        wake_at = life.now() + timedelta(seconds=_TRY_AGAIN_S)
        waits_for = f"code that fits its record: {error}"[:500]
        await life.leave(Leave(to=WorkflowStatus.NEEDS_REVIEW, wake_at=wake_at, waits_for=waits_for))
        raise
    except parts.runtime.stops:
        await life.leave(Leave(to=WorkflowStatus.QUEUED, wake_at=life.now(), waits_for="a worker"))
        raise
    if leave is not None:
        await life.leave(leave)  # where that is refused there is news: it is held, and gone through again
    return life.execution


async def _gone_through(parts: Parts, flows: Flows, life: Life) -> Leave | None:
    """Go through the code once; return how the execution is to be left."""
    execution = life.execution
    if execution.crashes > parts.settings.max_crashes:
        reason = f"{execution.crashes} workers in a row died at it"
        _tell_of_dead_letter(parts, execution, reason)
        return Leave(to=WorkflowStatus.NEEDS_REVIEW, pause=Pause.DEAD, pause_reason=reason)
    flow = flows.of(execution)
    if execution.is_cancelled or _is_late(life):
        return await put_away(parts, flow, life)
    given = _fitting(flow, execution, _input(parts, execution))
    tokens = context.life.set(life), context.workflow.set(execution.workflow_id)
    held = context.Holding(execution.tenant, execution.workflow_id, execution.epoch)
    holds = context.holding.set(held)
    of_ledger = parts.pricer.of_workflow(execution.tenant, execution.workflow_id)
    try:
        with of_life(execution, flow.budget, of_ledger, life.now(), parts.runtime.now()):
            returned = await life.turns.conduct(flow.code(life, given))
    except (NonDeterminism, VersionMismatch, StoreError):
        raise
    except Exception as error:  # noqa: BLE001 - how a workflow ends is put on record
        return await ended(parts, flow, life, WorkflowStatus.FAILED, failure_text(error))
    finally:
        context.holding.reset(holds)
        context.workflow.reset(tokens[1])
        context.life.reset(tokens[0])
    if life.broken is not None:
        raise life.broken
    if isinstance(returned, PutAway):
        return await put_away(parts, flow, life)
    try:
        text = read_result(returned, max_bytes=parts.settings.max_result_bytes).text
    except Exception as error:  # noqa: BLE001 - what it returned cannot be kept
        return await ended(parts, flow, life, WorkflowStatus.FAILED, failure_text(error))
    return Leave(to=WorkflowStatus.SUCCEEDED, output=life.sealed(text, "result"))


def _is_late(life: Life) -> bool:
    left_s = life.left_s()
    return left_s is not None and left_s <= 0


def _fitting(flow: Flow, execution: ExecutionRecord, given: dict[str, Any]) -> Mapping[str, Any]:
    """Return the input as the code takes it."""
    if flow.version == execution.version or flow.upgrade is None:
        return given
    try:
        return flow.upgrade(execution.version, given)
    except Exception as error:
        why = f"upgrade= raised {type(error).__name__}: {error}"
        raise VersionMismatch(execution.workflow_id, execution.version, flow.version, why) from error


def _tell_of_dead_letter(parts: Parts, execution: ExecutionRecord, reason: str) -> None:
    workflow_id = execution.workflow_id
    message = (
        f"workflow {workflow_id!r} was put aside: {reason}; look at its last step, then "
        f"`holdfast workflows resume {workflow_id}`"
    )
    parts.alerts.tell(
        Alert(
            code="dead_letter",
            message=message,
            tenant=execution.tenant,
            subject=workflow_id,
            workflow_id=workflow_id,
            at=parts.runtime.now(),
        )
    )
