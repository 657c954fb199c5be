"""Closing a ledger ends nobody's right to act: what cannot be stopped keeps its claim until it has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from holdfast import Done, NotDone
from holdfast._runtime import context
from holdfast.errors import InProgress, OutcomeUnknown
from promises.ledgers import CALL, HASTY, PATIENCE_S, Place

pytestmark = pytest.mark.kinds("sync-sqlite", "sync-postgres", "sqlite", "postgres")


def charged(charges: list[str]) -> Any:
    return lambda effect: Done({"id": 1}) if charges else NotDone()


async def outlived(other: Any, charges: list[str]) -> None:
    """Let another worker try for two leases; it must not be given the right to act."""
    until = time.monotonic() + 2 * HASTY.lease_s
    while time.monotonic() < until:
        with pytest.raises(InProgress):
            await other.run(
                CALL,
                other.handler(lambda **_: charges.append("second")),
                reconcile=charged(charges),
                wait="50ms",
            )


async def test_a_block_that_outlasts_the_drain_keeps_its_claim_and_is_recorded(place: Place) -> None:
    """I1: nobody else acts meanwhile, and what it held is released at its end."""
    charges: list[str] = []
    book, other = place.open(settings=HASTY), place.open(settings=HASTY)
    entered, leave = threading.Event(), threading.Event()

    def settle(claim: Any) -> None:
        charges.append(claim.effect.idem_key)
        claim.succeed({"id": 1})

    def plain() -> None:
        with book.ledger.begin(CALL) as claim:
            entered.set()
            leave.wait(PATIENCE_S)
            settle(claim)

    async def coroutine() -> None:
        async with book.ledger.begin(CALL) as claim:
            entered.set()
            await asyncio.to_thread(leave.wait, PATIENCE_S)
            settle(claim)

    block = asyncio.create_task(asyncio.to_thread(plain) if book.is_sync else coroutine())
    assert await asyncio.to_thread(entered.wait, PATIENCE_S)
    await book.close(drain=0.05)

    await outlived(other, charges)
    leave.set()
    await block

    assert len(charges) == 1
    [effect] = await other.effects()
    assert effect.state == "succeeded"
    assert not book.ledger._engine.parts.heartbeat.is_busy


async def test_a_handler_that_outlasts_the_drain_keeps_its_claim_and_is_recorded(place: Place) -> None:
    """I1: nobody can stop it, so nobody else may begin."""
    charges: list[str] = []
    book, other = place.open(settings=HASTY), place.open(settings=HASTY)
    entered, leave = threading.Event(), threading.Event()

    def slow(**_: Any) -> dict[str, int]:
        entered.set()
        leave.wait(PATIENCE_S)
        charges.append("first")
        return {"id": 1}

    calling = asyncio.create_task(book.run(CALL, slow))
    assert await asyncio.to_thread(entered.wait, PATIENCE_S)
    await book.close(drain=0.05)

    await outlived(other, charges)
    leave.set()
    await asyncio.gather(calling, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S):
        while (await other.effects())[0].state == "pending":
            await asyncio.sleep(0.01)

    assert charges == ["first"]
    [effect] = await other.effects()
    assert effect.state == "succeeded"
    assert not book.ledger._engine.parts.heartbeat.is_busy


@pytest.mark.kinds("sqlite", "postgres")
async def test_a_handler_that_outlasts_its_event_loop_as_well_keeps_its_claim_until_it_ends(
    place: Place,
) -> None:
    """I1, I2: nobody is left to record its outcome, so its end leaves a dead worker's claim: doubt."""
    other = place.open(settings=HASTY)
    entered, leave = threading.Event(), threading.Event()
    thread: list[threading.Thread] = []

    def slow(**_: Any) -> None:
        thread.append(threading.current_thread())
        entered.set()
        leave.wait(PATIENCE_S)

    async def short() -> Any:
        book = place.open(settings=HASTY)
        calling = asyncio.create_task(book.run(CALL, slow))
        assert await asyncio.to_thread(entered.wait, PATIENCE_S)
        await book.close(drain=0.05)
        await asyncio.gather(calling, return_exceptions=True)
        return book.ledger._engine.parts.heartbeat

    heartbeat = await asyncio.to_thread(asyncio.run, short())
    await outlived(other, [])
    leave.set()
    with pytest.raises(OutcomeUnknown):
        await other.run(CALL, other.handler(lambda **_: None))

    assert not heartbeat.is_busy
    assert heartbeat._thread is None


class Mean(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_block_whose_end_fails_in_somebody_elses_code_leaves_nothing_behind(place: Place) -> None:
    """I3: no claim is renewed for ever, and the code after it is inside of nothing."""
    book = place.open()

    with pytest.raises(SystemExit):
        await left_with(book, Mean())

    assert not book.ledger._engine.parts.heartbeat.is_busy
    assert not book.ledger._engine.parts.traffic.under_way
    assert context.executing.get() == frozenset()


async def left_with(book: Any, error: Exception) -> None:
    if book.is_sync:
        with book.ledger.begin(CALL):
            raise error
    async with book.ledger.begin(CALL):
        raise error
