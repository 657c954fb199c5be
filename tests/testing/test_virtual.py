"""Virtual time: waiting takes none, and everything happens at the time of day when it would."""

from __future__ import annotations

import asyncio
import socket
import threading
import time as real
from datetime import timedelta

import pytest

from holdfast.testing.runtime import START
from holdfast.testing.virtual import VirtualLoop, virtual_time


def test_a_day_of_sleep_takes_no_time() -> None:
    began = real.monotonic()

    with virtual_time() as time:
        time.run(asyncio.sleep(86_400))

        assert time.passed_s == 86_400
        assert time() == START + timedelta(days=1)
    assert real.monotonic() - began < 5


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, naps_s: list[float]) -> None:
        for nap_s in naps_s:
            await asyncio.sleep(nap_s)
            woken.append((name, asyncio.get_running_loop().time()))

    async def both() -> None:
        await asyncio.gather(sleeper("a", [3, 3, 3]), sleeper("b", [1, 4, 1, 1000]))

    with virtual_time() as time:
        time.run(both())

    assert woken == [("b", 1), ("a", 3), ("b", 5), ("a", 6), ("b", 6), ("a", 9), ("b", 1006)]


def test_work_that_is_ready_goes_before_time_passes() -> None:
    """However many turns of the loop it takes."""
    seen: list[float] = []

    async def busy() -> None:
        timer = asyncio.create_task(asyncio.sleep(0.001))
        for _ in range(1000):
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop().time())
        await timer

    with virtual_time() as time:
        time.run(busy())

        assert time.passed_s == 0.001
    assert set(seen) == {0.0}


def test_timeouts_come_when_they_are_due() -> None:
    """Neither before nor after."""

    async def within(limit_s: float, takes_s: float) -> str:
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(takes_s)
        except TimeoutError:
            return "timed out"
        return "done"

    with virtual_time() as time:
        assert time.run(within(10, 9)) == "done"
        assert time.passed_s == 9
        assert time.run(within(10, 3600)) == "timed out"
        assert time.passed_s == 19


def test_a_tiny_wait_late_in_a_long_life_ends() -> None:
    """A float has no digits for a nanosecond on the thousandth day."""
    with virtual_time() as time:
        time.run(asyncio.sleep(86_400_000))
        time.run(asyncio.sleep(1e-9))

        assert time.passed_s == pytest.approx(86_400_000)


def test_time_goes_on_from_where_it_stood() -> None:
    with virtual_time(START + timedelta(days=365)) as time:
        for _ in range(3):
            time.run(asyncio.sleep(7))

        assert time() == START + timedelta(days=365, seconds=21)


def test_what_still_runs_at_the_end_is_cancelled() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("cancelled")

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(endless())
        await asyncio.sleep(1)
        return task

    with virtual_time() as time:
        task = time.run(main())
        loop = time.loop

    assert ended == ["cancelled"]
    assert task.cancelled()
    assert loop.is_closed()


def test_sockets_and_threads_are_waited_for_while_no_timer_is_set() -> None:
    """They live in real time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def main() -> tuple[bytes, int]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            told = await reader.readline()
            writer.close()
            await writer.wait_closed()
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[int] = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(answered.set_result, 7))
        thread.start()
        number = await answered
        thread.join()
        return told, number

    with virtual_time() as time:
        assert time.run(main()) == (b"hello\n", 7)
        assert time.passed_s == 0


def test_what_has_arrived_is_read_before_time_passes() -> None:
    read: list[tuple[bytes, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        here, there = socket.socketpair()
        with here, there:
            there.send(b"hello")
            loop.add_reader(here, lambda: read.append((here.recv(5), loop.time())))
            await asyncio.sleep(10)
            loop.remove_reader(here)

    with virtual_time() as time:
        time.run(main())

    assert read == [(b"hello", 0)]


def test_a_loop_of_ones_own_can_be_made_for_other_runners() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.sleep(1000))
        loop = runner.get_loop()

        assert isinstance(loop, VirtualLoop)
        assert (loop.time(), loop.now()) == (1000, START + timedelta(seconds=1000))
