"""Executions that somebody takes, and lets go of at once when he is stopped on the way."""

from __future__ import annotations

from contextlib import suppress

from holdfast._core.advance import Advanced, BeginExecution, Leave, Outrun, Progress, TakeExecution
from holdfast._core.states import WorkflowStatus
from holdfast._runtime.life import PAST_ALL_STEPS
from holdfast._runtime.parts import Parts
from holdfast._runtime.writing import advance_patiently
from holdfast.errors import StoreError
from holdfast.ports import Caller


async def held(parts: Parts, op: BeginExecution | TakeExecution) -> Advanced | Outrun:
    """Apply *op*; whoever is stopped meanwhile lets go of what it takes: nobody has to wait for a lease."""
    if not op.owner:
        return await advance_patiently(parts, op)

    async def write(caller: Caller) -> Advanced | Outrun:
        caller.shield(True)  # noqa: FBT003 - the port's signature
        answer = await advance_patiently(parts, op)
        if caller.left:
            await let_go(parts, op.tenant, op.workflow_id, op.owner)
        return answer

    try:
        return await parts.runtime.shielded(write)
    except parts.runtime.stops:
        await let_go(parts, op.tenant, op.workflow_id, op.owner)
        raise


async def let_go(parts: Parts, tenant: str, workflow_id: str, owner: str) -> None:
    """Queue an execution if *owner* has it: he works on it no more. As well as that goes."""

    async def write(caller: Caller) -> None:
        caller.shield(True)  # noqa: FBT003 - the port's signature
        with suppress(StoreError):  # its lease runs out by itself
            journal = await parts.store.journal(tenant, workflow_id, PAST_ALL_STEPS)
            if journal is None or journal.execution.owner != owner:
                return
            leave = Leave(to=WorkflowStatus.QUEUED, wake_at=journal.now, waits_for="a worker")
            op = Progress(
                tenant=tenant,
                workflow_id=workflow_id,
                epoch=journal.execution.epoch,
                lease_s=parts.settings.lease_s,
                at=parts.runtime.now(),
                leave=leave,
            )
            await parts.store.advance(op)

    await parts.runtime.shielded(write)
