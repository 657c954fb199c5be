"""CMP-02, DUR-14: code that has ended may have branches under way; what they are at is undone and cancelled with the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Undone
from holdfast.errors import WorkflowFailed
from holdfast.ports import ExecutionQuery
from promises.ledgers import PATIENCE_S
from workflows.sites import Process, Site
from workflows.worlds import Counted, until

pytestmark = pytest.mark.kinds("memory", "sqlite", "postgres")
LONG = 300  # turns of the loop: far more than a store in memory takes to undo and to leave


class Held:
    """Holds a process at one boundary of its store, until the test lets it go on."""

    def __init__(self, process: Process, name: str) -> None:
        self.reached, self._goes_on = asyncio.Event(), asyncio.Event()
        passes = process.faults.reach

        async def reach(boundary: str) -> None:
            await passes(boundary)
            if boundary == name and not self.reached.is_set():
                self.reached.set()
                await self._goes_on.wait()

        process.faults.reach = reach  # type: ignore[method-assign]

    async def let_go(self, running: asyncio.Future[Any]) -> None:
        """Let it go on once everything else has come as far as it does without."""
        for _ in range(LONG):
            if running.done():
                break
            await asyncio.sleep(0)
        self._goes_on.set()


async def test_an_effect_that_a_branch_is_about_to_begin_is_undone_with_the_others(site: Site) -> None:
    """CMP-02: the code fails in the moment in which a branch of it claims a charge."""
    world, process = Counted(), site.open()
    held = Held(process, "before claim")

    async def refund(original: Undone) -> str:
        world.calls.append("refund")
        return "refunded"

    refunding = process.ledger.tool(name="refund", safety="idempotent")(refund)
    charge = process.tool(world.step("charge"), name="charge", compensate=refunding)

    async def fails(ctx: Any) -> None:
        async def refuses() -> None:
            await held.reached.wait()
            raise ValueError("no seat")

        await asyncio.gather(charge(day=1), refuses())

    running = asyncio.ensure_future(process.workflow(fails, on_failure="compensate").run("w"))
    async with asyncio.timeout(PATIENCE_S):
        await held.reached.wait()
    await held.let_go(running)
    with pytest.raises(WorkflowFailed, match="no seat"):
        await running
    await process.ledger.close()

    assert world.calls == ["charge", "refund"]


@pytest.mark.parametrize("is_grouped", [False, True])
async def test_a_child_that_a_branch_is_about_to_begin_is_cancelled_with_the_others(
    site: Site, is_grouped: bool
) -> None:
    """DUR-14: whether the branch is called off with the code or not."""
    process = site.open()

    async def waits(ctx: Any) -> None:
        await ctx.wait_for("never")

    def refuses() -> None:
        raise ValueError("no seat")

    child = process.workflow(waits)
    held: Held

    async def fails(ctx: Any) -> None:
        async def breaks() -> None:
            await held.reached.wait()
            await ctx.step("refuses", refuses, retries=0)

        if is_grouped:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.child(child.declared))
                group.create_task(breaks())
        else:
            await asyncio.gather(ctx.child(child.declared), breaks())

    flow = process.workflow(fails)
    await flow.enqueue("w")
    held = Held(process, "before begin")
    driving = asyncio.ensure_future(process.driven("w"))
    async with asyncio.timeout(PATIENCE_S):
        await held.reached.wait()
    await held.let_go(driving)
    await driving
    with pytest.raises(WorkflowFailed):
        await flow.result("w")

    async def is_begun() -> bool:
        return process.faults.trace.count("after begin") == 2  # the parent, and its child

    await until(is_begun)
    query = ExecutionQuery(tenant="default", parent="w", limit=10)
    children = await process.ledger._engine.parts.store.executions(query)
    assert [each.status for each in children] == ["cancelled"]
