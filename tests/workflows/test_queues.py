"""DUR-13: queues keep their limits over all workers, their order, and what is in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast import Settings
from holdfast._runtime.drive import run_sync
from holdfast.engines.queues import rounds_of
from holdfast.errors import InvalidCall, InvalidTool
from promises.ledgers import Gate, Place
from workflows.crews import Active, Shop
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted, until

MANY = 100
LIMIT = 5
SETTINGS = Settings(lease=30, renew_every=5)


def working(process: Process, work: Any, **options: Any) -> Flow:
    async def job(ctx: Any, n: int) -> Any:
        return await ctx.step("work", work, n)

    return process.workflow(job, queue="jobs", **options)


def shop_of(place: Place, work: Any, **rule: Any) -> tuple[Shop, Flow]:
    shop = Shop(place, settings=SETTINGS)
    shop.ledger.queue("jobs", **rule)
    return shop, working(shop, work)


async def ended(shop: Shop, count: int) -> None:
    async def holds() -> bool:
        return len(await shop.executions(status="succeeded", limit=MANY)) >= count

    await until(holds)


async def test_a_hundred_workflows_are_never_more_than_five_at_once(place: Place) -> None:
    """DUR-13: two workers share the limit; both are stopped in the middle, and the rest survives."""
    active = Active(LIMIT)
    shop, flow = shop_of(place, active, concurrency=LIMIT)
    for n in range(MANY):
        await flow.enqueue(f"w-{n}", n=n)
    other, _ = shop_of(place, active, concurrency=LIMIT)
    for each in (shop, other):
        each.work(concurrency=10)
    await ended(shop, 30)
    for each in (shop, other):
        await each.rest()
    left = MANY - len(await shop.executions(status="succeeded", limit=MANY))
    assert {row.status for row in await shop.executions(limit=MANY)} <= {"queued", "succeeded"}

    last, _ = shop_of(place, active, concurrency=LIMIT)
    last.work(concurrency=10)
    await ended(last, MANY)
    await last.rest()

    assert left < MANY
    assert active.peak == LIMIT
    assert sorted(active.order) == list(range(MANY))


async def test_what_is_more_urgent_goes_first(place: Place) -> None:
    """DUR-13: by priority, then by what has been due longest."""
    active = Active(1)
    shop, flow = shop_of(place, active, concurrency=1)
    for n in range(12):
        await flow.options(priority=n % 3).enqueue(f"w-{n:02d}", n=n)
    shop.work(concurrency=3)
    await ended(shop, 12)
    await shop.rest()

    assert active.peak == 1
    assert active.order == [n for urgency in (2, 1, 0) for n in range(12) if n % 3 == urgency]


async def test_those_of_one_key_go_one_by_one(place: Place) -> None:
    """DUR-13: per_key=1; those of other keys need not wait for them."""
    shop = Shop(place, settings=SETTINGS)
    shop.ledger.queue("jobs", per_key=1)
    active = {key: Active(1) for key in "ab"}

    async def job(ctx: Any, key: str, n: int) -> Any:
        return await ctx.step("work", active[key], n)

    flow = shop.workflow(job, queue="jobs", limit_key=lambda given: given["key"])
    for n in range(20):
        await flow.enqueue(f"w-{n:02d}", key="ab"[n % 2], n=n)
    shop.work(concurrency=10)
    await ended(shop, 20)
    await shop.rest()

    assert [each.peak for each in active.values()] == [1, 1]
    assert active["a"].order == list(range(0, 20, 2))


async def test_a_worker_that_is_stopped_gives_back_at_the_next_step(place: Place) -> None:
    """DUR-13, STA-02: the step under way is finished; what follows is another worker's, at once."""
    gate, world = Gate(), Counted()

    def declare(shop: Shop) -> Flow:
        def first() -> str:
            world.calls.append("one")
            gate.wait()
            return "one"

        async def job(ctx: Any) -> Any:
            return [await ctx.step("one", first), await ctx.step("two", world.step("two"))]

        return shop.workflow(job)

    shop = Shop(place, settings=SETTINGS)
    await declare(shop).enqueue("w")
    shop.work()
    await gate.reached()
    for worker, _ in shop._ending:
        worker.stop()
    gate.open()
    await shop.rest()
    given_back = await shop.execution("w")

    assert (given_back.status, given_back.owner, given_back.crashes) == ("queued", "", 0)
    assert world.calls == ["one"]
    other = Shop(place, settings=SETTINGS)
    flow = declare(other)
    other.work()
    assert await flow.result("w") == ["one", "two"]
    await other.rest()
    assert world.calls == ["one", "two"]


async def test_a_signal_wakes_what_a_worker_put_away(place: Place) -> None:
    """DUR-12, DUR-13: the worker that waits for work hears of it."""
    shop = Shop(place, settings=SETTINGS)

    async def job(ctx: Any) -> Any:
        return await ctx.wait_for("go")

    flow = shop.workflow(job)
    await flow.enqueue("w")
    shop.work()

    async def is_waiting() -> bool:
        return bool(await shop.executions(status="waiting"))

    await until(is_waiting)
    await Shop(place).signal("w", "go", "gone")

    assert await flow.result("w") == "gone"
    await shop.rest()


async def test_a_workflow_begins_when_it_is_due_and_not_before(site: Site) -> None:
    """DUR-13: scheduled starts, by a delay or by a time."""
    world, process = Counted(), site.open()
    flow = working(process, world.step("work", "done"))
    at = site.clock() + timedelta(hours=1)
    await flow.options(delay="1h").enqueue("delayed", n=1)
    await flow.options(start_at=at).enqueue("dated", n=2)
    for workflow_id in ("delayed", "dated"):
        standing = await process.driven(workflow_id)
        assert (standing.status, standing.wake_at) == ("queued", at)
    assert world.calls == []
    site.clock.advance(3600)

    for workflow_id in ("delayed", "dated"):
        assert (await process.driven(workflow_id)).is_ended
    assert world.calls == ["work", "work"]


async def test_what_is_enqueued_twice_is_there_once(site: Site) -> None:
    """DUR-13, STA-16: in any process, before, while and after it runs."""
    world = Counted()
    for _ in range(3):
        process = site.open()
        flow = working(process, world.step("work", "done"))
        await flow.enqueue("w", n=1)
        await process.driven("w")

    assert world.calls == ["work"]


async def test_times_without_a_zone_and_limits_that_are_none_are_refused(site: Site) -> None:
    """DUR-13."""
    process = site.open()
    flow = working(process, lambda n: n)
    naive = site.clock().replace(tzinfo=None)

    with pytest.raises(InvalidCall):
        flow.options(start_at=naive)
    with pytest.raises(InvalidCall):
        flow.options(start_at=site.clock(), delay="1h")
    process.ledger.queue("jobs", concurrency=1)
    for name, rule in (
        ("jobs", {}),
        ("a", {"concurrency": 0}),
        ("b", {"rate": "often"}),
        ("c", {"per_key": -1}),
    ):
        with pytest.raises(InvalidTool):
            process.ledger.queue(name, **rule)


def cron_of(site: Site, world: Counted, **options: Any) -> tuple[Process, Any]:
    process = site.open()

    async def report(ctx: Any, team: str) -> Any:
        return await ctx.step("report", world.step("report", team))

    flow = process.workflow(report)
    process.ledger.cron(flow.declared, "0 9 * * *", team="a", **options)
    return process, rounds_of(process.ledger._engine, None)


async def fire(process: Process, rounds: Any) -> None:
    """Let a worker look at its timetables."""
    await process.do(lambda: run_sync(rounds.fire()) if process.is_sync else rounds.fire())


async def test_two_workers_begin_one_workflow_per_tick(site: Site) -> None:
    """DUR-13: cron; each start has an id of its time, so it is there once."""
    world = Counted()
    pairs = [cron_of(site, world) for _ in range(2)]
    for _ in range(3):
        for each in pairs:
            await fire(*each)
        site.clock.advance(86_400)
    process, _ = pairs[0]
    for each in pairs:
        await fire(*each)
    begun = sorted(row.workflow_id for row in await process.executions())

    assert begun == [f"report@2026-01-0{day}T09:00:00+00:00" for day in (1, 2, 3)]
    for workflow_id in begun:
        assert (await process.driven(workflow_id)).is_ended
    assert world.count("report") == 3


@pytest.mark.parametrize(("options", "count"), [({}, 0), ({"catch_up": "3d"}, 3)])
async def test_a_worker_that_starts_makes_good_what_was_missed_if_that_is_wanted(
    site: Site, options: dict[str, Any], count: int
) -> None:
    """DUR-13."""
    site.clock.advance(5 * 86_400 + 10 * 3600)
    process, rounds = cron_of(site, Counted(), **options)
    await fire(process, rounds)

    assert len(await process.executions()) == count


async def test_a_timetable_that_cannot_be_read_is_refused(site: Site) -> None:
    """DUR-13."""
    process = site.open()
    flow = working(process, lambda n: n)

    for expression in ("", "often", "61 * * * *", "0 0 31 2 *"):
        with pytest.raises(InvalidTool):
            process.ledger.cron(flow.declared, expression, n=1)
    process.ledger.cron(flow.declared, "0 9 * * *", n=1)
    with pytest.raises(InvalidTool, match="declared twice"):
        process.ledger.cron(flow.declared, "0 9 * * *", n=2)
