"""What a sample is: code, input, and how far its executions come before they are recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast import Done
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

Flows = Mapping[str, Flow]


@dataclass(frozen=True)
class Sample:
    """A few workflows and how far they come before they are recorded.

    Attributes:
        declare: Declares their code; ``is_old`` when some of it is to be as it was before a change.
        given: The input of each execution that is begun, by the id; the id's part before ``-`` names its workflow.
        before: Brings them to where they are recorded; by default, as far as they come.
        after: What is done to them before they are gone on with.
        is_async: It has branches, or async functions: it is nothing for plain code.
    """

    declare: Callable[..., Flows]
    given: Mapping[str, Mapping[str, Any]]
    before: Callable[[Site, Sample, Counted], Awaitable[None]] | None = None
    after: Callable[[Process], Awaitable[None]] | None = None
    is_async: bool = False


async def begun(process: Process, sample: Sample, flows: Flows, *, only: str = "") -> None:
    """Put a sample's executions into the ledger, or those of one workflow."""
    for workflow_id, given in sample.given.items():
        if workflow_id.startswith(only):
            await flows[workflow_id.partition("-")[0]].enqueue(workflow_id, **given)


async def settled(process: Process) -> None:
    """Drive all that is open until nothing comes further by itself."""
    seen: list[Any] = []
    while seen != (seen := await standings(process)):
        for row in await process.executions():
            if row.ended_at is None and (row.wake_at is None or row.wake_at <= process.site.clock()):
                await process.driven(row.workflow_id)


async def standings(process: Process) -> list[Any]:
    """What tells whether something came further."""
    rows = sorted(await process.executions(), key=lambda row: row.workflow_id)
    return [(row.workflow_id, row.status, row.waits_for, row.news) for row in rows]


def charging(process: Process, world: Counted, **options: Any) -> Callable[..., Awaitable[Any]]:
    """A tool; whoever asks for evidence is told that it was done."""

    def charge(amount: int) -> dict[str, int]:
        world.calls.append(f"charge {amount}")
        return {"charged": amount}

    evidence = Done({"charged": "by evidence"})
    return process.tool(charge, name="charge", reconcile=lambda effect: evidence, **options)
