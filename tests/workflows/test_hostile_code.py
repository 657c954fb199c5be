"""DUR-05, STA-06: code that does what it should not does no harm to its record, and none to others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from holdfast._runtime.drive import run_sync
from holdfast.errors import HoldfastError, NonDeterminism, Suspended, WorkflowFailed
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

ASYNC = pytest.mark.kinds("memory", "sqlite", "postgres")


async def test_the_pause_passes_through_except_exception_and_finally(site: Site) -> None:
    """DUR-12: an agent's framework that catches every Exception does not swallow it."""
    process, seen = site.open(), Counted()

    async def careful(ctx: Any) -> Any:
        try:
            return await ctx.wait_for("go")
        except Exception:
            seen.calls.append("except")
            raise
        finally:
            seen.calls.append("finally")

    flow = process.workflow(careful)
    assert (await flow.begun("w")).status == "waiting"
    assert seen.calls == ["finally"]
    await process.signal("w", "go", 1)

    assert await flow.run("w") == 1


async def test_what_a_finally_block_asks_for_while_it_is_put_away_is_not_done(site: Site) -> None:
    """DUR-05: it is asked for again, and done, when the code really comes there."""
    process, world = site.open(), Counted()

    async def tidy(ctx: Any) -> Any:
        try:
            return await ctx.wait_for("go")
        finally:
            await ctx.step("tidy", world.step("tidy"))

    flow = process.workflow(tidy)
    await flow.begun("w")
    assert world.calls == []
    await process.signal("w", "go", 1)

    assert await flow.run("w") == 1
    assert world.calls == ["tidy"]


async def test_code_that_swallows_the_pause_is_put_away_all_the_same(site: Site) -> None:
    """DUR-12: a bare except makes nothing up: what it returns then is not the output."""
    process, world = site.open(), Counted()

    async def swallows(ctx: Any) -> Any:
        try:
            said = await ctx.wait_for("go")
        except BaseException:  # noqa: BLE001
            said = "made up"
        for name in ("one", "two"):
            try:
                await ctx.step(name, world.step(name))
            except BaseException:  # noqa: BLE001
                said = "made up"
        return said

    flow = process.workflow(swallows)
    assert (await flow.begun("w")).waits_for == "signal 'go'"
    assert (world.calls, (await process.execution("w")).output) == ([], None)
    await process.signal("w", "go", "gone")

    assert await flow.run("w") == "gone"
    assert world.calls == ["one", "two"]


async def test_an_error_made_of_the_pause_is_not_the_end_of_the_workflow(site: Site) -> None:
    """DUR-12: `except BaseException: raise MyError`."""
    process = site.open()

    async def translates(ctx: Any) -> Any:
        try:
            return await ctx.wait_for("go")
        except BaseException as error:
            raise RuntimeError("translated") from error

    flow = process.workflow(translates)
    assert (await flow.begun("w")).status == "waiting"
    await process.signal("w", "go", "gone")

    assert await flow.run("w") == "gone"


async def test_code_that_raises_the_pause_itself_fails(site: Site) -> None:
    """DUR-12, STA-06: nothing waits, so nothing would ever wake it; and the pause leaves no workflow."""
    process = site.open()

    async def fakes(ctx: Any) -> Any:
        await ctx.step("one", lambda: 1)
        raise Suspended

    standing = await process.lives(_standing(process.workflow(fakes)))

    assert standing is not None, "the pause left the ledger"
    assert standing.status == "failed", standing


async def _standing(flow: Flow) -> Any:
    try:
        return await flow.begun("w")
    except Suspended:
        return None


async def test_a_context_that_outlives_its_code_is_refused_with_an_error(site: Site) -> None:
    """DUR-05: an ordinary one: the pause exists inside of workflows only."""
    process = site.open()
    kept: list[Any] = []

    async def leaks(ctx: Any) -> Any:
        kept.append(ctx)
        return await ctx.step("one", lambda: 1)

    await process.workflow(leaks).run("w")

    with pytest.raises(HoldfastError):
        await kept[0].step("late", lambda: 2)
    assert await process.names("w") == ["one", "leaks"]


@ASYNC
async def test_a_task_that_outlives_the_code_puts_nothing_on_record(site: Site) -> None:
    """DUR-05: the output is what the code returned; the stray task hears that it is over."""
    process, go = site.open(), asyncio.Event()
    heard: list[Any] = []

    async def late() -> None:
        await go.wait()

    async def strays(ctx: Any) -> Any:
        async def stray() -> None:
            try:
                await ctx.step("stray", late)
                await ctx.step("more", late)
            except BaseException as error:
                heard.append(type(error).__name__)
                raise

        task = asyncio.ensure_future(stray())
        heard.append(task)
        await ctx.step("one", lambda: 1)
        return "done"

    flow = process.workflow(strays)
    assert await flow.run("w") == "done"
    go.set()
    await asyncio.gather(heard[0], return_exceptions=True)

    assert await process.names("w") == ["one", "strays"]
    assert await flow.run("w") == "done"


async def test_a_step_inside_of_a_step_is_refused_or_replays(site: Site) -> None:
    """DUR-05: what a step's function calls is not a part of the code, so it is never asked for in a replay."""
    process = site.open()

    async def nests(ctx: Any) -> Any:
        async def asynchronous() -> Any:
            return await ctx.step("inner", lambda: 1)

        def plain() -> Any:
            return run_sync(asynchronous())

        said = await ctx.step("outer", plain if process.is_sync else asynchronous, retries=0)
        await ctx.wait_for("go")
        return said

    flow = process.workflow(nests)
    if (await flow.begun("w")).status == "failed":
        return  # refused at once
    await process.signal("w", "go")

    assert await flow.run("w") == 1


@ASYNC
async def test_a_tool_inside_of_a_step_is_an_effect_of_the_workflow_and_executed_once(site: Site) -> None:
    """DUR-06, PLN-06: the step may run again after a crash; the effect is its own record and does not."""
    world = Counted()

    def declare(process: Process, *, dies: bool) -> Any:
        charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge")

        async def both() -> Any:
            charged = await charge(amount=5)
            if dies:
                process.die()
            return charged

        async def order(ctx: Any) -> Any:
            return await ctx.step("both", both)

        return process.workflow(order)

    first = site.open()
    await first.lives(declare(first, dies=True).run("w"))
    site.recover()

    assert await declare(site.open(), dies=False).run("w") == {"id": "ch_1"}
    assert world.calls == ["charge"]


@ASYNC
async def test_code_that_is_cancelled_from_inside_fails_and_says_so(site: Site) -> None:
    """DUR-16: a library cancels the task it runs in; that is no pause and no cancellation of the workflow."""
    process = site.open()

    async def cancels(ctx: Any) -> Any:
        await ctx.step("one", lambda: 1)
        task: Any = asyncio.current_task()
        task.cancel()
        await asyncio.sleep(1)

    with pytest.raises(WorkflowFailed, match="cancelled"):
        await process.workflow(cancels).run("w")


@ASYNC
async def test_the_pause_inside_of_a_task_group_is_unwrapped(site: Site) -> None:
    """DUR-12: a BaseExceptionGroup of pauses is a pause."""
    process = site.open()

    async def grouped(ctx: Any) -> Any:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(inner(ctx))
        return "done"

    async def inner(ctx: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b"):
                group.create_task(ctx.wait_for(name))

    flow = process.workflow(grouped)
    assert (await flow.begun("w")).waits_for == "signal 'a' and signal 'b'"
    await process.signal("w", "a")
    assert (await process.driven("w")).waits_for == "signal 'b'"
    await process.signal("w", "b")

    assert await flow.run("w") == "done"


@ASYNC
async def test_code_in_a_thread_that_blocks_the_loop_is_the_same_in_its_next_life(site: Site) -> None:
    """DUR-05: a slow stretch between two steps is no divergence."""
    process = site.open()

    async def slow(ctx: Any) -> Any:
        await ctx.step("one", lambda: 1)
        threading.Event().wait(0.05)
        await asyncio.sleep(0.05)
        await ctx.step("two", lambda: 2)
        await ctx.wait_for("go")
        return "done"

    flow = process.workflow(slow)
    await flow.begun("w")
    await process.signal("w", "go")

    assert await flow.run("w") == "done"


async def test_the_world_seen_without_a_step_is_a_divergence_when_it_matters(site: Site) -> None:
    """DUR-05: code that reads a global that changed."""
    process, world = site.open(), {"limit": 1}

    async def reads(ctx: Any) -> Any:
        for number in range(world["limit"]):
            await ctx.step(f"step {number}", lambda: 1)
        await ctx.wait_for("go")

    process.workflow(reads)
    flow = process.workflow(reads, version="2")
    await flow.begun("w")
    world["limit"] = 0
    await process.signal("w", "go")

    with pytest.raises(NonDeterminism, match="step 'step 0'"):
        await process.driven("w")
