"""DUR-14: one word stops all of an actor's workflows at their next steps, on all workers."""

from __future__ import annotations

from typing import Any

from holdfast._runtime.drive import run_sync
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

BY: dict[str, str] = {"by": "ops@acme", "reason": "the agent is mad"}


def steps(process: Process, world: Counted) -> Flow:
    async def order(ctx: Any) -> Any:
        await ctx.step("one", world.step("one"))
        await ctx.wait_for("go")
        return await ctx.step("two", world.step("two"))

    return process.workflow(order)


async def test_halted_workflows_do_nothing_until_they_may(site: Site) -> None:
    """DUR-14: a signal, a driver and a new beginning change nothing; then all go on where they were."""
    world, process = Counted(), site.open()
    flow = steps(process, world)
    await flow.begun("a")
    await flow.begun("b")

    assert await site.open().halt(**BY) == 2
    await flow.enqueue("c")
    for workflow_id in "abc":
        await process.signal(workflow_id, "go")
        await process.driven(workflow_id)
    assert world.calls == ["one", "one"]
    assert {row.pause for row in await process.executions()} == {"halted"}
    assert [(halt.actor, halt.reason) for halt in await process.halts()] == [
        ("", "ops@acme: the agent is mad")
    ]

    assert await process.unhalt(**BY) == 3
    assert [await flow.run(workflow_id) for workflow_id in "abc"] == ["two"] * 3
    assert (world.count("one"), world.count("two")) == (3, 3)
    assert await process.halts() == []


async def test_a_halt_stops_a_running_workflow_at_its_next_step(site: Site) -> None:
    """DUR-14: it is left by its worker, and nothing more is begun."""
    world, process, other = Counted(), site.open(), site.open()

    async def halting() -> None:
        await other.halt(**BY)

    def plain() -> None:
        run_sync(halting())

    async def order(ctx: Any) -> Any:
        await ctx.step("one", plain if process.is_sync else halting)
        return await ctx.step("two", world.step("two"))

    standing = await process.workflow(order).begun("w")

    assert (standing.is_ended, world.calls) == (False, [])
    assert (await other.execution("w")).owner == ""


async def test_only_the_actors_own_are_halted(site: Site) -> None:
    """DUR-14: another agent's go on; those that are paused for another reason stay so, either way."""
    process = site.open()
    ours, theirs = process.scoped(actor="mad"), process.scoped(actor="sane")
    world = Counted()

    async def order(ctx: Any) -> Any:
        return await ctx.step("one", world.step("one"))

    flow, other = ours.workflow(order), theirs.workflow(order, name="theirs")
    await flow.enqueue("a")
    await flow.enqueue("paused")
    await other.enqueue("b")
    await process.pause("paused", by="ops", reason="before")

    assert await process.halt("mad", **BY) == 1
    assert not (await process.driven("a")).is_ended
    assert (await process.driven("b")).is_ended
    assert await process.unhalt("mad", **BY) == 1
    assert (await process.execution("paused")).pause == "paused"
    assert await flow.run("a") == "one"


async def test_a_halt_of_all_outlasts_the_end_of_a_halt_of_one(site: Site) -> None:
    """DUR-14."""
    process = site.open()
    flow = steps(process, Counted())
    await process.halt(**BY)
    await process.halt("agent", **BY)
    await flow.enqueue("a")

    assert await process.unhalt("agent", **BY) == 0
    assert (await process.execution("a")).pause == "halted"
    assert await process.unhalt(**BY) == 1
