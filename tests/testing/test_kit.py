"""The testing kit keeps its own promises: it kills everywhere, tries every order, and reports what it saw."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Claimed, Ledger, State, SyncLedger, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import InvalidURL, OutcomeUnknown
from holdfast.testing import (
    Crash,
    CrashReport,
    FakeClock,
    FakeRuntime,
    Life,
    World,
    every_crash,
    every_schedule,
    random_schedules,
    switch,
    time_passes,
)

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


async def charging(ledger: Ledger, world: World) -> Any:
    return await ledger.run(CALL, world.tool("charge", {"id": "ch_1"}))


def test_a_dead_process_does_nothing_any_more(holdfast_world: World) -> None:
    """Code that tidies up while the stack unwinds does not run in a process that was killed."""
    reached: list[str] = []

    async def tidy(ledger: Ledger, world: World) -> Any:
        try:
            return await charging(ledger, world)
        finally:
            reached.append("finally")
            await ledger.effects()
            reached.append("more")

    life = holdfast_world.live(tidy, die_at="before succeed")

    assert isinstance(life.end, Crash)
    assert life.died_at == "before succeed"
    assert life.boundaries == ("before claim", "after claim", "before handler", "after handler")
    assert reached == ["finally"]
    assert [effect.state for effect in holdfast_world.effects()] == [State.PENDING]


def test_a_block_that_dies_records_nothing(holdfast_world: World) -> None:
    """``begin`` records doubt when it is left, but nobody leaves a process that was killed."""

    async def block(ledger: Ledger, world: World) -> None:
        async with ledger.begin(CALL):
            world.boundary("in the block")

    holdfast_world.live(block, die_at="in the block")

    assert [effect.state for effect in holdfast_world.effects()] == [State.PENDING]


def test_lives_of_one_world_share_nothing_but_the_store(holdfast_world: World) -> None:
    first = holdfast_world.live(charging)
    holdfast_world.recover()
    second = holdfast_world.live(charging)

    assert first.end == second.end == {"id": "ch_1"}
    assert holdfast_world.executed == {"charge": 1}
    assert second.boundaries == ("before claim", "after claim")
    assert holdfast_world.verify().ok


def test_every_crash_reports_what_was_repeated() -> None:
    """A scenario that does not use the ledger is what it is there to find."""

    async def unguarded(ledger: Ledger, world: World) -> Any:
        world.tool("charge")()
        return await ledger.run(CALL, world.tool("note"))

    report = every_crash(unguarded)

    assert report.repeated == {"charge": 3}
    assert (len(report), report.worlds) == (6, 7)


def test_every_crash_names_the_crash_that_a_check_did_not_like() -> None:
    def check(world: World, life: Life) -> None:
        assert not isinstance(life.end, OutcomeUnknown)

    with pytest.raises(AssertionError) as caught:
        every_crash(charging, check)

    assert caught.value.__notes__ == ["after: after claim"]


def test_every_crash_takes_places_of_your_own(tmp_path: Any) -> None:
    from holdfast.testing.places import places

    made = places("sqlite", tmp_path)

    assert len(every_crash(charging, store=made)) == 6
    assert len(list(tmp_path.glob("*.db"))) == 7
    with pytest.raises(InvalidURL):
        every_crash(charging, store="mongodb://localhost")


def test_the_fixture_makes_every_crash_a_subtest(
    every_crash: Callable[..., CrashReport], holdfast_clock: FakeClock
) -> None:
    assert len(every_crash(charging, store="sqlite")) == 6
    assert holdfast_clock.monotonic() == 0


@pytest.mark.parametrize(("steps", "orders"), [((1, 1), 2), ((2, 2), 6), ((1, 2, 3), 60), ((2, 2, 2), 90)])
def test_every_order_of_writes_is_tried_once(steps: tuple[int, ...], orders: int) -> None:
    """As many as there are ways to shuffle them."""
    seen: list[tuple[int, ...]] = []
    order: list[int] = []

    async def caller(who: int, count: int) -> int:
        for _ in range(count):
            await switch("write")
            order.append(who)
        return who

    def make() -> list[Any]:
        order.clear()
        return [caller(who, count) for who, count in enumerate(steps)]

    def check(ends: list[Any]) -> None:
        assert ends == list(range(len(steps)))
        seen.append(tuple(order))

    assert every_schedule(make, check) == orders
    assert len(set(seen)) == orders


def test_orders_that_only_swap_reads_are_one() -> None:
    async def reader() -> None:
        await switch("find")
        await switch("trail")

    assert every_schedule(lambda: [reader(), reader(), reader()], lambda ends: None) == 1


def test_callers_have_surroundings_of_their_own_and_may_end_in_any_way() -> None:
    async def fails() -> None:
        await switch()
        raise LookupError

    async def dies() -> None:
        await switch()
        raise Crash

    def check(ends: list[Any]) -> None:
        assert [type(end) for end in ends] == [LookupError, Crash]

    assert every_schedule(lambda: [fails(), dies()], check) == 2
    assert random_schedules(lambda: [fails(), dies()], check, count=5) == 5


def test_a_failing_order_is_named() -> None:
    clock = FakeClock()

    def check(ends: list[Any]) -> None:
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        every_schedule(lambda: [time_passes(clock, 1), time_passes(clock, 2)], check)

    assert caught.value.__notes__ == ["order of the callers: [0, 1]"]
    assert clock.monotonic() == 3


def test_the_fake_runtime_runs_every_kind_of_handler_in_place() -> None:
    """INT-06."""

    def plain(n: int) -> int:
        return n

    async def asynchronous(n: int) -> int:
        return n

    def stream(n: int) -> Any:
        yield from range(n)

    async def asynchronous_stream(n: int) -> Any:
        for item in range(n):
            yield item

    async def late(get: Any) -> None:
        raise AssertionError

    runtime = FakeRuntime()

    def invoke(handler: Any) -> Any:
        return run_sync(runtime.invoke(handler, {"n": 2}, timeout_s=None, late=late))

    assert [invoke(plain), invoke(asynchronous)] == [2, 2]
    assert [invoke(stream), invoke(asynchronous_stream)] == [[0, 1], [0, 1]]


def test_the_fake_runtime_is_the_same_every_time() -> None:
    first, second = FakeRuntime(), FakeRuntime()

    assert [first.token() for _ in range(3)] == [second.token() for _ in range(3)]
    assert len({len(first.token()), 16}) == 1
    assert first.now() == second.now()


async def test_an_agents_test_gets_a_ledger_whose_leases_end_when_it_says_so(
    holdfast_ledger: Ledger, holdfast_clock: FakeClock
) -> None:
    """Real concurrency, still time: joiners join, and nothing is taken over by accident."""
    ran: list[int] = []

    async def charge(amount: int) -> Any:
        ran.append(amount)
        await asyncio.sleep(0)
        return {"id": "ch_1"}

    results = await asyncio.gather(*(holdfast_ledger.run(CALL, charge) for _ in range(5)))

    assert (ran, results) == ([100], [{"id": "ch_1"}] * 5)
    other = ToolCall(workflow_id="order-124", tool="charge", args={"amount": 100})
    async with holdfast_ledger.begin(other) as claim:
        holdfast_clock.advance(11)
        with pytest.raises(OutcomeUnknown):
            await holdfast_ledger.run(other, charge_nothing_for)
        assert isinstance(claim, Claimed)
        claim.succeed("after all")
    assert await holdfast_ledger.run(other, charge_nothing_for) == "after all"
    await holdfast_ledger.close()


def test_a_blocking_agents_test_gets_one_too(holdfast_sync_ledger: SyncLedger) -> None:
    assert holdfast_sync_ledger.run(CALL, lambda amount: amount) == 100
    assert holdfast_sync_ledger.run(CALL, charge_nothing_for) == 100


def charge_nothing_for(amount: int) -> None:
    raise AssertionError


def test_loading_the_plugin_loads_no_optional_package() -> None:
    """INT-04: every pytest session of a user's loads it."""
    program = (
        "import sys, holdfast.testing.plugin\n"
        "print([name for name in ('hypothesis', 'psycopg', 'cryptography', 'openai') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
