"""DUR-13, DUR-14: what is stopped while its worker is dead holds up nobody, and takes its turn when it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast._runtime.drive import run_sync
from holdfast.engines.queues import Rounds, rounds_of
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

BY: dict[str, str] = {"by": "ops@acme", "reason": "looking into it"}
RULES: list[dict[str, int]] = [{"concurrency": 1}, {"per_key": 1}]


def working(process: Process, world: Counted, actor: str) -> Flow:
    async def job(ctx: Any, name: str) -> Any:
        return await ctx.step("work", world.step("work", name))

    scoped = process.scoped(actor=actor)
    return scoped.workflow(job, name=f"job of {actor}", queue="jobs", limit_key=lambda given: "k")


def rounds_on(process: Process) -> Rounds:
    return rounds_of(process.ledger._engine, None)


async def as_worker(process: Process, work: Any, *args: Any) -> Any:
    """Do what a worker of this face does."""
    return await process.do(lambda: run_sync(work(*args)) if process.is_sync else work(*args))


async def stopped(process: Process, how: str) -> None:
    await (process.pause("dead", **BY) if how == "pause" else process.halt("mad", **BY))


async def let_go_on(process: Process, how: str) -> None:
    await (process.resume("dead", **BY) if how == "pause" else process.unhalt("mad", **BY))


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("how", ["pause", "halt"])
async def test_what_is_stopped_while_its_worker_is_dead_holds_up_nobody_and_then_takes_its_turn(
    site: Site, how: str, rule: dict[str, int]
) -> None:
    """DUR-13: never two at once, neither before nor after it goes on."""
    world, process = Counted(), site.open()
    process.ledger.queue("jobs", **rule)
    mad, sane = working(process, world, "mad"), working(process, world, "sane")
    rounds = rounds_on(process)
    await mad.enqueue("dead", name="dead")
    assert [row.workflow_id for row in await as_worker(process, rounds.take, 9)] == ["dead"]
    await sane.enqueue("next", name="next")
    await stopped(process, how)
    assert await as_worker(process, rounds.take, 9) == []
    site.recover()

    [taken] = await as_worker(process, rounds.take, 9)
    await let_go_on(process, how)
    assert taken.workflow_id == "next"
    assert await as_worker(process, rounds.take, 9) == []
    await as_worker(process, rounds.go_on, taken)
    [again] = await as_worker(process, rounds.take, 9)
    await as_worker(process, rounds.go_on, again)

    assert [await sane.result("next"), await mad.result("dead")] == ["next", "dead"]
    assert world.count("work") == 2
    assert (await process.execution("dead")).crashes == 0


async def test_a_worker_that_was_slow_leaves_at_its_next_step_and_what_it_did_is_kept(site: Site) -> None:
    """DUR-13, I3: its lease ran out while it was paused: it has no place any more, and asks for none."""
    process, other, world = site.open(), site.open(), Counted()

    def slow() -> str:
        world.calls.append("one")
        site.recover()
        return "one"

    async def pausing() -> None:
        await other.pause("w", **BY)

    async def job(ctx: Any) -> Any:
        async def first() -> str:
            await pausing()
            return slow()

        said = await ctx.step("one", (lambda: run_sync(first())) if process.is_sync else first)
        return [said, await ctx.step("two", world.step("two"))]

    flow = process.workflow(job)
    standing = await flow.begun("w")

    assert (standing.is_ended, standing.is_taken, world.calls) == (False, False, ["one"])
    await process.resume("w", **BY)
    assert await flow.run("w") == ["one", "two"]
    assert world.calls == ["one", "two"]


async def test_nobody_is_told_to_look_again_at_what_nobody_may_take_over(site: Site) -> None:
    """DUR-14: an engine that drives it waits until it is woken, instead of asking again and again."""
    process = site.open()
    await working(process, Counted(), "mad").enqueue("w", name="w")
    await as_worker(process, rounds_on(process).take, 1)
    await process.pause("w", **BY)
    taken = await process.driven("w")
    site.recover()

    left = await process.driven("w")

    assert (taken.is_taken, left.is_taken, left.wake_at) == (True, False, None)
