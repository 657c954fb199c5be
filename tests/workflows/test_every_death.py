"""STA-01: whatever the moment of death, what had ended is not done again, and the end is that of an undisturbed run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Done, NotDone, Permanent
from holdfast.errors import EffectFailed, StepFailed
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

Declare = Callable[[Process, Counted], Flow]
DAY_S = 86_400


async def undisturbed(site: Site, declare: Declare) -> tuple[Any, list[str], list[str]]:
    """What a run that nobody kills returns, what is on record of it, and what it did."""
    world, process = Counted(), site.open(tenant=site.world())
    output = await to_its_end(process, declare(process, world))
    return output, await process.names("w"), world.calls


async def to_its_end(process: Process, flow: Flow) -> Any:
    """Drive a workflow to its end; what it waits for comes."""
    await flow.enqueue("w")
    for _ in range(10):
        standing = await process.driven("w")
        if standing.is_ended:
            return await flow.run("w")
        if standing.wake_at is not None:
            process.site.clock.advance(max((standing.wake_at - process.site.clock()).total_seconds(), 0))
        await process.signal("w", "go", "gone", signal_id="go")
    raise AssertionError(standing)


async def every_death(site: Site, declare: Declare, *, exact: tuple[str, ...] = (), sparing: int = 1) -> int:
    """Kill the run at each boundary in turn; the next process finishes it as if nothing had happened.

    Args:
        exact: What happens once in any history; of other steps the one that was under way may run again.
        sparing: On the slow kinds only every so many-th boundary; a store in memory is tried at each.
    """
    output, names, calls = await undisturbed(site, declare)
    strides = {"sync-memory": 1, "memory": sparing, "sqlite": 3, "sync-sqlite": 3}
    for die_at in range(0, 400, strides.get(site.kind, 7)):
        world, tenant = Counted(), site.world()
        first = site.open(tenant=tenant, die_at=die_at)
        await first.lives(to_its_end(first, declare(first, world)))
        site.recover()
        second = site.open(tenant=tenant)
        at = first.faults.died_at
        assert await to_its_end(second, declare(second, world)) == output, at
        assert await second.names("w") == names, at
        assert all(world.count(name) == calls.count(name) for name in exact), (at, world.calls)
        assert len(world.calls) - len(calls) <= (at is not None), (at, world.calls)
        await site.close()
        if at is None:
            return die_at
    raise AssertionError


async def test_twenty_steps_die_at_every_boundary(site: Site) -> None:
    """STA-01, DUR-02, DUR-16: every counter is 1, but for the one step that was under way."""

    def declare(process: Process, world: Counted) -> Flow:
        async def long(ctx: Any) -> list[str]:
            return [await ctx.step(f"step {n}", world.step(f"step {n}")) for n in range(20)]

        return process.workflow(long)

    assert await every_death(site, declare, sparing=3) > 80


async def test_models_tools_and_waits_die_at_every_boundary(site: Site) -> None:
    """STA-01, STA-04, DUR-09, DUR-12: a tool that may be asked for evidence runs once."""

    def declare(process: Process, world: Counted) -> Flow:
        def found(effect: Any) -> Done | NotDone:
            return Done({"charged": 5}) if "charge" in world.calls else NotDone()

        charge = process.tool(world.step("charge", {"charged": 5}), name="charge", reconcile=found)

        async def order(ctx: Any) -> Any:
            said = [await ctx.step(f"model {n}", world.step(f"model {n}")) for n in range(3)]
            said.append(await charge(amount=5))
            await ctx.sleep("1d")
            said.append(await ctx.wait_for("go", timeout="7d"))
            return [*said, await ctx.step("write", world.step("written"))]

        return process.workflow(order)

    await every_death(site, declare, exact=("charge",))


async def test_a_step_that_fails_dies_at_every_boundary(site: Site) -> None:
    """STA-01, DUR-03: its tries are as many, but for the one under way; the code hears the same."""

    def declare(process: Process, world: Counted) -> Flow:
        def broken() -> None:
            world.calls.append("broken")
            raise ConnectionError("away")

        async def tries(ctx: Any) -> Any:
            try:
                await ctx.step("broken", broken, retries=2)
            except StepFailed as failed:
                said = [failed.error_type, failed.error_message, failed.attempts]
            return [said, await ctx.step("after", world.step("after"))]

        return process.workflow(tries)

    await every_death(site, declare)


async def test_a_tool_that_fails_dies_at_every_boundary(site: Site) -> None:
    """STA-01: the code hears the same of it, whether it was told by the tool or by the record."""

    def declare(process: Process, world: Counted) -> Flow:
        def declined(amount: int) -> None:
            world.calls.append("charge")
            raise Permanent("declined")

        charge = process.tool(declined, name="charge", reconcile=lambda effect: NotDone())

        async def order(ctx: Any) -> Any:
            try:
                await charge(amount=5)
            except EffectFailed as failed:
                said = [failed.error_type, failed.error_message, failed.state]
            return [said, await ctx.step("after", world.step("after"))]

        return process.workflow(order)

    await every_death(site, declare)


@pytest.mark.kinds("memory", "sync-memory", "sqlite", "sync-sqlite")
async def test_who_takes_over_dies_at_every_boundary_too(site: Site) -> None:
    """STA-01, STA-18: two deaths, each anywhere."""

    def declare(process: Process, world: Counted) -> Flow:
        charge = process.tool(world.step("charge", "charged"), name="charge", safety="idempotent")

        async def order(ctx: Any) -> Any:
            said = await ctx.step("think", world.step("think"))
            return [said, await charge(amount=5)]

        return process.workflow(order)

    output, names, _ = await undisturbed(site, declare)
    seconds = 0
    for die_at in range(0, 60, 3):
        for die_again in range(0, 60, 3):
            world, tenant = Counted(), site.world()
            for at in (die_at, die_again):
                process = site.open(tenant=tenant, die_at=at)
                await process.lives(to_its_end(process, declare(process, world)))
                site.recover()
            last = site.open(tenant=tenant)
            assert await to_its_end(last, declare(last, world)) == output
            assert await last.names("w") == names
            seconds += process.faults.died_at is not None
            await site.close()
            if process.faults.died_at is None:
                break
    assert seconds > 10
