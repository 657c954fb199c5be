"""STA-07, STA-17: whoever follows a workflow is told everything once, from any process, at any later time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Done, NotDone, Settings
from holdfast.errors import StepFailed, WorkflowFailed, WorkflowNotFound
from promises.ledgers import Gate, Place
from workflows.crews import Shop
from workflows.sites import Process, Site
from workflows.worlds import Counted

SETTINGS = Settings(lease=30, renew_every=5)


async def test_a_client_that_comes_back_is_told_what_it_has_not_seen(site: Site) -> None:
    """STA-07: from another ledger, by the offset of the last event it saw; nothing lost, nothing repeated."""
    process, world = site.open(), Counted()

    async def job(ctx: Any) -> Any:
        for n in range(3):
            await ctx.step(f"step {n}", world.step(f"step {n}"))
            await ctx.wait_for("next")
        return "done"

    flow = process.workflow(job)
    await flow.enqueue("w")
    seen: list[tuple[int, str]] = []
    for _ in range(4):
        await process.driven("w")
        client = site.open()
        after = seen[-1][0] if seen else 0
        seen += [(event.offset, event.name) for event in await client.told("w", after)]
        await process.signal("w", "next")

    names = ["step 0", "next", "step 1", "next", "step 2", "next", "job"]
    assert seen == list(enumerate(names, 1))
    assert await site.open().told("w", 7) == []
    assert [event.offset for event in await site.open().told("w", 5)] == [6, 7]


async def test_a_client_that_stays_is_told_as_it_happens(place: Place) -> None:
    """STA-07: it follows until the end; the last event says how it ended."""
    shop, gates = Shop(place, settings=SETTINGS), [Gate(), Gate()]

    async def job(ctx: Any) -> Any:
        await ctx.step("one", gates[0].wait)
        await ctx.step("two", gates[1].wait)
        return {"done": True}

    running = asyncio.ensure_future(shop.workflow(job).run("w"))
    await gates[0].reached()
    client = Shop(place, settings=SETTINGS)
    seen: list[Any] = []

    async def follow() -> None:
        async for event in client.ledger.events("w"):
            seen.append(event)  # noqa: PERF401

    def follow_plainly() -> None:
        seen.extend(client.ledger.events("w"))

    following = asyncio.ensure_future(asyncio.to_thread(follow_plainly) if client.is_sync else follow())
    gates[0].open()
    await gates[1].reached()
    gates[1].open()
    async with asyncio.timeout(30):
        await asyncio.gather(running, following)

    assert [(event.offset, event.kind, event.name) for event in seen] == [
        (1, "step", "one"),
        (2, "step", "two"),
        (3, "end", "job"),
    ]
    assert (seen[-1].state, seen[-1].result) == ("succeeded", {"done": True})


async def test_yesterdays_failed_run_can_be_read_step_by_step(site: Site) -> None:
    """STA-17: what went in, what each step came to, how often it was tried, and how it ended."""
    world, process = Counted(), site.open()
    charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge")

    def broken(ticket: str) -> None:
        raise ConnectionError("no route")

    async def job(ctx: Any, ticket: str) -> Any:
        await ctx.step("plan", world.step("plan", ["look", "answer"]), ticket)
        await charge(amount=5)
        try:
            await ctx.step("look", broken, ticket, retries=1)
        except StepFailed:
            raise LookupError("nothing to say") from None

    with pytest.raises(WorkflowFailed):
        await process.workflow(job).run("w", ticket="T-1")
    site.clock.advance(86_400)
    later = site.open()

    assert (await later.execution("w")).input == '{"ticket":"T-1"}'
    assert [(e.kind, e.name, e.state, e.result, e.error, e.attempts) for e in await later.told("w")] == [
        ("step", "plan", "succeeded", ["look", "answer"], None, 1),
        ("effect", "charge", "succeeded", {"id": "ch_1"}, None, 1),
        ("step", "look", "failed", None, {"type": "ConnectionError", "message": "no route"}, 2),
        ("end", "job", "failed", None, {"type": "LookupError", "message": "nothing to say"}, 1),
    ]
    assert all(event.at is not None for event in await later.told("w"))


async def test_nothing_is_told_of_a_workflow_that_nobody_began(site: Site) -> None:
    """STA-07: nor of another tenant's."""
    process = site.open()

    async def job(ctx: Any) -> Any:
        return "done"

    await process.workflow(job).run("w")

    for client, workflow_id in ((process, "nobody"), (site.open(tenant="other"), "w")):
        with pytest.raises(WorkflowNotFound):
            await client.told(workflow_id)


async def test_a_step_that_reads_here_and_writes_there_is_two_operations(site: Site) -> None:
    """PLN-06: across a trust boundary each has its own record, its own state and its own place in the trace."""
    world, process = Counted(), site.open()
    read = process.tool(world.step("crm.read", {"email": "a@b"}), name="crm.read", safety="read")

    def refused(**given: Any) -> None:
        raise PermissionError("not yours")

    write = process.tool(refused, name="billing.write", retry=False, classify=_not_done)

    async def sync(ctx: Any) -> Any:
        customer = await read(id=7)
        return await write(email=customer["email"])

    with pytest.raises(WorkflowFailed):
        await process.workflow(sync).run("w")

    told = [(e.kind, e.name, e.state) for e in await process.told("w")]
    assert told[:2] == [("effect", "crm.read", "succeeded"), ("effect", "billing.write", "failed")]
    [effect] = await process.effects(workflow_id="w", tool="billing.write")
    assert effect.state == "retryable"  # the answer is known: it did not happen


def _not_done(error: BaseException) -> Any:
    return NotDone()


async def test_a_crash_in_the_middle_of_a_booking_and_a_refresh_are_one_booking(site: Site) -> None:
    """STA-16: the user presses the button again; same id, same operation, one booking."""
    world = Counted()

    def declare(process: Process, *, dies: bool) -> Any:
        def found(effect: Any) -> Any:
            return Done({"booking": 1})

        def book(seat: str) -> Any:
            world.calls.append("book")
            if dies:
                process.die()
            return {"booking": 1}

        booked = process.tool(book, name="book", reconcile=found)

        async def trip(ctx: Any, seat: str) -> Any:
            await ctx.step("search", world.step("search"), seat)
            return await booked(seat=seat)

        return process.workflow(trip)

    first = site.open()
    await first.lives(declare(first, dies=True).run("trip-1", seat="4A"))
    site.recover()
    for _ in range(2):
        assert await declare(site.open(), dies=False).run("trip-1", seat="4A") == {"booking": 1}

    assert world.calls == ["search", "book"]
    assert len(await site.open().effects(workflow_id="trip-1")) == 1
