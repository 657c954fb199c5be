"""DUR-05, STA-01: branches that run at once are told of ends in the order of the record, in every life."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from holdfast.errors import NonDeterminism, StepFailed
from promises.ledgers import PATIENCE_S
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted, Turnstile, until

pytestmark = pytest.mark.kinds("memory", "sqlite", "postgres")


def racing(process: Process, turnstile: Turnstile, *names: str) -> Flow:
    """Each branch does two things; the output is the order in which the code heard of them."""

    async def races(ctx: Any) -> list[str]:
        heard: list[str] = []

        async def branch(name: str) -> None:
            for part in ("first", "second"):
                ended = await ctx.step(f"{name} {part}", turnstile, f"{name} {part}")
                heard.append(ended)

        await asyncio.gather(*(branch(name) for name in names))
        await ctx.wait_for("go")
        return heard

    return process.workflow(races)


async def test_branches_are_heard_in_the_order_of_the_first_life_whatever_the_second_would_have(
    site: Site,
) -> None:
    """DUR-05: ends that were on record are told in their order, though each branch could go on at once."""
    turnstile, first = Turnstile(), site.open()
    running = asyncio.ensure_future(racing(first, turnstile, "a", "b", "c").begun("w"))
    order = ["c first", "c second", "a first", "b first", "b second", "a second"]
    await turnstile.reached(3)
    for name in order:
        turnstile.open(name)
        await until(functools.partial(_has, first, name))
    await running

    for _ in range(2):
        process = site.open()
        flow = racing(process, turnstile, "a", "b", "c")
        await process.signal("w", "go")
        assert await flow.run("w") == order
    assert len(turnstile.begun) == 6


async def _has(process: Process, name: str) -> bool:
    return name in await process.names("w")


@pytest.mark.parametrize("ended", [(), ("b first",), ("b first", "b second"), ("c first", "a first")])
async def test_what_branches_had_not_ended_is_begun_again_and_nothing_else(
    site: Site, ended: tuple[str, ...]
) -> None:
    """STA-01, STA-02: the worker dies with some branches done; the next one finishes in another order."""
    turnstile, first = Turnstile(), site.open()

    async def until_dead() -> None:
        running = asyncio.ensure_future(racing(first, turnstile, "a", "b", "c").begun("w"))
        await turnstile.reached(3)
        for name in ended:
            turnstile.open(name)
            await until(functools.partial(_has, first, name))
        running.cancel()
        first.die()

    await first.lives(until_dead())
    site.recover()
    second, again = site.open(), Turnstile()
    again.open(*(f"{name} {part}" for name in "cba" for part in ("first", "second")))
    flow = racing(second, again, "a", "b", "c")
    await second.signal("w", "go")

    heard = await flow.run("w")
    assert tuple(heard[: len(ended)]) == ended
    assert sorted(heard) == sorted(f"{name} {part}" for name in "abc" for part in ("first", "second"))
    assert not set(again.begun) & set(ended)


def with_a_group(process: Process, world: Counted) -> Flow:
    async def grouped(ctx: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            reply = group.create_task(ctx.wait_for("reply"))
            slept = group.create_task(ctx.sleep("1d"))
            worked = group.create_task(ctx.step("work", world.step("work")))
        return [reply.result(), slept.result(), worked.result()]

    return process.workflow(grouped)


async def test_a_group_with_branches_that_wait_is_put_away_and_comes_back(site: Site) -> None:
    """DUR-09, DUR-12: what need not wait is done first; the others wait for both, and say so."""
    world, first = Counted(), site.open()
    standing = await with_a_group(first, world).begun("w")
    assert (standing.status, standing.waits_for) == ("waiting", "signal 'reply' and time to pass")
    assert await first.names("w") == ["work"]
    await first.signal("w", "reply", "yes")

    second = site.open()
    flow = with_a_group(second, world)
    assert (await second.driven("w")).waits_for == "time to pass"
    site.clock.advance(86_401)
    await second.driven("w")

    assert await flow.run("w") == ["yes", None, "work"]
    assert world.calls == ["work"]


async def test_ends_that_come_while_it_is_made_sure_that_nothing_moves_are_told(site: Site) -> None:
    """STA-01: one branch waits; another one is woken, and what it asks for has ended a moment after it asks."""
    process = site.open()

    async def at_once(n: int) -> int:
        return n

    async def waking(ctx: Any) -> Any:
        async def woken() -> list[int]:
            await ctx.wait_for("go")
            steps = [
                ctx.step(f"step {n}", at_once, n) for n in range(3)
            ]  # asked for now, begun by the gather
            return await asyncio.gather(*steps)

        return await asyncio.gather(ctx.wait_for("reply"), woken())

    flow = process.workflow(waking)
    await flow.begun("w")
    await process.signal("w", "go")

    async with asyncio.timeout(PATIENCE_S):
        assert (await process.driven("w")).waits_for == "signal 'reply'"
    await process.signal("w", "reply", "yes")
    assert await flow.run("w") == ["yes", [0, 1, 2]]


async def test_gather_with_one_branch_waiting_lets_the_others_finish(site: Site) -> None:
    """DUR-12."""
    world, process = Counted(), site.open()

    async def gathers(ctx: Any) -> Any:
        async def long() -> list[str]:
            return [await ctx.step(f"step {n}", world.step(f"step {n}")) for n in range(5)]

        return await asyncio.gather(ctx.wait_for("go"), long())

    flow = process.workflow(gathers)
    assert (await flow.begun("w")).waits_for == "signal 'go'"
    assert world.calls == [f"step {n}" for n in range(5)]
    await process.signal("w", "go", 1)

    assert await flow.run("w") == [1, world.calls]


async def test_the_first_of_two_waits_wins_and_the_other_is_called_off(site: Site) -> None:
    """DUR-12: a reply or a reminder; both lives choose alike."""
    world = Counted()
    chosen: list[str] = []

    def declare(process: Process) -> Flow:
        async def reminds(ctx: Any) -> Any:
            reply, late = (asyncio.ensure_future(each) for each in (ctx.wait_for("reply"), ctx.sleep("1d")))
            done, pending = await asyncio.wait({reply, late}, return_when=asyncio.FIRST_COMPLETED)
            for each in pending:
                each.cancel()
            choice = "reply" if reply in done else "late"
            await ctx.step("remind", world.step("remind"))
            chosen.append(choice)
            return [choice, await ctx.wait_for("go")]

        return process.workflow(reminds)

    first = site.open()
    await declare(first).begun("w")
    site.clock.advance(86_401)
    await first.driven("w")
    second = site.open()
    flow = declare(second)
    await second.signal("w", "reply", "late")
    await second.signal("w", "go", "gone")

    assert await flow.run("w") == ["late", "gone"]
    assert set(chosen) == {"late"}
    assert world.calls == ["remind"]


async def test_a_wait_that_was_called_off_does_not_hold_the_workflow_back(site: Site) -> None:
    """RET-22: nobody waits for that signal any more, so the workflow does not; it only takes its time."""
    process = site.open()

    async def goes_on(ctx: Any) -> Any:
        waiting = asyncio.ensure_future(ctx.wait_for("never"))
        await ctx.step("a", lambda: 1)
        waiting.cancel()
        await asyncio.sleep(0.05)  # the world, outside of a step
        return await ctx.step("b", lambda: 2)

    standing = await process.workflow(goes_on).begun("w")

    assert standing.is_ended, standing


async def test_what_a_called_off_wait_waited_for_is_not_what_the_workflow_waits_for(site: Site) -> None:
    """RET-22: what people are told, and when it is looked at again, is of the waits that are left."""
    process = site.open()

    async def goes_on(ctx: Any) -> Any:
        waiting = asyncio.ensure_future(ctx.sleep("1d"))
        await ctx.step("a", lambda: 1)
        waiting.cancel()
        return await ctx.wait_for("reply")

    standing = await process.workflow(goes_on).begun("w")

    assert (standing.waits_for, standing.wake_at) == ("signal 'reply'", None)


async def test_a_branch_that_takes_its_time_is_not_cut_off_because_another_one_waits(site: Site) -> None:
    """DUR-12: only when every branch waits for the ledger is a workflow put away."""
    process = site.open()

    async def two(ctx: Any) -> Any:
        async def slow() -> Any:
            await asyncio.sleep(0.05)  # the world, outside of a step
            return await ctx.step("slow", lambda: "slow")

        return await asyncio.gather(ctx.wait_for("go"), slow())

    await process.workflow(two).begun("w")

    assert await process.names("w") == ["slow"]


async def test_a_branch_that_fails_calls_off_its_siblings_alike_in_every_life(site: Site) -> None:
    """DUR-05: a task group whose one branch fails while the others wait."""
    world, process = Counted(), site.open()

    def broken() -> None:
        raise ValueError("no")

    async def grouped(ctx: Any) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.wait_for("never"))
                group.create_task(ctx.step("broken", broken, retries=0))
        except* StepFailed as failed:
            [error] = failed.exceptions
            said = str(error)
        await ctx.step("after", world.step("after"))
        await ctx.wait_for("go")
        return said

    flow = process.workflow(grouped)
    assert "signal 'go'" in (await flow.begun("w")).waits_for
    await process.signal("w", "go")

    assert "ValueError: no" in await flow.run("w")
    assert world.calls == ["after"]


async def test_equal_calls_of_two_branches_are_as_many_effects_as_one_after_the_other(site: Site) -> None:
    """DUR-05, PLN-06: whether the code makes two charges at once or one by one, it makes two charges."""
    world, process = Counted(), site.open()
    charge = process.tool(world.step("charge", "charged"), name="charge")

    async def one_by_one(ctx: Any) -> Any:
        return [await charge(amount=5), await charge(amount=5)]

    async def at_once(ctx: Any) -> Any:
        return await asyncio.gather(charge(amount=5), charge(amount=5))

    await process.workflow(one_by_one).run("a")
    assert len(await process.effects(workflow_id="a")) == 2
    await process.workflow(at_once).run("b")
    assert len(await process.effects(workflow_id="b")) == 2


async def test_branches_that_begin_in_another_order_are_a_change(site: Site) -> None:
    """DUR-05: the order in which they ask is the code's own; the order in which they end is not."""
    process, orders = site.open(), iter([["a", "b"], ["b", "a"]])
    ended = Counted()

    async def gathers(ctx: Any) -> Any:
        async def branch(name: str) -> Any:
            return await ctx.step(name, ended.step(name))

        said = await asyncio.gather(*(branch(name) for name in next(orders)))
        await ctx.wait_for("go")
        return said

    process.workflow(gathers)
    await process.workflow(gathers, version="2").begun("w")
    await process.signal("w", "go")

    with pytest.raises(NonDeterminism):
        await process.driven("w")
    assert sorted(ended.calls) == ["a", "b"]


@pytest.mark.parametrize("ahead_s", [0, 60, -60])
async def test_a_failed_branch_is_made_again_although_another_one_ended_after_it(
    site: Site, ahead_s: float
) -> None:
    """DUR-14: what was under way beside it is no reason to keep the failure, whatever its worker's clock says."""
    failures = ["no"]

    def fragile() -> str:
        site.clock.advance(1)
        if failures:
            raise ValueError(failures.pop())
        return "done"

    def declare(process: Process) -> Flow:
        async def order(ctx: Any) -> Any:
            slower = asyncio.ensure_future(ctx.wait_for("go"))
            try:
                await ctx.wait_for("begin")
                await ctx.step("fragile", fragile, retries=0)
            finally:
                await slower
            return "ended"

        return process.workflow(order)

    await declare(site.open(ahead_s=ahead_s)).begun("w")
    process = site.open()
    flow = declare(process)
    await process.signal("w", "begin")
    await process.driven("w")
    await process.signal("w", "go")
    assert (await process.driven("w")).status == "failed"

    await process.restart("w")
    assert (await process.driven("w")).is_ended
    assert await flow.run("w") == "ended"


@pytest.mark.parametrize(("first_s", "then_s"), [(0, 0), (0, 60), (60, 0)])
async def test_what_code_began_after_a_failure_keeps_that_failure_whatever_its_workers_clock_says(
    site: Site, first_s: float, then_s: float
) -> None:
    """DUR-14: it went on in spite of it; what it was told once it is told again."""
    world, failures = Counted(), ["late"]

    def declare(process: Process) -> Flow:
        async def order(ctx: Any) -> Any:
            with pytest.raises(StepFailed):
                await ctx.step("caught", _refuse(world), retries=0)
            await ctx.wait_for("go")
            await ctx.step("between", world.step("between"))
            if failures:
                raise ValueError(failures.pop())
            return "ended"

        return process.workflow(order)

    await declare(site.open(ahead_s=first_s)).begun("w")
    process = site.open(ahead_s=then_s)
    flow = declare(process)
    await process.signal("w", "go")
    assert (await process.driven("w")).status == "failed"

    await process.restart("w")
    assert (await process.driven("w")).is_ended
    assert await flow.run("w") == "ended"
    assert world.calls == ["caught", "between"]


def _refuse(world: Counted) -> Any:
    def refuse() -> None:
        world.calls.append("caught")
        raise ValueError("no")

    return refuse
