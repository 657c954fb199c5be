"""Threads of plain handlers: so many at work and no more, and one that never ends takes no place."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from holdfast import Ledger, Settings, ToolCall
from holdfast._runtime.threads import HandlerThreads
from holdfast.errors import OutcomeUnknown

ONE = Settings(handler_threads=1)


def call(n: int) -> ToolCall:
    return ToolCall(workflow_id=f"order-{n}", tool="charge")


async def test_a_handler_that_was_given_up_keeps_its_thread_from_nobody() -> None:
    """What waits behind it is served as soon as its time is over, and so is what comes later."""
    over = threading.Event()
    async with asyncio.timeout(30), Ledger("memory://", settings=ONE) as ledger:
        hanging = asyncio.create_task(ledger.run(call(0), lambda: over.wait(60), timeout=0.05))
        while not ledger._engine.parts.runtime._threads._open:
            await asyncio.sleep(0)
        behind = asyncio.create_task(ledger.run(call(1), lambda: "behind"))
        with pytest.raises(OutcomeUnknown):
            await hanging

        assert await behind == "behind"
        assert await ledger.run(call(2), lambda: "later", timeout=20) == "later"
        over.set()


class Blocked:
    """Jobs that stay at work until they are let go."""

    def __init__(self, threads: HandlerThreads) -> None:
        self._threads = threads
        self._over = threading.Event()

    def start(self) -> Future[Any]:
        """Return a job that is at work."""
        begun = threading.Event()

        def work() -> threading.Thread:
            begun.set()
            self._over.wait(60)
            return threading.current_thread()

        job = self._threads.submit(work)
        assert begun.wait(30)
        return job

    def end(self) -> None:
        self._over.set()


def test_a_thread_that_was_given_up_ends_with_its_job() -> None:
    """No more than the limit are at work afterwards."""
    threads = HandlerThreads(1)
    blocked = Blocked(threads)
    lost = blocked.start()
    threads.give_up(lost)
    blocked.end()
    old = lost.result(30)

    after = {threads.submit(threading.current_thread).result(30) for _ in range(3)}
    second = Blocked(threads)
    running = second.start()
    waiting = threads.submit(lambda: None)

    assert old not in after
    assert len(after) == 1
    assert waiting.cancel()
    second.end()
    running.result(30)
    threads.close()


def test_only_so_many_lost_threads_are_replaced() -> None:
    """A source that never answers must not use up the machine; what then waits can be called off."""
    threads = HandlerThreads(1, spare=1)
    blocked = Blocked(threads)
    jobs = [blocked.start()]
    threads.give_up(jobs[0])
    jobs.append(blocked.start())
    threads.give_up(jobs[1])

    waiting = threads.submit(lambda: None)

    assert waiting.cancel()
    blocked.end()
    for job in jobs:
        job.result(30)
    assert threads.submit(lambda: "served").result(30) == "served"
    threads.close()


def test_giving_up_what_has_ended_changes_nothing() -> None:
    threads = HandlerThreads(1)
    ended = threads.submit(lambda: 1)
    ended.result(30)
    blocked = Blocked(threads)
    running = blocked.start()

    threads.give_up(ended)

    assert threads.submit(lambda: None).cancel()
    blocked.end()
    running.result(30)
    threads.close()


def test_a_pool_that_was_closed_starts_threads_again_for_whoever_still_comes() -> None:
    """C2: another event loop's calls go on when one loop's ledger is closed."""
    threads = HandlerThreads(1)
    threads.submit(lambda: 1).result(60)

    threads.close()

    assert threads.submit(lambda: 2).result(60) == 2
