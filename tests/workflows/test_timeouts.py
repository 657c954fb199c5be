"""RET-18: a try, a tool and a workflow end when their time is over, each with what that means for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast import Done
from holdfast.errors import StepFailed, WorkflowFailed
from workflows.sites import Process, Site
from workflows.worlds import Counted

LIMIT_S = 0.05


def hanging(process: Process, world: Counted, *, times: int = 1_000) -> Callable[..., Any]:
    """A function of a step that takes longer than any limit, so many times."""

    def plain(**given: Any) -> str:
        world.calls.append("hangs")
        if world.count("hangs") <= times:
            process.site.clock.advance(10)
        return "in time"

    async def asynchronous(**given: Any) -> str:
        world.calls.append("hangs")
        if world.count("hangs") <= times:
            await asyncio.Event().wait()
        return "in time"

    return plain if process.is_sync else asynchronous


async def test_a_step_that_never_returns_ends_at_its_timeout_and_is_tried_again(site: Site) -> None:
    """RET-18, DUR-03: a step changes nothing, so its timeout is an ordinary failure of one try."""
    world, process = Counted(), site.open()

    async def waits(ctx: Any) -> Any:
        return await ctx.step("ask", hanging(process, world, times=2), retries=3, timeout=LIMIT_S)

    assert await process.workflow(waits).run("w") == "in time"
    assert (world.count("hangs"), (await process.told("w"))[0].attempts) == (3, 3)


async def test_a_step_that_never_returns_fails_when_its_tries_are_over(site: Site) -> None:
    """RET-18: told as any failure is, in every life."""
    world, process = Counted(), site.open()

    async def waits(ctx: Any) -> Any:
        try:
            await ctx.step("ask", hanging(process, world), retries=1, timeout=LIMIT_S)
        except StepFailed as failed:
            said = [failed.error_type, failed.attempts]
        await ctx.wait_for("go")
        return said

    flow = process.workflow(waits)
    await flow.begun("w")
    await process.signal("w", "go")

    assert await flow.run("w") == ["TimeoutError", 2]
    assert world.count("hangs") == 2


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_a_thread_that_never_returns_is_given_up(site: Site) -> None:
    """RET-18: what it brings later is nobody's."""
    process, go = site.open(), threading.Event()

    async def waits(ctx: Any) -> Any:
        try:
            return await ctx.step("ask", go.wait, retries=0, timeout=LIMIT_S)
        except StepFailed as failed:
            return failed.error_type

    try:
        assert await process.workflow(waits).run("w") == "TimeoutError"
    finally:
        go.set()
    assert await process.names("w") == ["ask", "waits"]


async def test_a_write_that_never_returns_is_doubt_and_waits_for_evidence(site: Site) -> None:
    """RET-18, STA-04: unknown, never failed; a person's word lets the workflow go on."""
    world, process = Counted(), site.open()

    if process.is_sync:

        def charge(amount: int) -> str:
            return str(hanging(process, world)())

        declared = process.ledger.tool(timeout=LIMIT_S)(charge)

        async def charged() -> Any:
            return declared(amount=5)
    else:

        async def charge_slowly(amount: int) -> str:
            return str(await hanging(process, world)())

        tool = process.ledger.tool(timeout=LIMIT_S)(charge_slowly)

        async def charged() -> Any:
            return await tool(amount=5)

    async def order(ctx: Any) -> Any:
        return await charged()

    flow = process.workflow(order)
    standing = await flow.begun("w")
    [doubt] = await process.effects(workflow_id="w")
    assert (standing.status, doubt.state) == ("needs_review", "unknown")
    assert (await process.workflow_state("w")).status == "needs_review"
    await process.resolve(doubt.key, Done("ch_1"), by="ops", reason="seen")

    assert (await process.execution("w")).wake_at == site.clock()  # the evidence wakes it
    assert await flow.run("w") == "ch_1"
    assert world.count("hangs") == 1


async def test_a_workflow_fails_when_its_time_is_over_while_it_waits(site: Site) -> None:
    """RET-18: waits included; it is due then, so that somebody ends it."""
    process, begun_at = site.open(), site.clock()

    async def waits(ctx: Any) -> Any:
        await ctx.wait_for("go")

    flow = process.workflow(waits, timeout="1h")
    standing = await flow.begun("w")
    assert standing.wake_at == begun_at + timedelta(hours=1)
    site.clock.advance(3599)
    assert not (await process.driven("w")).is_ended
    site.clock.advance(2)
    await process.driven("w")

    with pytest.raises(WorkflowFailed) as failed:
        await flow.run("w")
    assert failed.value.error_type == "WorkflowTimeout"


async def test_a_workflow_whose_time_is_over_says_what_it_waited_for(site: Site) -> None:
    """RET-18, STA-17: people have to know who was slow."""
    process = site.open()

    async def waits(ctx: Any) -> Any:
        await ctx.wait_for("go")

    flow = process.workflow(waits, timeout="1h")
    await flow.begun("w")
    site.clock.advance(3601)
    await process.driven("w")

    with pytest.raises(WorkflowFailed, match="signal 'go'"):
        await flow.run("w")


async def test_a_workflow_whose_time_is_over_begins_nothing_more(site: Site) -> None:
    """RET-18: the step under way is finished, the next one is not begun."""
    world, process = Counted(), site.open()

    async def slow(ctx: Any) -> Any:
        await ctx.step("first", lambda: site.clock.advance(3601))
        await ctx.step("second", world.step("second"))

    with pytest.raises(WorkflowFailed) as failed:
        await process.workflow(slow, timeout="1h").run("w")

    assert failed.value.error_type == "WorkflowTimeout"
    assert world.calls == []


async def test_a_workflow_that_is_restarted_has_all_its_time_again(site: Site) -> None:
    """RET-18, DUR-14."""
    process = site.open()

    async def waits(ctx: Any) -> Any:
        return await ctx.wait_for("go")

    flow = process.workflow(waits, timeout="1h")
    await flow.begun("w")
    site.clock.advance(3601)
    await process.driven("w")
    await process.restart("w")
    await process.driven("w")
    site.clock.advance(3000)
    await process.signal("w", "go", "gone")

    assert await flow.run("w") == "gone"
