"""DUR-15: what kills its workers is put aside with a reason, and driven again under the same keys."""

from __future__ import annotations

from typing import Any

from holdfast import Settings
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

SETTINGS = Settings(max_crashes=3)
BY: dict[str, str] = {"by": "ops@acme", "reason": "mended"}


def poisonous(process: Process, world: Counted, *, is_deadly: bool = True) -> Flow:
    charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge")

    def poison() -> str:
        world.calls.append("poison")
        return process.die() if is_deadly else "cured"

    async def order(ctx: Any) -> Any:
        charged = await charge(amount=5)
        return [charged, await ctx.step("poison", poison)]

    return process.workflow(order)


async def dead(site: Site, world: Counted) -> int:
    """Let workers die at it until it is put aside; return how many did."""
    first = site.open(settings=SETTINGS)
    await poisonous(first, world).enqueue("w")
    for deaths in range(20):
        process = site.open(settings=SETTINGS)
        poisonous(process, world)
        await process.lives(process.driven("w"))
        if process.faults.died_at is None:
            return deaths
        site.recover()
    raise AssertionError


async def test_what_kills_its_workers_is_put_aside_with_a_reason(site: Site) -> None:
    """DUR-15: after max_crashes deaths without any progress; it kills nobody more."""
    world = Counted()
    deaths = await dead(site, world)
    process = site.open(settings=SETTINGS)
    parked = await process.execution("w")

    assert deaths == SETTINGS.max_crashes + 1
    assert (parked.status, parked.pause) == ("needs_review", "dead_letter")
    assert "workers in a row died at it" in parked.pause_reason
    poisonous(process, world)
    await process.driven("w")
    assert world.count("poison") == deaths


async def test_a_redrive_goes_on_under_the_same_keys(site: Site) -> None:
    """DUR-15, STA-01: no second charge."""
    world = Counted()
    await dead(site, world)
    process = site.open(settings=SETTINGS)
    flow = poisonous(process, world, is_deadly=False)
    [before] = await process.effects(workflow_id="w")
    await process.resume("w", **BY)

    assert await flow.run("w") == [{"id": "ch_1"}, "cured"]
    assert [effect.key for effect in await process.effects(workflow_id="w")] == [before.key]
    assert world.count("charge") == 1
    assert (await process.execution("w")).crashes == 0


async def test_a_redriven_workflow_has_all_its_lives_again(site: Site) -> None:
    """DUR-15: it is not put aside at its next death."""
    world = Counted()
    deaths = await dead(site, world)
    await site.open().resume("w", **BY)

    assert await dead(site, world) == deaths


async def test_people_are_told_of_a_dead_letter(site: Site) -> None:
    """DUR-15: once, with what to do."""
    world = Counted()
    told: list[Any] = []
    first = site.open(settings=SETTINGS)
    await poisonous(first, world).enqueue("w")
    for _ in range(SETTINGS.max_crashes + 3):
        process = site.open(settings=SETTINGS)
        process.ledger._engine.parts.alerts.listeners.append(told.append)
        poisonous(process, world)
        await process.lives(process.driven("w"))
        site.recover()

    [alert] = told
    assert (alert.code, alert.workflow_id) == ("dead_letter", "w")
    assert "workflows resume w" in alert.message


async def test_deaths_between_which_it_came_further_are_not_counted(site: Site) -> None:
    """DUR-15: a long workflow on machines that come and go is no poison."""
    world = Counted()

    def declare(process: Process) -> Flow:
        async def long(ctx: Any) -> Any:
            for number in range(8):
                await ctx.step(f"step {number}", world.step(f"step {number}"))
                if world.count("died") == number:
                    world.calls.append("died")
                    process.die()
            return "done"

        return process.workflow(long)

    first = site.open(settings=SETTINGS)
    await declare(first).enqueue("w")
    for _ in range(8):
        process = site.open(settings=SETTINGS)
        declare(process)
        await process.lives(process.driven("w"))
        site.recover()
    last = site.open(settings=SETTINGS)

    assert await declare(last).run("w") == "done"
    assert all(world.count(f"step {number}") == 1 for number in range(8))


async def test_a_lease_that_runs_out_burns_no_retry(site: Site) -> None:
    """DUR-15, DUR-03: the step that its workers did not survive has all its tries."""
    world, failures = Counted(), [ConnectionError("away")]

    def declare(process: Process, *, dies: bool) -> Flow:
        def flaky() -> str:
            world.calls.append("flaky")
            if dies:
                process.die()
            if failures:
                raise failures.pop()
            return "there"

        async def order(ctx: Any) -> Any:
            return await ctx.step("flaky", flaky, retries=1)

        return process.workflow(order)

    for _ in range(3):
        process = site.open()
        await process.lives(declare(process, dies=True).run("w"))
        site.recover()

    assert await declare(site.open(), dies=False).run("w") == "there"
    assert world.count("flaky") == 3 + 2
