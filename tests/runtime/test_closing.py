"""Closing waits for what is under way, and for nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Ledger, State, SyncLedger, ToolCall
from holdfast._runtime.blocking import SyncRuntime
from holdfast._runtime.drive import run_sync
from holdfast._runtime.stops import HandlerTimeout
from holdfast.errors import OutcomeUnknown
from holdfast.testing.virtual import VirtualTime, virtual_time

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


class Busy(Exception):
    """An answer 429 that names a time."""

    status_code = 429
    headers = {"retry-after": "20"}  # noqa: RUF012 - as clients have it


def busy_after(seconds: float) -> Callable[[int], Awaitable[Any]]:
    async def charge(amount: int) -> None:
        await asyncio.sleep(seconds)
        raise Busy

    return charge


async def closed_at(ledger: Ledger, time: VirtualTime, handler: Any, moment: float) -> float:
    """Close *ledger* at *moment* while one call is on its way; return how long that took."""
    calling = asyncio.create_task(ledger.run(CALL, handler, safety="idempotent"))
    await asyncio.sleep(moment)
    await ledger.close()
    took_s = time.passed_s - moment
    with pytest.raises(asyncio.CancelledError):
        await calling
    return took_s


@pytest.mark.parametrize(
    ("busy_s", "took_s"), [(0, 0), (8, 3)], ids=["rests already", "its attempt ends meanwhile"]
)
def test_a_caller_that_rests_between_two_attempts_does_not_hold_up_closing(
    busy_s: float, took_s: float
) -> None:
    """RET-11: nothing is under way; the next attempt stays planned on record."""
    with virtual_time() as time:
        store = time.store()

        took = time.run(closed_at(time.ledger(store), time, busy_after(busy_s), 5))
        [effect] = time.run(time.ledger(store).effects())

    assert took == pytest.approx(took_s)
    assert (effect.state, effect.attempt) == (State.RETRYABLE, 1)
    assert effect.retry_at is not None


def test_a_call_inside_a_running_handler_may_rest_while_it_is_closed() -> None:
    """Ending it would leave doubt about the handler around it, which has its time."""
    inner = ToolCall(workflow_id="order-1", tool="inner")
    tries: list[float] = []
    with virtual_time() as time:
        ledger = time.ledger()

        async def second_time_lucky() -> str:
            tries.append(time.passed_s)
            if len(tries) == 1:
                raise Busy
            return "done"

        async def outer(amount: int) -> Any:
            return await ledger.run(inner, second_time_lucky, safety="idempotent")

        async def scene() -> Any:
            calling = asyncio.create_task(ledger.run(CALL, outer))
            await asyncio.sleep(1)
            await ledger.close()
            return await calling

        assert time.run(scene()) == "done"

    assert len(tries) == 2


def test_what_a_late_thread_brings_is_on_record_before_a_sync_ledger_is_closed() -> None:
    """I2: else it would open again what was closed, and nobody would ever close that."""
    runtime = SyncRuntime()
    going, offering, offered = threading.Event(), threading.Event(), threading.Event()

    async def late(_: Any) -> None:
        offering.set()
        assert not closed.wait(0.2)
        offered.set()

    def handler() -> None:
        going.wait(60)

    closed = threading.Event()
    with pytest.raises(HandlerTimeout):
        run_sync(runtime.invoke(handler, {}, timeout_s=0.01, late=late))
    going.set()
    assert offering.wait(60)
    run_sync(runtime.close(60))
    closed.set()

    assert offered.is_set()


async def test_a_close_that_was_given_up_is_made_good_by_the_next() -> None:
    """X5: the first one's patience is not the second one's."""
    ended: list[str] = []
    began = asyncio.Event()

    async def charge(amount: int) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("stopped")
            raise

    ledger = Ledger("memory://")
    calling = asyncio.create_task(ledger.run(CALL, charge))
    await began.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ledger.close()
    assert ended == []

    await ledger.close(drain=0.01)

    assert ended == ["stopped"]
    await asyncio.gather(calling, return_exceptions=True)


def test_whoever_closes_a_ledger_beside_another_waits_as_well() -> None:
    ledger, began, go, ended = (
        SyncLedger("memory://"),
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )

    def charge(amount: int) -> None:
        began.set()
        go.wait(60)
        ended.set()

    def second() -> None:
        while not ledger._engine.parts.traffic.is_closing:
            pass
        ledger.close()
        seen.append(ended.is_set())

    seen: list[bool] = []
    calling = threading.Thread(target=ledger.run, args=(CALL, charge))
    calling.start()
    assert began.wait(60)
    closing = [threading.Thread(target=ledger.close), threading.Thread(target=second)]
    for thread in closing:
        thread.start()
    closing[1].join(0.1)
    go.set()
    for thread in (*closing, calling):
        thread.join(60)

    assert seen == [True]


async def test_two_handlers_that_both_close_their_ledger_do_not_wait_for_each_other() -> None:
    ledger, both = Ledger("memory://"), asyncio.Barrier(2)

    async def charge(amount: int) -> str:
        await both.wait()
        await ledger.close()
        return "closed"

    async with asyncio.timeout(20):
        calls = [ToolCall(workflow_id="w", tool="charge", args={"amount": n}) for n in range(2)]
        assert await asyncio.gather(*(ledger.run(call, charge) for call in calls)) == ["closed"] * 2


async def test_a_handler_inside_another_may_close_their_ledger() -> None:
    ledger, inner = Ledger("memory://"), ToolCall(workflow_id="order-1", tool="inner")

    async def closing() -> str:
        await ledger.close()
        return "closed"

    async def charge(amount: int) -> str:
        return await ledger.run(inner, closing)

    async with asyncio.timeout(20):
        assert await ledger.run(CALL, charge) == "closed"


def test_a_thread_that_was_given_up_may_close_its_ledger() -> None:
    ledger, go, closed = SyncLedger("memory://"), threading.Event(), threading.Event()

    def charge(amount: int) -> None:
        go.wait(60)
        ledger.close(drain=60)
        closed.set()

    with pytest.raises(OutcomeUnknown):
        ledger.run(CALL, charge, timeout=0.01)
    go.set()

    assert closed.wait(20)
