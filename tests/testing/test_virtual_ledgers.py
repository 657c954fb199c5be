"""Ledgers in virtual time: delays, leases and timeouts are what they would be, and nobody waits for them."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time as real
from datetime import timedelta

import pytest

from holdfast import Dependency, Ledger, RetryPolicy, ToolCall
from holdfast.errors import CircuitOpen
from holdfast.testing.runtime import START
from holdfast.testing.virtual import VirtualRuntime, VirtualTime, virtual_time

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


class Busy(Exception):
    """An answer 429 that names a time."""

    status_code = 429
    headers = {"retry-after": "20"}  # noqa: RUF012 - as clients have it


def failing(time: VirtualTime, times: int, error: type[Exception] = ConnectionRefusedError):
    """A handler that fails so many times, and a list of the seconds at which it was called."""
    called_s: list[float] = []

    async def charge(amount: int) -> str:
        called_s.append(time.passed_s)
        if len(called_s) <= times:
            raise error
        return f"{amount} charged"

    return charge, called_s


def test_store_runtime_and_loop_have_one_clock() -> None:
    with virtual_time() as time:
        store, runtime = time.store(), VirtualRuntime(time.loop)
        seen: list[tuple[timedelta, timedelta, float, float]] = []

        async def look() -> None:
            for _ in range(3):
                found = await store.dependency("default", "stripe")
                seen.append(
                    (
                        found.now - START,
                        runtime.now() - START,
                        runtime.monotonic(),
                        asyncio.get_running_loop().time(),
                    )
                )
                await runtime.sleep(0.25)

        time.run(look())

    for n, (store_time, runtime_time, monotonic_s, loop_s) in enumerate(seen):
        assert store_time == runtime_time == timedelta(seconds=0.25 * n)
        assert monotonic_s == loop_s == 0.25 * n


def test_retries_come_after_their_real_delays_and_at_once() -> None:
    """RET-04, RET-21: drawn below 1, 5 and 30 seconds; the record has the same times."""
    began = real.monotonic()

    with virtual_time() as time:
        ledger = time.ledger()
        charge, called_s = failing(time, 3)

        async def main() -> tuple[str, list[float]]:
            result = await ledger.run(CALL, handler=charge, supports_key=True)
            [effect] = await ledger.effects()
            story = await ledger.audit(effect.key)
            return result, [(each.at - START).total_seconds() for each in story if each.event == "claim"]

        result, recorded_s = time.run(main())

    gaps_s = [later - sooner for sooner, later in itertools.pairwise(called_s)]
    assert result == "100 charged"
    assert called_s[0] == 0
    assert all(0 < gap_s <= cap_s + 0.01 for gap_s, cap_s in zip(gaps_s, (1, 5, 30), strict=True))
    assert recorded_s == pytest.approx(called_s, abs=0.01)
    assert real.monotonic() - began < 5


def test_a_delay_that_the_other_side_names_is_kept_to_the_second() -> None:
    """RET-05."""
    with virtual_time() as time:
        charge, called_s = failing(time, 1, Busy)
        time.run(time.ledger().run(CALL, handler=charge, supports_key=True))

    assert 20 <= called_s[1] <= 21.01


def test_a_handler_is_stopped_at_its_timeout() -> None:
    """RET-18."""
    with virtual_time() as time:

        async def slow(amount: int) -> None:
            await asyncio.sleep(amount)

        with pytest.raises(TimeoutError, match="90"):
            time.run(time.ledger().run(CALL, handler=slow, safety="read", timeout=90, retry=False))

        assert time.passed_s == 90


def test_a_claim_lives_for_as_long_as_its_handler_works() -> None:
    """An hour under a lease of ten seconds: another worker waits for its answer, and takes nothing over."""
    with virtual_time() as time:
        store = time.store()
        executed: list[float] = []

        async def long(amount: int) -> int:
            executed.append(time.passed_s)
            await asyncio.sleep(3600)
            return amount

        async def later(ledger: Ledger) -> int:
            await asyncio.sleep(60)
            answer: int = await ledger.run(CALL, handler=long, wait="2h")
            return answer

        async def main() -> list[int]:
            return await asyncio.gather(time.ledger(store).run(CALL, handler=long), later(time.ledger(store)))

        assert time.run(main()) == [100, 100]
        assert executed == [0]
        assert time.passed_s == pytest.approx(3600, abs=1)


def test_a_ledger_at_rest_lets_no_time_pass() -> None:
    """Its heartbeat sets timers while there are claims to renew, and no longer: a thread is waited for."""
    with virtual_time() as time:
        ledger = time.ledger()

        async def takes(amount: int) -> None:
            await asyncio.sleep(amount)

        async def main() -> float:
            await ledger.run(CALL, handler=takes)
            await asyncio.sleep(10)
            rested = asyncio.Event()
            loop = asyncio.get_running_loop()
            thread = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(rested.set))
            thread.start()
            await rested.wait()
            thread.join()
            return time.passed_s

        assert time.run(main()) == pytest.approx(110)


def test_plain_handlers_run_in_place() -> None:
    """They start no thread, and what they return may still have to be awaited."""
    threads = threading.active_count()

    async def settled(amount: int) -> int:
        await asyncio.sleep(30)
        return amount

    def plain(amount: int) -> int:
        assert threading.active_count() == threads
        return amount

    def around(amount: int):
        return settled(amount)

    def stream(amount: int):
        yield from range(amount - 97)

    def refused(amount: int) -> None:
        raise ConnectionRefusedError

    with virtual_time() as time:
        ledger = time.ledger()

        def ran(workflow: str, handler):
            call = ToolCall(workflow_id=workflow, tool="charge", args={"amount": 100})
            return time.run(ledger.run(call, handler=handler, retry=False, supports_key=True))

        assert [ran("a", plain), ran("b", around), ran("c", stream)] == [100, 100, [0, 1, 2]]
        assert time.passed_s == 30
        with pytest.raises(ConnectionRefusedError):
            ran("d", refused)


def played(seed: int) -> tuple[list[float], float]:
    """When two workers called, of whom one waits for a circuit that the other one opened."""
    with virtual_time(seed=seed) as time:
        store = time.store()
        policy = RetryPolicy(initial_interval=4, maximum_attempts=6)
        shaky = Dependency("stripe", minimum_calls=5)
        charge, called_s = failing(time, 5)

        async def main() -> None:
            workers = [time.ledger(store), time.ledger(store)]
            for worker in workers * 20:
                try:
                    await worker.run(CALL, handler=charge, supports_key=True, retry=policy, dependency=shaky)
                except (CircuitOpen, ConnectionRefusedError):
                    await asyncio.sleep(7)
                else:
                    return

        time.run(main())
        return called_s, time.passed_s


def test_the_same_seed_plays_the_same() -> None:
    """Each worker draws its own; another seed draws otherwise."""
    assert played(1) == played(1)
    assert played(1)[0] != played(2)[0]
    assert len(played(1)[0]) == 6
