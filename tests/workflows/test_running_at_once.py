"""STA-18: of those who resume one workflow at once, one goes on with it; the others wait for what comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Settings
from holdfast._runtime.drive import run_sync
from holdfast.errors import HoldfastError, WorkflowWaiting
from promises.ledgers import Gate, Place
from workflows.crews import Shop
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted, Turnstile, until

SETTINGS = Settings(lease=30, renew_every=5)
ASYNC = pytest.mark.kinds("memory", "sqlite", "postgres")


def gated(process: Process, world: Counted, gate: Gate) -> Flow:
    """Two steps and a charge; the first step stays until the test opens its gate."""
    charge = process.tool(world.step("charge", "charged"), name="charge")

    def first() -> str:
        world.calls.append("first")
        gate.wait()
        return "first"

    async def order(ctx: Any) -> Any:
        return [
            await ctx.step("first", first),
            await charge(amount=5),
            await ctx.step("last", world.step("last")),
        ]

    return process.workflow(order)


@pytest.mark.parametrize("ledgers", [1, 2, 4])
async def test_those_who_run_one_workflow_at_once_get_one_output_of_one_run(
    place: Place, ledgers: int
) -> None:
    """STA-18, STA-16: in one process or in several; a refresh joins."""
    world, gate = Counted(), Gate()
    flows = [gated(Shop(place, settings=SETTINGS), world, gate) for _ in range(ledgers)]
    runs = [asyncio.ensure_future(flows[n % ledgers].run("w")) for n in range(4)]
    await gate.reached()
    gate.open()

    assert await asyncio.gather(*runs) == [["first", "charged", "last"]] * 4
    assert world.calls == ["first", "charge", "last"]


async def test_who_does_not_want_to_wait_is_told_that_another_worker_is_at_it(place: Place) -> None:
    """STA-18: WorkflowWaiting; and whoever drives it is told until when it is taken."""
    world, gate = Counted(), Gate()
    first, second = Shop(place, settings=SETTINGS), Shop(place, settings=SETTINGS)
    flow, other = gated(first, world, gate), gated(second, world, gate)
    running = asyncio.ensure_future(flow.run("w"))
    await gate.reached()

    with pytest.raises(WorkflowWaiting, match="another worker"):
        await other.options(wait=0.01).run("w")
    standing = await second.drive("w")
    assert (standing.is_taken, standing.is_ended) == (True, False)
    gate.open()
    await running
    assert world.calls == ["first", "charge", "last"]


async def test_a_worker_that_was_taken_over_changes_nothing_any_more(site: Site) -> None:
    """STA-18, I3: it comes back after its lease, inside of a step, when another one has finished."""
    world, zombie, successor = Counted(), site.open(), site.open()

    def declare(process: Process, meddle: Any) -> Flow:
        async def order(ctx: Any) -> Any:
            return [await ctx.step("one", meddle), await ctx.step("two", world.step("two"))]

        return process.workflow(order)

    async def taken_over() -> str:
        site.recover()
        declare(successor, world.step("one", "by the successor"))
        assert (await successor.driven("w")).is_ended
        return "by the zombie"

    def plain() -> str:
        return run_sync(taken_over())

    flow = declare(zombie, plain if site.is_sync else taken_over)

    assert await flow.run("w") == ["by the successor", "two"]  # told to the zombie, too
    assert await successor.names("w") == ["one", "two", "order"]
    assert world.calls == ["one", "two"]
    assert (await successor.execution("w")).epoch == 2


@ASYNC
async def test_a_run_that_is_cancelled_and_run_again_at_once_goes_on(site: Site) -> None:
    """STA-18, DUR-14: the caller's leaving is no cancellation of the workflow; it is given back, not lost for a lease."""
    turnstile, process = Turnstile(), site.open()

    async def order(ctx: Any) -> Any:
        return [await ctx.step(name, turnstile, name) for name in ("one", "two")]

    flow = process.workflow(order)
    running = asyncio.ensure_future(flow.run("w"))
    turnstile.open("one")
    await turnstile.reached(2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    given_back = await process.execution("w")
    assert (given_back.status, given_back.owner, given_back.crashes) == ("queued", "", 0)
    turnstile.open("two")

    assert await flow.run("w") == ["one", "two"]
    assert turnstile.begun == ["one", "two", "two"]  # a step changes nothing


@ASYNC
@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_run_that_is_cancelled_at_any_turn_leaves_a_workflow_that_goes_on(
    site: Site, turns: int
) -> None:
    """STA-18, STA-01: whenever it is cancelled, the next run comes to the end, and charges once."""
    world, process = Counted(), site.open()
    charge = process.tool(world.step("charge", "charged"), name="charge", safety="idempotent")

    async def order(ctx: Any) -> Any:
        said = [await ctx.step("one", _coroutine)]
        said.append(await charge(amount=5))
        return [*said, await ctx.step("two", _coroutine)]

    flow = process.workflow(order)
    running = asyncio.ensure_future(flow.run("w"))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    again = asyncio.ensure_future(flow.run("w"))

    async def has_ended() -> bool:
        if not again.done():  # one that was begun, and whose answer nobody waited for, is held for a lease
            site.clock.advance(0.1)
        return again.done()

    await until(has_ended)
    assert await again == ["fine", "charged", "fine"]
    assert world.calls == ["charge"]


async def _coroutine() -> str:
    await asyncio.sleep(0)
    return "fine"


@ASYNC
async def test_a_run_that_is_cancelled_inside_of_a_tool_does_not_charge_twice(site: Site) -> None:
    """STA-18, I1: its handler goes on to its end, and the next run is told of it."""
    process, go, begun = site.open(), asyncio.Event(), asyncio.Event()
    charges: list[int] = []

    async def charging(amount: int) -> str:
        charges.append(amount)
        begun.set()
        await go.wait()
        return "charged"

    charge = process.ledger.tool()(charging)

    async def order(ctx: Any) -> Any:
        return await charge(amount=5)

    flow = process.workflow(order)
    running = asyncio.ensure_future(flow.run("w"))
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    again = asyncio.ensure_future(flow.run("w"))
    go.set()

    async def is_settled() -> bool:
        return bool(await process.effects(state="succeeded"))

    await until(is_settled)
    site.clock.advance(40)
    assert await again == "charged"
    assert charges == [5]


@pytest.mark.kinds("sync-memory", "sync-sqlite", "sync-postgres")
async def test_many_threads_run_many_workflows_on_one_ledger(place: Place) -> None:
    """STA-18, PER-03: each workflow once, each output its own."""
    world, shop = Counted(), Shop(place, settings=SETTINGS)
    charge = shop.tool(world.step("charge", "charged"), name="charge")

    async def order(ctx: Any, n: int) -> Any:
        said = await ctx.step("think", lambda n: n * 2, n)
        return [said, await charge(amount=n)]

    flow = shop.workflow(order)
    runs = [flow.run(f"w-{n % 8}", n=n % 8) for n in range(24)]

    assert await asyncio.gather(*runs) == [[(n % 8) * 2, "charged"] for n in range(24)]
    assert world.count("charge") == 8


async def test_sixteen_who_wait_for_one_workflow_hear_of_its_end_at_once(place: Place) -> None:
    """PER-03: the end rings; nobody waits for the next look."""
    world, gate = Counted(), Gate()
    shop = Shop(place, settings=SETTINGS)
    flow = gated(shop, world, gate)
    await flow.enqueue("w")
    waiters = [asyncio.ensure_future(flow.result("w")) for _ in range(16)]
    shop.work()
    await gate.reached()
    gate.open()

    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiters) == [["first", "charged", "last"]] * 16
    await shop.rest()


async def test_a_ledger_that_is_closed_in_the_middle_leaves_its_workflow_to_others(place: Place) -> None:
    """STA-18, STA-02: at its next step, and at once."""
    world, gate = Counted(), Gate()
    shop = Shop(place, settings=SETTINGS)
    running = asyncio.ensure_future(gated(shop, world, gate).run("w"))
    await gate.reached()
    closing = asyncio.ensure_future(shop.close(drain=30.0))

    async def is_leaving() -> bool:
        return bool(shop.ledger._engine.parts.traffic.is_leaving)

    await until(is_leaving)
    gate.open()
    await closing
    with pytest.raises(HoldfastError):
        await running
    other = Shop(place, settings=SETTINGS)

    assert await gated(other, world, gate).run("w") == ["first", "charged", "last"]
    assert world.calls == ["first", "charge", "last"]


async def test_a_worker_that_has_stopped_does_not_make_another_one_stay(place: Place) -> None:
    """DUR-13: both of a ledger's workers are told to stop; the idle one is through with it first."""
    world, gate = Counted(), Gate()
    shop = Shop(place, settings=SETTINGS)
    flow = gated(shop, world, gate)
    busy = shop.work()
    await flow.enqueue("w")
    await gate.reached()
    idle = shop.work()
    for worker in (busy, idle):
        worker.stop()
    await shop.left(idle)
    gate.open()
    await shop.left(busy)

    assert world.calls == ["first"]
