"""A claim that was won and is not acted under is given back, whatever came between: nobody renews it for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Ledger, NotDone, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import StoreUnavailable
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FaultyStore

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
FOR_EVER = 10**6


class Second:
    """Lets the first attempt pass; the database is away when signals are asked for under the second claim.

    The second call claims twice: at first blindly, and again after it has seen what is on record.
    """

    def __init__(self, times: int) -> None:
        self._claims = 0
        self._times = times

    async def reach(self, name: str) -> None:
        self._claims += name == "after claim"
        if self._claims > 2 and name == "before signals" and self._times:
            self._times -= 1
            raise StoreUnavailable("list signals", "connection reset by peer")


class Charge:
    """A handler that does nothing at first, and says so."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, amount: int) -> Any:
        self.count += 1
        if self.count == 1:
            raise NotDone("no")
        return {"id": "ch_1"}


def stopped(desk: Any, charge: Charge, times: int, safety: str) -> Any:
    ledger = desk.ledger(lambda store: FaultyStore(store, Second(times)))
    with pytest.raises(NotDone):
        run_sync(ledger.run(CALL, charge, safety=safety, retry=False))
    with pytest.raises(StoreUnavailable):
        run_sync(ledger.run(CALL, charge, safety=safety, retry=False))
    return ledger


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_i2_a_claim_that_cannot_look_at_the_signals_is_given_back(desk: Any, safety: str) -> None:
    """Its caller was told that nothing ran: the next caller need not wait, and surely not for ever."""
    charge = Charge()
    ledger = stopped(desk, charge, 1, safety)

    assert not ledger._engine.parts.heartbeat.is_busy
    assert (charge.count, desk.events) == (1, ["claim", "release", "claim", "release"])
    assert desk.run(CALL, charge, safety=safety, retry=False, wait=0) == {"id": "ch_1"}


def test_i2_a_claim_that_cannot_be_given_back_either_is_left_to_its_lease(desk: Any) -> None:
    charge = Charge()
    ledger = stopped(desk, charge, FOR_EVER, "idempotent")

    assert not ledger._engine.parts.heartbeat.is_busy
    assert desk.clock.monotonic() <= 20
    assert desk.run(CALL, charge, safety="idempotent", retry=False) == {"id": "ch_1"}


class Stays:
    """Stays for ever where the second claim asks for signals, and says so."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self._claims = 0

    async def reach(self, name: str) -> None:
        self._claims += name == "after claim"
        if self._claims > 2 and name == "before signals" and not self.there.is_set():
            self.there.set()
            await asyncio.Event().wait()


async def test_i2_a_claim_that_looks_at_the_signals_when_the_ledger_closes_is_given_back() -> None:
    """A closed ledger renews nothing that nobody acts under."""
    store, charge, stays = MemoryStore(is_test=True), Charge(), Stays()
    ledger = Ledger(FaultyStore(store, stays))
    with pytest.raises(NotDone):
        await ledger.run(CALL, charge)
    calling = asyncio.create_task(ledger.run(CALL, charge))
    await stays.there.wait()

    await ledger.close(drain=0)
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert not ledger._engine.parts.heartbeat.is_busy
    async with Ledger(store) as after:
        assert await after.run(CALL, charge, wait=0) == {"id": "ch_1"}
