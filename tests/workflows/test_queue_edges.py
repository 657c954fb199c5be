"""DUR-13, DUR-15: what is odd about queues, timetables and names is refused, or stops nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.engines.queues import rounds_of
from holdfast.errors import InvalidCall
from promises.ledgers import Gate, Place
from workflows.crews import Shop
from workflows.sites import Site
from workflows.test_queued import cron_of, fire, shop_of, working
from workflows.test_running_at_once import gated
from workflows.worlds import Counted, until

NOON = datetime(2026, 1, 3, 12, tzinfo=UTC)


async def test_a_timetable_that_was_changed_stops_no_worker(site: Site) -> None:
    """DUR-13, DUR-15: what today's code would give another input has begun; it is there once, as it was."""
    before, its_rounds = cron_of(site, Counted(), catch_up="3d")
    site.clock.advance(86_400)
    await fire(before, its_rounds)
    process = site.open()

    async def report(ctx: Any, team: str) -> Any:
        return team

    process.ledger.cron(process.workflow(report).declared, "0 9 * * *", team="b", catch_up="3d")
    rounds = rounds_of(process.ledger._engine, None)
    await fire(process, rounds)
    site.clock.advance(86_400)
    await fire(process, rounds)

    inputs = [row.input for row in await process.executions()]
    assert inputs.count('{"team":"b"}') == 1
    assert inputs.count('{"team":"a"}') == len(inputs) - 1 > 0


async def test_what_is_chosen_one_after_the_other_is_chosen_together(site: Site) -> None:
    """DUR-13: `options` takes nothing back that was chosen before, but what it chooses itself."""
    process = site.open()
    flow = working(process, lambda n: n).options(priority=5, queue="jobs").options(delay="1h")
    await flow.options(start_at=NOON).enqueue("w", n=1)

    execution = await process.execution("w")
    assert (execution.priority, execution.queue, execution.wake_at) == (5, "jobs", NOON)


@pytest.mark.parametrize(
    "options",
    [{"priority": 2**70}, {"priority": "high"}, {"queue": 5}, {"queue": "a\nb"}, {"limit_key": "\0"}],
)
async def test_a_place_in_the_queue_that_is_none_is_refused(site: Site, options: dict[str, Any]) -> None:
    """DUR-13: before anything is recorded, and not as a fault of the store."""
    process = site.open()
    flow = working(process, lambda n: n)

    with pytest.raises(InvalidCall):
        await flow.options(**options).enqueue("w", n=1)
    assert await process.executions() == []


@pytest.mark.parametrize("workflow_id", ["", " ", "a\nb", "\0", "\ud800", 7])
async def test_an_id_that_nobody_could_steer_begins_nothing(site: Site, workflow_id: Any) -> None:
    """STA-16: what may be begun may be cancelled, signalled and shown."""
    process = site.open()

    with pytest.raises(InvalidCall):
        await working(process, lambda n: n).enqueue(workflow_id, n=1)
    assert await process.executions() == []


@pytest.mark.parametrize("signal_id", ["", "\0", "\ud800", 7, b"x"])
async def test_a_signal_is_named_by_text(site: Site, signal_id: Any) -> None:
    """STA-08: or by nothing."""
    process = site.open()
    await working(process, lambda n: n).enqueue("w", n=1)

    with pytest.raises(InvalidCall):
        await process.signal("w", "go", 1, signal_id=signal_id)


async def test_a_worker_that_is_told_to_stop_when_it_has_leaves_the_ledger_as_it_is(place: Place) -> None:
    """DUR-15: a second SIGTERM takes nothing from other code of the process that runs workflows."""
    shop, flow = shop_of(place, lambda n: n)
    worker = shop.work(concurrency=1)
    await shop.rest()
    worker.stop()

    assert await flow.options(wait="10s").run("w", n=1) == 1


async def test_a_worker_with_its_hands_full_keeps_its_timetables(place: Place) -> None:
    """DUR-13: what is to begin at a time is enqueued then, not when a long workflow is left."""
    world, gate = Counted(), Gate()
    shop = Shop(place)
    await gated(shop, world, gate).enqueue("long")

    async def report(ctx: Any) -> Any:
        return await ctx.step("report", world.step("report"))

    flow = shop.workflow(report)
    shop.work(concurrency=1)
    await gate.reached()
    shop.ledger.cron(flow.declared, "0 9 * * *", catch_up="3d")  # what it missed is due at once

    async def has_begun() -> bool:
        return len(await shop.executions(workflow="report")) == 3

    await until(has_begun)
    assert world.calls == ["first"]
    gate.open()
    await shop.rest()
