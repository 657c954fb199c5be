"""DUR-05, STA-01: what code does of itself between two ends it does in every life before it hears of the next one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from workflows.sites import Flow, Process, Site
from workflows.worlds import Turnstile, until

pytestmark = pytest.mark.kinds("memory", "sqlite", "postgres")

Code = Callable[[Any, Turnstile, int], Awaitable[list[str]]]


async def nested(depth: int, asked: Callable[[], Awaitable[Any]]) -> Any:
    """Return what *asked* returns, by way of so many tasks."""
    if depth == 0:
        return await asked()
    return (await asyncio.gather(nested(depth - 1, asked)))[0]


async def winners(**branches: Awaitable[Any]) -> tuple[list[str], list[asyncio.Future[Any]]]:
    """Return which branches ended first, and all of them."""
    begun = {name: asyncio.ensure_future(branch) for name, branch in branches.items()}
    done, _ = await asyncio.wait(begun.values(), return_when=asyncio.FIRST_COMPLETED)
    return [name for name, branch in begun.items() if branch in done], list(begun.values())


async def far_away(ctx: Any, turnstile: Turnstile, depth: int) -> list[str]:
    """What ended first reaches who waits for it by way of others."""
    won, begun = await winners(
        far=nested(depth, lambda: ctx.step("first", turnstile, "first")),
        near=ctx.step("second", turnstile, "second"),
    )
    await asyncio.wait(begun)
    return won


async def by_an_event(ctx: Any, turnstile: Turnstile, depth: int) -> list[str]:
    """A branch tells the others, and at once asks for its next step."""
    found = asyncio.Event()

    async def searches() -> None:
        await ctx.step("first", turnstile, "first")
        found.set()
        await ctx.step("third", turnstile, "third")

    searching = asyncio.ensure_future(searches())
    won, begun = await winners(event=nested(depth, found.wait), step=ctx.step("second", turnstile, "second"))
    await asyncio.wait([searching, *begun])
    return won


async def without_an_end(ctx: Any, turnstile: Turnstile, depth: int) -> list[str]:
    """A branch that asks for nothing ends before anything that is asked for."""
    won, begun = await winners(
        idle=nested(depth, functools.partial(asyncio.sleep, 0)), step=ctx.step("first", turnstile, "first")
    )
    await asyncio.wait(begun)
    return won


async def made_earlier(ctx: Any, turnstile: Turnstile, depth: int) -> list[str]:
    """A branch that was made first asks later than the code that made it; another one is made after that."""
    early = asyncio.ensure_future(nested(depth, lambda: ctx.step("second", turnstile, "second")))
    await ctx.step("first", turnstile, "first")
    late = asyncio.ensure_future(nested(0, lambda: ctx.step("third", turnstile, "third")))
    return [await early, await late]


def declare(process: Process, code: Code, turnstile: Turnstile, depth: int) -> Flow:
    async def lives(ctx: Any) -> list[str]:
        told = await code(ctx, turnstile, depth)
        await ctx.wait_for("go")
        return told

    return process.workflow(lives)


async def _has(process: Process, name: str) -> bool:
    return name in await process.names("w")


@pytest.mark.parametrize("depth", [1, 2, 12])
@pytest.mark.parametrize(
    ("code", "ends", "told"),
    [
        (far_away, ("first", "second"), ["far"]),
        (by_an_event, ("first", "second", "third"), ["event"]),
        (without_an_end, ("first",), ["idle"]),
        (made_earlier, ("first", "second", "third"), ["second", "third"]),
    ],
)
async def test_code_with_branches_goes_the_same_way_when_its_ends_are_on_record(
    site: Site, code: Code, ends: tuple[str, ...], told: list[str], depth: int
) -> None:
    """DUR-05: ends that came one after another come at once in the next life, and change nothing."""
    turnstile, first = Turnstile(), site.open()
    running = asyncio.ensure_future(declare(first, code, turnstile, depth).begun("w"))
    for number, name in enumerate(ends):
        await turnstile.reached(number + 1)
        turnstile.open(name)
        await until(functools.partial(_has, first, name))
    await running

    second = site.open()
    flow = declare(second, code, turnstile, depth)
    await second.signal("w", "go")
    assert await flow.run("w") == told
    assert sorted(turnstile.begun) == sorted(ends)
