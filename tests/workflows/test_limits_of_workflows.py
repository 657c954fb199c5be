"""How deep, how wide and how long: what a workflow may begin is refused beyond that, whoever begins it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Budget, RetryPolicy
from holdfast.errors import BudgetExceeded, StepFailed
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

HOUR_S = 3600


def told(refused: BudgetExceeded) -> list[Any]:
    return [refused.account, refused.unit, refused.used, refused.cap]


def digger(process: Process, **options: Any) -> Flow:
    """A workflow that begins another one of its kind, and so on."""
    begins: list[Any] = []

    async def dig(ctx: Any, n: int) -> Any:
        try:
            return await ctx.child(begins[0].declared, n=n + 1)
        except BudgetExceeded as refused:
            return [n, *told(refused)]

    flow = process.workflow(dig, **options)
    begins.append(flow)
    return flow


async def all_driven(process: Process) -> None:
    """Drive whatever is due until nothing is."""
    for _ in range(50):
        due = [row for row in await process.executions() if row.ended_at is None]
        if not due:
            return
        for row in due:
            await process.driven(row.workflow_id)
    raise AssertionError(due)


async def test_a_recursion_ends_at_the_depth_that_it_may_have(site: Site) -> None:
    """COS-18: each generation in a process of its own."""
    await digger(site.open(), budget=Budget(depth=2)).enqueue("w", n=0)
    for _ in range(12):
        process = site.open()
        flow = digger(process, budget=Budget(depth=2))
        for row in await process.executions():
            await process.driven(row.workflow_id)

    assert await flow.run("w", n=0) == [2, "workflow:w", "depth", 2, 2]
    assert len(await process.executions()) == 3


async def test_who_begins_without_waiting_is_a_generation_as_well(site: Site) -> None:
    """COS-18: a workflow that enqueues itself anew comes to an end."""
    process, refusals = site.open(), []
    begins: list[Flow] = []

    async def again(ctx: Any, n: int) -> Any:
        async def begin() -> None:
            await begins[0].enqueue(f"w{n + 1}", n=n + 1)

        def begin_plain() -> None:
            begins[0].declared.enqueue(f"w{n + 1}", n=n + 1)

        try:
            await ctx.step("begin", begin_plain if process.is_sync else begin)
        except BudgetExceeded as refused:
            refusals.append(told(refused))

    begins.append(process.workflow(again))

    async def top(ctx: Any) -> None:
        await again(ctx, 0)

    await process.workflow(top, budget=Budget(depth=3)).begun("top")
    await all_driven(process)

    assert refusals == [["workflow:top", "depth", 3, 3]]
    assert len(await process.executions()) == 4


async def test_so_many_children_may_be_unfinished_at_once(site: Site) -> None:
    """COS-18: those that are begun by branches at once as well; an end makes room."""
    process = site.open()

    async def grow(ctx: Any, n: int) -> int:
        await ctx.wait_for("grow")
        return n

    child = process.workflow(grow)

    async def one(ctx: Any, n: int) -> Any:
        try:
            return await ctx.child(child.declared, n=n)
        except BudgetExceeded as refused:
            return told(refused)

    async def parent(ctx: Any) -> Any:
        first = await asyncio.gather(*(one(ctx, n) for n in range(8)))
        return [*first, await one(ctx, 8)]

    async def parent_plain(ctx: Any) -> Any:
        return [await one(ctx, 0), await one(ctx, 1)]

    flow = process.workflow(parent_plain if process.is_sync else parent, budget=Budget(fan_out=3))
    await flow.begun("w")
    open_ones = await process.executions(parent="w")
    assert len(open_ones) == (1 if process.is_sync else 3)
    for _ in range(2):
        for row in await process.executions(parent="w"):
            if row.ended_at is None:
                await process.signal(row.workflow_id, "grow")
                await process.driven(row.workflow_id)
        await process.driven("w")

    said = await flow.run("w")
    refused = [each for each in said if isinstance(each, list)]
    assert refused == [["workflow:w", "fan_out", 3, 3]] * (0 if process.is_sync else 5)
    assert said[-1] == (1 if process.is_sync else 8)


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_what_was_refused_is_refused_in_every_life(site: Site) -> None:
    """COS-18, STA-01: although there is room by then. Plain code begins its children one after the other."""
    process = site.open()

    def declare(process: Process) -> Flow:
        async def grow(ctx: Any, n: int) -> Any:
            return [n, await ctx.wait_for("grow")]

        child = process.workflow(grow)

        async def one(ctx: Any, n: int) -> Any:
            try:
                return await ctx.child(child.declared, n=n)
            except BudgetExceeded as refused:
                return told(refused)

        async def parent(ctx: Any) -> Any:
            return [*await asyncio.gather(one(ctx, 1), one(ctx, 2)), await ctx.wait_for("go")]

        return process.workflow(parent, budget=Budget(fan_out=1))

    await declare(process).begun("w")
    [child] = await process.executions(parent="w")
    await process.signal(child.workflow_id, "grow", "grown")
    await process.driven(child.workflow_id)
    other = site.open()
    flow = declare(other)
    await other.signal("w", "go", "went")

    assert await flow.run("w") == [[1, "grown"], ["workflow:w", "fan_out", 1, 1], "went"]
    assert len(await other.executions(parent="w")) == 1


@pytest.mark.parametrize("ahead_s", [0, 5 * HOUR_S])
async def test_nothing_more_is_begun_when_its_time_is_over(site: Site, ahead_s: float) -> None:
    """COS-18: no tool, no read, no step, no child; by the store's clock, from when it was first worked on."""
    world, first = Counted(), site.open()

    def declare(process: Process) -> Flow:
        pay = process.tool(world.step("pay"), name="pay", safety="idempotent", retry=False)
        look = process.tool(world.step("look"), name="look", safety="read")

        async def sub(ctx: Any) -> None:
            await pay(n=4)

        child = process.workflow(sub)

        async def body(ctx: Any) -> Any:
            said = [await pay(n=1)]
            await ctx.wait_for("go")
            for ask in (
                lambda: pay(n=2),
                lambda: look(n=3),
                lambda: ctx.step("think", world.step("think")),
                lambda: ctx.child(child.declared),
            ):
                try:
                    said.append(await ask())
                except BudgetExceeded as refused:
                    said.append(told(refused))
            return said

        return process.workflow(body, budget=Budget(wall_clock="2h"))

    flow = declare(first)
    await flow.enqueue("w")
    site.clock.advance(HOUR_S)  # it waits to be begun
    await first.driven("w")
    site.clock.advance(2 * HOUR_S)
    process = site.open(ahead_s=ahead_s)
    flow = declare(process)
    await process.signal("w", "go")
    await process.driven("w")

    late = ["workflow:w", "wall_clock", 2 * HOUR_S, 2 * HOUR_S]
    assert await flow.run("w") == ["pay", late, late, late, late]
    assert world.calls == ["pay"]


@pytest.mark.parametrize("ahead_s", [0, 5 * HOUR_S])
async def test_a_moment_before_its_time_is_over_all_goes_on(site: Site, ahead_s: float) -> None:
    """COS-18: by the store's clock, whatever a worker's own says."""
    world, process = Counted(), site.open()

    async def body(ctx: Any) -> Any:
        await ctx.wait_for("go")
        return await ctx.step("think", world.step("think"))

    await process.workflow(body, budget=Budget(wall_clock="2h")).begun("w")
    site.clock.advance(2 * HOUR_S - 0.001)
    other = site.open(ahead_s=ahead_s)
    flow = other.workflow(body, budget=Budget(wall_clock="2h"))
    await other.signal("w", "go")
    await other.driven("w")

    assert await flow.result("w") == "think"


async def test_the_time_of_who_began_it_is_over_for_a_child_as_well(site: Site) -> None:
    """COS-18: on another worker, that does not know who began it."""
    world, first = Counted(), site.open()

    def declare(process: Process) -> Flow:
        async def sub(ctx: Any) -> Any:
            await ctx.wait_for("go")
            try:
                return await ctx.step("think", world.step("think"))
            except BudgetExceeded as refused:
                return told(refused)

        return process.workflow(sub)

    child = declare(first)

    async def parent(ctx: Any) -> Any:
        return await ctx.child(child.declared)

    flow = first.workflow(parent, budget=Budget(wall_clock="2h"))
    await flow.begun("w")
    [row] = await first.executions(parent="w")
    await first.driven(row.workflow_id)
    site.clock.advance(3 * HOUR_S)
    other = site.open(ahead_s=9 * HOUR_S)
    declare(other)
    await other.signal(row.workflow_id, "go")
    await other.driven(row.workflow_id)
    await first.driven("w")

    assert await flow.run("w") == ["workflow:w", "wall_clock", 3 * HOUR_S, 2 * HOUR_S]
    assert world.calls == []


async def test_another_try_is_something_more(site: Site) -> None:
    """COS-18: what fails when the time is over is not tried again."""
    process, tries = site.open(), []

    def fails() -> None:
        tries.append(1)
        site.clock.advance(HOUR_S)
        raise ConnectionRefusedError

    async def body(ctx: Any) -> Any:
        try:
            await ctx.step("ask", fails, retries=RetryPolicy(maximum_attempts=99, initial_interval=0.001))
        except (BudgetExceeded, StepFailed) as refused:
            return type(refused).__name__

    flow = process.workflow(body, budget=Budget(wall_clock="90m"))

    assert await flow.run("w") == "BudgetExceeded"
    assert len(tries) == 2


@pytest.mark.kinds("memory", "sync-memory")
@pytest.mark.parametrize("odd", [{"depth": 0}, {"fan_out": True}, {"wall_clock": "soon"}, {"wall_clock": -1}])
async def test_limits_that_cannot_be_meant_are_refused(site: Site, odd: dict[str, Any]) -> None:
    from holdfast.errors import InvalidTool

    assert site.open() is not None
    with pytest.raises(InvalidTool):
        Budget(**odd)
