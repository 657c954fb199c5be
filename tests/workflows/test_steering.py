"""DUR-14: people cancel, pause, resume, fork and restart workflows, and halt all of an actor's."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Permanent
from holdfast._runtime.drive import run_sync
from holdfast.errors import InvalidCall, StepFailed, WorkflowConflict, WorkflowFailed, WorkflowNotFound
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

BY: dict[str, str] = {"by": "ops@acme", "reason": "it is wrong"}


def three(process: Process, world: Counted, meddle: Any = None, **options: Any) -> Flow:
    """Three steps; *meddle* happens inside of the second one."""

    async def order(ctx: Any) -> list[str]:
        said = [await ctx.step("one", world.step("one"))]
        said.append(await ctx.step("two", meddling))
        return [*said, await ctx.step("three", world.step("three"))]

    def plain() -> str:
        world.calls.append("two")
        return "two"

    async def asynchronous() -> str:
        if meddle is not None:
            await meddle()
        return plain()

    def blocking() -> str:
        if meddle is not None:
            run_sync(meddle())
        return plain()

    meddling = blocking if process.is_sync else asynchronous
    return process.workflow(order, **options)


async def waiting(process: Process, **options: Any) -> Flow:
    async def waits(ctx: Any) -> Any:
        return await ctx.wait_for("go")

    flow = process.workflow(waits, **options)
    await flow.begun("w")
    return flow


async def test_a_waiting_workflow_is_cancelled_at_once(site: Site) -> None:
    """DUR-14: and whoever asks for its output is told who did that, and why."""
    process = site.open()
    flow = await waiting(process)
    cancelled = await site.open().cancel("w", **BY)

    assert (cancelled.status, cancelled.pause_reason) == ("cancelled", "ops@acme: it is wrong")
    with pytest.raises(WorkflowFailed) as failed:
        await flow.run("w")
    assert (failed.value.error_type, failed.value.error_message) == (
        "WorkflowCancelled",
        "ops@acme: it is wrong",
    )
    assert not await process.signal("w", "go")


async def test_a_running_workflow_is_cancelled_at_its_next_step(site: Site) -> None:
    """DUR-14: what is under way is finished and on record, what would follow is not begun."""
    world, process, other = Counted(), site.open(), site.open()

    async def meddle() -> None:
        await other.cancel("w", **BY)

    standing = await three(process, world, meddle).begun("w")

    assert (standing.status, world.calls) == ("cancelled", ["one", "two"])
    assert (await process.names("w"))[:2] == ["one", "two"]


async def test_a_paused_workflow_is_left_at_its_next_step_and_goes_on_from_there(site: Site) -> None:
    """DUR-14: nobody goes on with it meanwhile, whatever comes."""
    world, process, other = Counted(), site.open(), site.open()

    async def meddle() -> None:
        await other.pause("w", **BY)

    flow = three(process, world, meddle)
    await flow.begun("w")
    paused = await process.execution("w")
    assert (paused.pause, paused.pause_reason, paused.owner) == ("paused", "ops@acme: it is wrong", "")
    assert world.calls == ["one", "two"]
    await process.signal("w", "anything")
    await process.driven("w")
    assert world.calls == ["one", "two"]

    await other.resume("w", **BY)
    second = site.open()
    assert await three(second, world).run("w") == ["one", "two", "three"]
    assert world.calls == ["one", "two", "three"]


async def test_a_waiting_workflow_that_is_paused_hears_its_signal_when_it_is_resumed(site: Site) -> None:
    """DUR-14, DUR-12."""
    process = site.open()
    flow = await waiting(process)
    await process.pause("w", **BY)
    await process.signal("w", "go", "gone")
    assert not (await process.driven("w")).is_ended
    await process.resume("w", **BY)

    assert await flow.run("w") == "gone"


async def test_a_paused_workflow_can_be_cancelled(site: Site) -> None:
    """DUR-14."""
    process = site.open()
    await waiting(process)
    await process.pause("w", **BY)

    assert (await process.cancel("w", **BY)).status == "cancelled"


async def test_what_has_ended_is_not_steered_and_what_is_unknown_is_said_to_be(site: Site) -> None:
    """DUR-14."""
    world, process = Counted(), site.open()
    await three(process, world).run("w")

    for steer in (process.cancel, process.pause):
        with pytest.raises(InvalidCall, match="has ended"):
            await steer("w", **BY)
        with pytest.raises(WorkflowNotFound):
            await steer("nobody", **BY)
    with pytest.raises(InvalidCall):
        await process.cancel("w", by="", reason="")


def failing_once(process: Process, world: Counted, failures: list[str]) -> Flow:
    charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge")

    def fragile() -> str:
        world.calls.append("fragile")
        if failures:
            raise ValueError(failures.pop())
        return "done"

    async def order(ctx: Any) -> Any:
        charged = await charge(amount=5)
        return [charged, await ctx.step("fragile", fragile, retries=0)]

    return process.workflow(order)


async def test_a_failed_workflow_is_restarted_from_its_record(site: Site) -> None:
    """DUR-14: the failure is forgotten, what was done is not: no second charge, under the same key."""
    world, failures, process = Counted(), ["no"], site.open()
    flow = failing_once(process, world, failures)
    with pytest.raises(WorkflowFailed):
        await flow.run("w")
    [before] = await process.effects(workflow_id="w")

    assert (await process.restart("w")).status == "queued"
    assert await flow.run("w") == [{"id": "ch_1"}, "done"]
    assert [effect.key for effect in await process.effects(workflow_id="w")] == [before.key]
    assert world.calls == ["charge", "fragile", "fragile"]


async def test_a_failure_that_the_code_went_on_from_stays_on_record(site: Site) -> None:
    """DUR-14: what came after it was made because of it."""
    world, failures, process = Counted(), ["no"], site.open()

    def sold_out() -> None:
        world.calls.append("first choice")
        raise ValueError("sold out")

    async def order(ctx: Any) -> Any:
        try:
            await ctx.step("first choice", sold_out, retries=0)
        except StepFailed:
            await ctx.step("second choice", world.step("second choice"))
        if failures:
            raise ValueError(failures.pop())
        return "ended"

    flow = process.workflow(order)
    with pytest.raises(WorkflowFailed):
        await flow.run("w")
    await process.restart("w")

    assert await flow.run("w") == "ended"
    assert world.calls == ["first choice", "second choice"]


async def test_a_workflow_whose_tool_failed_for_good_is_forked_from_there(site: Site) -> None:
    """DUR-14: its effect is final, so a restart could only fail again; a fork's is its own, under a key of its own."""
    world, failures, process = Counted(), ["declined"], site.open()

    def charge(amount: int) -> str:
        world.calls.append("charge")
        if failures:
            raise Permanent(failures.pop())
        return "charged"

    guarded = process.tool(charge, name="charge")

    async def order(ctx: Any) -> Any:
        await ctx.step("think", world.step("think"))
        return await guarded(amount=5)

    flow = process.workflow(order)
    with pytest.raises(WorkflowFailed):
        await flow.run("w")

    with pytest.raises(InvalidCall, match="fork it from step 2"):
        await process.restart("w")
    await process.fork("w", "w-2", from_step=2)
    assert await flow.run("w-2") == "charged"
    assert world.calls == ["think", "charge", "charge"]


async def test_nobody_goes_on_from_what_was_deleted(site: Site) -> None:
    """DUR-14, STA-16: without the effect's record nobody knows what it came to, and it is not done again."""
    world, process = Counted(), site.open()
    charge = process.tool(world.step("charge", "charged"), name="charge")

    def fragile() -> None:
        raise ValueError("no")

    async def order(ctx: Any) -> Any:
        await charge(amount=5)
        await ctx.wait_for("go")
        await charge(amount=6)
        await ctx.step("fragile", fragile, retries=0)

    flow = process.workflow(order)
    await flow.begun("w")
    site.clock.advance(3600)
    await process.signal("w", "go")
    with pytest.raises(WorkflowFailed):
        await flow.run("w")
    assert (await process.reap(older_than="30m")).removed == 1

    with pytest.raises(InvalidCall, match="was deleted"):
        await process.restart("w")
    with pytest.raises(InvalidCall, match="was deleted"):
        await process.fork("w", "w-2", from_step="fragile")
    assert (await process.fork("w", "w-3", from_step=1)).status == "queued"
    assert world.calls == ["charge", "charge"]


async def test_a_cancelled_workflow_is_restarted_and_waits_where_it_was(site: Site) -> None:
    """DUR-14."""
    process = site.open()
    flow = await waiting(process)
    await process.cancel("w", **BY)
    await process.restart("w")
    assert (await process.driven("w")).waits_for == "signal 'go'"
    await process.signal("w", "go", "gone")

    assert await flow.run("w") == "gone"


async def test_what_ended_well_is_not_restarted(site: Site) -> None:
    """DUR-14: that would be a way to do it twice."""
    world, process = Counted(), site.open()
    await three(process, world).run("w")

    with pytest.raises(InvalidCall, match="nothing to restart"):
        await process.restart("w")
    with pytest.raises(WorkflowNotFound):
        await process.restart("nobody")


@pytest.mark.parametrize("from_step", ["two", 2])
async def test_a_fork_goes_on_from_a_step_of_another_workflow(site: Site, from_step: Any) -> None:
    """DUR-14: what came before is its record too, and the source stays as it was."""
    world, process = Counted(), site.open()
    flow = three(process, world)
    await flow.run("w")
    before = await process.told("w")
    forked = await process.fork("w", "w-2", from_step=from_step)

    assert (forked.status, forked.workflow_id) == ("queued", "w-2")
    assert await flow.run("w-2") == ["one", "two", "three"]
    assert world.calls == ["one", "two", "three", "two", "three"]
    assert await process.told("w") == before


async def test_what_a_fork_does_are_effects_of_its_own(site: Site) -> None:
    """DUR-14: what the source did before the fork is not done again, what it did after it is."""
    world, process = Counted(), site.open()
    charge = process.tool(world.step("charge", "charged"), name="charge")

    async def order(ctx: Any) -> Any:
        first = await charge(amount=1)
        await ctx.step("think", world.step("think"))
        return [first, await charge(amount=2)]

    flow = process.workflow(order)
    await flow.run("w")
    await process.fork("w", "w-2", from_step="think")

    assert await flow.run("w-2") == ["charged", "charged"]
    assert world.calls == ["charge", "think", "charge", "think", "charge"]
    assert len(await process.effects(workflow_id="w-2")) == 1


async def test_a_fork_needs_a_step_and_a_new_id(site: Site) -> None:
    """DUR-14."""
    world, process = Counted(), site.open()
    await three(process, world).run("w")

    with pytest.raises(InvalidCall, match="no step 'four'"):
        await process.fork("w", "w-2", from_step="four")
    with pytest.raises(InvalidCall, match="no step 9"):
        await process.fork("w", "w-2", from_step=9)
    with pytest.raises(WorkflowConflict):
        await process.fork("w", "w", from_step=1)
    with pytest.raises(WorkflowNotFound):
        await process.fork("nobody", "w-2", from_step=1)


async def test_workflows_are_listed_by_what_is_so_of_them(site: Site) -> None:
    """DUR-14, STA-17."""
    process = site.open()
    flow = await waiting(process, queue="slow")
    await flow.enqueue("x")
    await process.pause("x", **BY)

    async def listed(**query: Any) -> list[str]:
        return [row.workflow_id for row in await site.open().executions(**query)]

    assert await listed() == ["x", "w"]
    assert await listed(status="waiting") == ["w"]
    assert await listed(is_paused=True) == ["x"]
    assert await listed(workflow="waits", queue="slow", limit=1) == ["x"]
    assert await listed(workflow="other") == []
    with pytest.raises(InvalidCall):
        await listed(status="dead")
