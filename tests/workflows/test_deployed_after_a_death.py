"""DUR-05, DUR-11: a worker dies just after an effect, and what goes on is other code: nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.errors import NonDeterminism
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted


def charging(process: Process, world: Counted, amounts: list[int], *, dies: bool = False) -> Flow:
    """Charges one amount after the other; the first worker dies before anything else is put on record."""

    def charge(amount: int) -> int:
        world.calls.append(f"charge {amount}")
        return amount

    charged = process.tool(charge)

    async def order(ctx: Any) -> Any:
        await ctx.step("one", world.step("one"))
        said = [await charged(amount=amount) for amount in amounts]
        if dies:
            process.die()
        return said

    return process.workflow(order)


@pytest.mark.parametrize("done", [1, 3])
async def test_a_changed_argument_of_effects_at_whose_end_the_worker_died_is_found_out(
    site: Site, done: int
) -> None:
    """DUR-05, STA-01: charge(5) was made, and today's code would make charge(9): nothing is charged again."""
    world, first = Counted(), site.open()
    amounts = [5 + n for n in range(done)]
    await first.lives(charging(first, world, amounts, dies=True).begun("w"))
    site.recover()
    before = list(world.calls)

    second = site.open()
    charging(second, world, [amount + 100 for amount in amounts])
    with pytest.raises(NonDeterminism, match="effect 'charge'"):
        await second.driven("w")
    assert world.calls == before

    site.clock.advance(61)
    third = site.open()
    assert await charging(third, world, amounts).run("w") == amounts
    assert world.calls == before


async def test_a_call_that_is_not_made_any_more_is_found_out(site: Site) -> None:
    """DUR-05: what was done would be nobody's: no output, no compensation would know of it."""
    world, first = Counted(), site.open()
    await first.lives(charging(first, world, [5], dies=True).begun("w"))
    site.recover()
    second = site.open()
    charging(second, world, [])

    with pytest.raises(NonDeterminism):
        await second.driven("w")


@pytest.mark.parametrize("change", ["other arguments", "another name", "nothing"])
async def test_a_step_in_which_the_worker_died_is_not_dropped_without_a_word(site: Site, change: str) -> None:
    """DUR-05: it changed nothing, and its tries count: code that asks for another one is other code all the same."""
    world = Counted()

    def declare(process: Process, change: str = "", *, dies: bool = False) -> Flow:
        def think(about: str) -> str:
            world.calls.append(f"think of {about}")
            if dies:
                process.die()
            return about

        async def order(ctx: Any) -> Any:
            await ctx.step("one", world.step("one"))
            name, about = "think", "prices"
            match change:
                case "other arguments":
                    about = "terms"
                case "another name":
                    name = "ponder"
                case "nothing":
                    return await ctx.step("another", world.step("another"))
            return await ctx.step(name, think, about)

        return process.workflow(order)

    first = site.open()
    await first.lives(declare(first, dies=True).begun("w"))
    site.recover()
    before = list(world.calls)

    second = site.open()
    declare(second, change)
    with pytest.raises(NonDeterminism, match="on record is step 'think'") as found:
        await second.driven("w")
    assert found.value.has_other_args == (change == "other arguments")
    assert world.calls == before == ["one", "think of prices"]

    site.clock.advance(61)
    assert await declare(site.open()).run("w") == "prices"
    assert world.calls == [*before, "think of prices"]


async def test_a_gate_is_closed_to_an_effect_at_whose_end_the_worker_died(site: Site) -> None:
    """DUR-11: whoever passed the gate's place before the change stays on its path, dead or alive."""
    world = Counted()

    def declare(process: Process, *, is_new: bool) -> Flow:
        charge = process.tool(world.step("charge"), name="charge")
        charge_more = process.tool(world.step("charge more"), name="charge_more")

        async def order(ctx: Any) -> Any:
            if is_new and await ctx.patched("more"):
                return await charge_more()
            said = await charge()
            if not is_new:
                process.die()
            return said

        return process.workflow(order)

    first = site.open()
    await first.lives(declare(first, is_new=False).begun("w"))
    site.recover()

    assert await declare(site.open(), is_new=True).run("w") == "charge"
    assert world.calls == ["charge"]


async def test_a_gate_is_closed_to_what_waits_behind_its_place(site: Site) -> None:
    """DUR-11, DUR-12: yesterday's code waits for an approval; its signal is heard by that code's path."""

    def declare(process: Process, *, is_new: bool) -> Flow:
        async def order(ctx: Any) -> Any:
            await ctx.step("one", lambda: 1)
            if is_new and await ctx.patched("two people"):
                return ["new", await ctx.wait_for("second approval")]
            return ["old", await ctx.wait_for("approval")]

        return process.workflow(order)

    await declare(site.open(), is_new=False).begun("w")
    second = site.open()
    flow = declare(second, is_new=True)
    await second.signal("w", "approval", "yes")

    assert await flow.run("w") == ["old", "yes"]


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_branches_find_it_out_before_any_of_them_begins_anything_new(site: Site) -> None:
    """DUR-05: the branch that charged is not the first that asks; the others begin nothing before it does."""
    world = Counted()

    def declare(process: Process, amount: int, *, dies: bool = False) -> Flow:
        def charge(amount: int) -> None:
            world.calls.append(f"charge {amount}")
            if dies:
                process.die()

        charged = process.tool(charge)

        async def order(ctx: Any) -> Any:
            async def first() -> Any:
                await ctx.wait_for("go")

            async def second() -> Any:
                return await charged(amount=amount)

            return await asyncio.gather(first(), second(), ctx.step("new", world.step("new")))

        return process.workflow(order)

    process = site.open()
    await process.lives(declare(process, 5, dies=True).begun("w"))
    site.recover()
    world.calls.clear()
    other = site.open()
    declare(other, 9)

    with pytest.raises(NonDeterminism):
        await other.driven("w")
    assert "charge 9" not in world.calls
