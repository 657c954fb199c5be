"""DUR-05, STA-15: a turn's calls are the same steps on both faces, so either goes on with what the other one began."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.testing.places import places
from promises.ledgers import STORES
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted, Turnstile, until


@pytest.fixture(params=STORES)
async def faces(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """One store as both faces see it, on one clock; the async face first."""
    kind: str = request.param
    where = kind
    if kind == "postgres":
        where = f"{request.getfixturevalue('postgres_url')}%20-csynchronous_commit%3Doff"
    open_store = places(where, tmp_path, blocking=False)()
    other = open_store if kind == "memory" else places(where, tmp_path, blocking=True)()
    site, plain = Site(kind, open_store), Site(f"sync-{kind}", other)
    plain.clock, plain._tokens, plain._names = site.clock, site._tokens, site._names
    if kind == "postgres":
        await site.open().ledger.executions()  # makes the tables
    yield site, plain
    await plain.close()
    await site.close()


@pytest.fixture(params=["begun by the async face", "begun by the plain one"])
def both(request: pytest.FixtureRequest, faces: tuple[Site, Site]) -> tuple[Site, Site]:
    """Whose face begins, and whose goes on."""
    return faces if "async" in request.param else (faces[1], faces[0])


def wanted(tool: str, *args: dict[str, Any]) -> list[dict[str, Any]]:
    """What a model asks for in one turn."""
    numbers = itertools.count(1)
    return [{"type": "tool_use", "id": f"call_{next(numbers)}", "name": tool, "input": each} for each in args]


def two_turns(process: Process, world: Counted) -> Flow:
    def charge(amount: int) -> dict[str, int]:
        world.calls.append(f"charge {amount}")
        return {"charged": amount}

    coded = process.tool(charge, name="charge")

    async def pays(ctx: Any) -> Any:
        said: list[Any] = []
        for turn in range(3):
            calls = wanted("charge", {"amount": 5}, {"amount": 5}, {"amount": 6 + turn})
            said.append([receipt.result for receipt in await process.turn(calls)])
            said.append(await coded(amount=5))
            said.append(await ctx.step(f"think {turn}", world.step("think")))
            said.append(await ctx.wait_for("go"))
        return said

    return process.workflow(pays)


async def test_either_face_goes_on_with_an_execution_whose_turns_the_other_one_took(
    both: tuple[Site, Site],
) -> None:
    """DUR-05: nothing runs again, and nothing is missed."""
    one, other = both
    world = Counted()
    process = one.open()
    await two_turns(process, world).begun("w")
    for site in (other, one):
        process = site.open()
        two_turns(process, world)
        await process.signal("w", "go")
        assert (await process.driven("w")).status == "waiting"
    last = other.open()
    flow = two_turns(last, world)
    await last.signal("w", "go")

    said = await flow.run("w")

    assert [each["charged"] for each in [*said[0], *said[4], *said[8]]] == [5, 5, 6, 5, 5, 7, 5, 5, 8]
    # One for the model, however often it asks, and the code's three.
    assert world.calls.count("charge 5") == 4
    assert len(world.calls) == 4 + 3 + 3
    assert (await last.verify()).ok


def racing(process: Process, slow: Any) -> Flow:
    process.ledger.tool("work", safety="idempotent")(slow)

    async def races(ctx: Any) -> Any:
        receipts = await process.turn(wanted("work", {"name": "one"}, {"name": "two"}, {"name": "three"}))
        return [*(receipt.result for receipt in receipts), await ctx.wait_for("go")]

    return process.workflow(races)


async def test_calls_that_ended_out_of_order_are_told_by_the_plain_face_in_the_order_of_the_record(
    faces: tuple[Site, Site],
) -> None:
    """STA-15: at once they raced; one after another, each is answered when its turn has come."""
    site, plain = faces
    first, turnstile = site.open(), Turnstile()
    running = asyncio.ensure_future(racing(first, turnstile.__call__).begun("w"))
    await turnstile.reached(3)
    for ended, name in enumerate(["three", "one", "two"], 1):
        turnstile.open(name)
        await until(lambda ended=ended: _succeeded(first, ended))
    await running

    calls: list[str] = []

    def work(name: str) -> None:
        calls.append(name)

    second = plain.open()
    flow = racing(second, work)
    await second.signal("w", "go", "gone")

    assert await flow.run("w") == ["one", "two", "three", "gone"]
    assert calls == []


async def _succeeded(process: Process, count: int) -> bool:
    effects = await process.effects(limit=10)
    return sum(effect.state == "succeeded" for effect in effects) >= count


@pytest.mark.parametrize("ended", [[], ["three"], ["two", "one"]])
async def test_the_plain_face_goes_on_after_a_death_in_the_middle_of_a_turn(
    faces: tuple[Site, Site], ended: list[str]
) -> None:
    """STA-01: what had ended is answered from the record, and what was under way is done again."""
    site, plain = faces
    first, turnstile = site.open(), Turnstile()

    async def until_dead() -> None:
        asyncio.ensure_future(racing(first, turnstile.__call__).begun("w")).add_done_callback(lambda _: None)
        await turnstile.reached(3)
        for count, name in enumerate(ended, 1):
            turnstile.open(name)
            await until(lambda count=count: _succeeded(first, count))
        first.die()

    await first.lives(until_dead())
    site.recover()
    again: list[str] = []

    def work(name: str) -> str:
        again.append(name)
        return name

    second = plain.open()
    flow = racing(second, work)
    await second.driven("w")
    await second.signal("w", "go", "gone")

    assert await flow.run("w") == ["one", "two", "three", "gone"]
    assert again == [name for name in ("one", "two", "three") if name not in ended]


@pytest.mark.parametrize("dies_at", ["one", "two", "three"])
async def test_the_async_face_goes_on_after_a_death_in_the_middle_of_a_plain_turn(
    faces: tuple[Site, Site], dies_at: str
) -> None:
    """STA-01: a plain turn makes its calls one after another, so the later ones never began."""
    site, plain = faces
    first, calls = plain.open(), list[str]()

    def dying(name: str) -> str:
        calls.append(name)
        if name == dies_at:
            first.die()
        return name

    await first.lives(racing(first, dying).begun("w"))
    plain.recover()

    async def work(name: str) -> str:
        calls.append(name)
        return name

    second = site.open()
    flow = racing(second, work)
    await second.driven("w")
    await second.signal("w", "go", "gone")

    assert await flow.run("w") == ["one", "two", "three", "gone"]
    assert {name: calls.count(name) for name in calls} == {
        name: 1 + (name == dies_at) for name in ("one", "two", "three")
    }


async def test_a_turn_in_a_branch_belongs_to_that_branch_in_every_life(faces: tuple[Site, Site]) -> None:
    """DUR-05: only code on an event loop has branches; their turns are found again whoever ended first."""
    site, _ = faces
    calls: list[str] = []

    def declare(process: Process) -> Flow:
        async def work(name: str) -> str:
            calls.append(name)
            return name

        process.ledger.tool("work", safety="idempotent")(work)

        async def branches(ctx: Any) -> Any:
            async def branch(name: str) -> Any:
                turns = []
                for n in range(2):
                    each = wanted("work", {"name": f"{name}{n}"}, {"name": "shared"}, {"name": f"{name}{n}b"})
                    turns.append([receipt.result for receipt in await process.turn(each)])
                    turns.append(await ctx.wait_for(f"{name}{n}"))
                return turns

            return await asyncio.gather(*(branch(name) for name in "ab"))

        return process.workflow(branches)

    await declare(site.open()).begun("w")
    for name in ("b0", "a0", "a1", "b1"):
        process = site.open()
        flow = declare(process)
        await process.signal("w", name, name)
        await process.driven("w")

    assert await flow.run("w") == [
        [[f"{name}0", "shared", f"{name}0b"], f"{name}0", [f"{name}1", "shared", f"{name}1b"], f"{name}1"]
        for name in "ab"
    ]
    assert sorted(calls) == sorted(
        ["shared", *(f"{name}{n}{b}" for name in "ab" for n in "01" for b in ("", "b"))]
    )
