"""DUR-09, DUR-12, RET-22: a workflow that waits holds nothing, knows that it waits, and does nothing meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast.errors import InvalidCall
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

DAY_S = 86_400


def sleeper(process: Process, world: Counted) -> Flow:
    async def sleeps(ctx: Any) -> Any:
        before = await ctx.step("before", world.step("before"))
        await ctx.sleep("3d")
        return [before, await ctx.step("after", world.step("after"))]

    return process.workflow(sleeps)


async def test_three_days_of_sleep_over_a_restart_end_once(site: Site) -> None:
    """DUR-09, STA-06: not a second early, however often it is looked at, and no later for the restart."""
    world, first = Counted(), site.open()
    begun_at = site.clock()
    standing = await sleeper(first, world).begun("w")
    assert (standing.status, standing.waits_for) == ("waiting", "time to pass")
    assert standing.wake_at == begun_at + timedelta(days=3)

    for _ in range(3):
        site.clock.advance(DAY_S - 1)
        process = site.open()
        sleeper(process, world)
        assert (await process.driven("w")).status == "waiting"
    site.clock.advance(3)
    last = site.open()
    flow = sleeper(last, world)

    assert (await last.driven("w")).is_ended
    assert await flow.run("w") == ["before", "after"]
    assert world.calls == ["before", "after"]


async def test_a_sleep_whose_worker_died_before_it_was_put_away_is_not_begun_again(site: Site) -> None:
    """DUR-09: its end is on record from the moment when it began."""
    world, first = Counted(), site.open(die_at="before leave")
    await first.lives(sleeper(first, world).begun("w"))
    assert first.faults.died_at == "before leave"
    site.clock.advance(3 * DAY_S + 1)
    second = site.open()
    sleeper(second, world)

    assert (await second.driven("w")).is_ended
    assert world.calls == ["before", "after"]


async def test_what_waits_is_not_running_and_is_seen_to_wait(site: Site) -> None:
    """RET-22, STA-06: nobody owns it, no lease is held, and everybody can see what it waits for and since when."""
    process = site.open()

    async def waits(ctx: Any) -> Any:
        return await ctx.wait_for("customer-replied", timeout="7d")

    await process.workflow(waits).begun("w")
    execution = await site.open().execution("w")

    assert (execution.status, execution.owner, execution.lease_until) == ("waiting", "", site.clock())
    assert execution.waits_for == "signal 'customer-replied'"
    assert execution.wake_at == site.clock() + timedelta(days=7)
    assert (await site.open().workflow_state("w")).status == "waiting"
    assert not process.ledger._engine.parts.heartbeat.is_busy


async def test_fifty_wake_ups_send_no_second_message(site: Site) -> None:
    """RET-22: the case of 47 follow-up e-mails; a wake-up for something else changes nothing."""
    world = Counted()

    def declare(process: Process) -> Flow:
        send = process.tool(world.step("send", "sent"), name="send_email")

        async def follow_up(ctx: Any, customer: str) -> Any:
            sent = await send(to=customer)
            return [sent, await ctx.wait_for("reply")]

        return process.workflow(follow_up)

    await declare(site.open()).begun("w", customer="c-1")
    for wake_up in range(50):
        if wake_up % 10 == 0:
            process = site.open()
            flow = declare(process)
        await process.signal("w", "weather", wake_up)
        assert (await process.driven("w")).waits_for == "signal 'reply'"
        await flow.enqueue("w", customer="c-1")
        site.clock.advance(3600)
    await process.signal("w", "reply", "stop it")

    assert await flow.run("w", customer="c-1") == ["sent", "stop it"]
    assert world.calls == ["send"]


async def test_signals_are_delivered_once_and_in_order_from_another_process(site: Site) -> None:
    """DUR-12: those that come early are kept; the same one twice is one."""
    process = site.open()

    async def hears(ctx: Any) -> Any:
        return [await ctx.wait_for("said") for _ in range(4)] + [await ctx.wait_for("other")]

    flow = process.workflow(hears)
    await flow.enqueue("w")
    sender = site.open()
    for number in range(3):
        assert await sender.signal("w", "said", number, signal_id=f"id-{number}")
        assert await sender.signal("w", "said", number, signal_id=f"id-{number}")
    await sender.signal("w", "other", "aside")
    assert (await process.driven("w")).waits_for == "signal 'said'"
    await site.open().signal("w", "said", 3)
    await process.driven("w")

    assert await flow.run("w") == [0, 1, 2, 3, "aside"]
    assert not await sender.signal("w", "said", "too late")
    assert not await sender.signal("nobody", "said", "too early")


async def test_a_signal_that_comes_while_the_worker_dies_is_not_lost(site: Site) -> None:
    """DUR-12: before it is put away, and after; the wake-up commits with the signal."""
    for boundary in ("before leave", "after leave"):
        tenant = site.world()
        first = site.open(tenant=tenant, die_at=boundary)

        async def hears(ctx: Any) -> Any:
            return await ctx.wait_for("said")

        await first.lives(first.workflow(hears).begun("w"))
        assert first.faults.died_at == boundary
        assert await site.open(tenant=tenant).signal("w", "said", "heard")
        site.recover()
        second = site.open(tenant=tenant)
        second.workflow(hears)
        await second.driven("w")
        assert (await second.execution("w")).output == '"heard"'


async def test_a_signal_between_the_last_look_and_the_leaving_is_heard(site: Site) -> None:
    """DUR-12, RET-22: whoever is about to put it away is told of the news first."""
    process, sender = site.open(), site.open()
    sent: list[bool] = []

    async def hears(ctx: Any) -> Any:
        return await ctx.wait_for("said")

    store = process.ledger._engine.parts.store
    around = store._around

    async def with_signal(name: str, work: Any) -> Any:
        if name == "leave" and not sent:
            sent.append(await sender.signal("w", "said", "just in time"))
        return await around(name, work)

    store._around = with_signal
    standing = await process.workflow(hears).begun("w")

    assert (sent, standing.is_ended) == ([True], True)
    assert (await process.execution("w")).output == '"just in time"'


async def test_a_wait_ends_when_its_time_is_over_and_not_before(site: Site) -> None:
    """DUR-12: TimeoutError in the code; a signal that is there wins over a time that is over as well."""
    process = site.open()

    async def waits(ctx: Any) -> Any:
        try:
            return await ctx.wait_for("reply", timeout="7d")
        except TimeoutError:
            return "nobody"

    process.workflow(waits)
    flow = process.workflow(waits, version="2")
    await flow.begun("late")
    await flow.begun("there")
    site.clock.advance(7 * DAY_S - 1)
    assert not (await process.driven("late")).is_ended
    site.clock.advance(2)
    await process.signal("there", "reply", "me")
    for workflow_id in ("late", "there"):
        await process.driven(workflow_id)

    assert (await flow.run("late"), await flow.run("there")) == ("nobody", "me")


async def test_the_state_of_a_workflow_is_readable_after_a_restart(site: Site) -> None:
    """STA-06, DUR-12, STA-17: state, history and pending waits, with empty memory and without its code."""
    process = site.open()

    async def waits(ctx: Any, who: str) -> Any:
        await ctx.step("greet", lambda name: f"hello {name}", who)
        await ctx.wait_for("reply", timeout="1h")

    await process.workflow(waits).begun("w", who="Ada")
    other = site.open()

    execution = await other.execution("w")
    assert (execution.function, execution.input, execution.status) == ("waits", '{"who":"Ada"}', "waiting")
    assert execution.waits_for == "signal 'reply'"
    assert [(e.kind, e.name, e.state, e.result) for e in await other.told("w")] == [
        ("step", "greet", "succeeded", "hello Ada")
    ]
    assert [each.workflow_id for each in await other.executions(status="waiting")] == ["w"]


@pytest.mark.parametrize("other", [("said", "no"), ("whispered", "yes")])
async def test_another_signal_under_an_id_that_was_used_is_refused_and_not_swallowed(
    site: Site, other: tuple[str, str]
) -> None:
    """IDE-27: the same one again is no news; another one would be lost without a word."""
    process = site.open()

    async def order(ctx: Any) -> Any:
        return await ctx.wait_for("said")

    flow = process.workflow(order)
    await flow.begun("w")
    assert await process.signal("w", "said", "yes", signal_id="mail-1")
    for wait_s, ahead_s in ((0, 0), (1, 0), (1, -2), (0, 60)):  # whatever the clocks of the senders say
        site.clock.advance(wait_s)
        sender = site.open(ahead_s=ahead_s)
        assert await sender.signal("w", "said", "yes", signal_id="mail-1")
        with pytest.raises(InvalidCall, match="'mail-1' was given to another signal"):
            await sender.signal("w", *other, signal_id="mail-1")
    assert (await process.driven("w")).is_ended
    assert await flow.run("w") == "yes"
