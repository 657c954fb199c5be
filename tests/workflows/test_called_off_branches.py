"""DUR-05, DUR-12: a branch that is called off takes nothing along: no end of another one, no place in the order."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

from holdfast.errors import StepFailed
from promises.ledgers import PATIENCE_S
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

pytestmark = pytest.mark.kinds("memory", "sqlite", "postgres")


def with_a_failing_sibling(process: Process, world: Counted, *, after: int) -> Flow:
    """One branch fails after so many steps while the other one goes from step to step."""

    def broken() -> None:
        raise ValueError("no")

    async def grouped(ctx: Any) -> Any:
        async def fails() -> None:
            for n in range(after):
                await ctx.step(f"before {n}", world.step(f"before {n}"))
            await ctx.step("broken", broken, retries=0)

        async def works() -> None:
            for n in range(after + 3):
                await ctx.step(f"work {n}", world.step(f"work {n}"))

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(works())
                group.create_task(fails())
        except* StepFailed:
            pass
        return [await ctx.step("after", world.step("after")), await ctx.wait_for("go")]

    return process.workflow(grouped)


@pytest.mark.parametrize("after", range(4))
async def test_a_branch_called_off_while_its_end_is_written_holds_nobody_up(site: Site, after: int) -> None:
    """DUR-05: whenever its sibling fails: what is being written is written, and the code goes on."""
    world, first = Counted(), site.open()
    async with asyncio.timeout(PATIENCE_S):
        standing = await with_a_failing_sibling(first, world, after=after).begun("w")
    assert standing.waits_for == "signal 'go'", standing

    second = site.open()
    flow = with_a_failing_sibling(second, world, after=after)
    await second.signal("w", "go", "gone")

    assert await flow.run("w") == ["after", "gone"]
    assert len(world.calls) == len(set(world.calls)), world.calls


async def test_the_record_has_no_holes_where_a_branch_was_called_off(site: Site) -> None:
    """DUR-05: ends have positions from 1 without a gap, or nobody would ever go on from it."""
    process = site.open()
    async with asyncio.timeout(PATIENCE_S):
        await with_a_failing_sibling(process, Counted(), after=1).begun("w")

    positions = [step.position for step in await process.steps("w") if step.position is not None]
    assert positions == list(range(1, len(positions) + 1))


async def test_a_step_in_a_thread_that_is_called_off_has_not_failed(site: Site) -> None:
    """DUR-05: the pause of a cancelled branch is no error of its function, and is not swallowed by retries."""
    process, begun = site.open(), asyncio.Event()
    loop, ends = asyncio.get_running_loop(), threading.Event()

    def slow() -> str:
        loop.call_soon_threadsafe(begun.set)
        ends.wait(PATIENCE_S)
        return "slow"

    async def calls_off(ctx: Any) -> Any:
        slowly = asyncio.ensure_future(ctx.step("slow", slow))
        await begun.wait()
        slowly.cancel()
        await asyncio.wait({slowly})
        ends.set()
        return [slowly.cancelled(), await ctx.step("after", lambda: "after")]

    assert await process.workflow(calls_off).run("w") == [True, "after"]


async def test_code_that_waits_for_a_branch_by_other_means_is_put_away_with_it(site: Site) -> None:
    """DUR-12: a queue that a waiting branch would fill: nothing is held, and it goes on when that branch does."""

    def declare(process: Process) -> Flow:
        async def hands_over(ctx: Any) -> Any:
            letters: asyncio.Queue[Any] = asyncio.Queue()

            async def fetch() -> None:
                letters.put_nowait(await ctx.wait_for("go"))

            fetching = asyncio.ensure_future(fetch())
            letter = await letters.get()
            await fetching
            return letter

        return process.workflow(hands_over)

    first = site.open()
    async with asyncio.timeout(PATIENCE_S):
        standing = await declare(first).begun("w")
    assert (standing.status, standing.waits_for) == ("waiting", "signal 'go'")
    second = site.open()
    flow = declare(second)
    await second.signal("w", "go", "gone")

    assert await flow.run("w") == "gone"


async def test_code_that_does_not_end_when_it_is_put_away_is_not_waited_for_for_ever(site: Site) -> None:
    """DUR-12: it hangs in a finally block, or swallows what it is told; the worker is free all the same."""
    process = site.open()

    async def lingers(ctx: Any) -> Any:
        try:
            return await ctx.wait_for("go")
        finally:
            for _ in range(2):
                with suppress(BaseException):
                    await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE_S):
        assert (await process.workflow(lingers).begun("w")).waits_for == "signal 'go'"


async def test_code_that_ends_while_a_branch_of_it_waits_has_ended(site: Site) -> None:
    """DUR-05: its error, or its output, comes in the moment in which it would have been put away."""
    process = site.open()

    async def fails(ctx: Any) -> Any:
        async def refuses() -> None:
            await asyncio.sleep(0.05)  # the world, outside of a step
            raise ValueError("no")

        await asyncio.gather(ctx.wait_for("never"), refuses())

    async with asyncio.timeout(PATIENCE_S):
        standing = await process.workflow(fails).begun("w")
    assert standing.status == "failed", standing
