"""Waiters are told after the commit, and a dead worker's claim ends with its lease: I2, I6."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from holdfast import Effect, NotDone, Permanent, Settings, State, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import InProgress
from holdfast.stores.memory import MemoryStore
from holdfast.testing import Crash, FakeClock, FakeRuntime, FaultyStore, ledger_on

CALL = ToolCall(workflow_id="order-1", tool="stripe.charge", args={"amount": 100})


class Story:
    """What happened, in order: the store's boundaries and the bell of one waiter."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def reach(self, name: str) -> None:
        self.lines.append(name)

    def ring(self) -> None:
        self.lines.append("ring")

    async def heard(self, timeout_s: float) -> bool:
        del timeout_s
        return False


@pytest.mark.parametrize(
    ("error", "event", "state"),
    [
        (None, "succeed", State.SUCCEEDED),
        (NotDone("no connection"), "release", State.RETRYABLE),
        (Permanent("card declined"), "fail", State.FAILED),
        (RuntimeError("odd"), "doubt", State.UNKNOWN),
    ],
)
def test_nobody_is_told_of_an_outcome_before_it_is_on_record(error, event, state):
    clock, story = FakeClock(), Story()
    ledger = ledger_on(FaultyStore(MemoryStore(clock=clock), story), FakeRuntime(clock))
    listening = []

    def charge(effect: Effect, amount: int) -> str:
        waiter = ledger._engine.parts.bus.listening(effect.key, story)
        waiter.__enter__()
        listening.append((effect.key, waiter))
        if error is not None:
            raise error
        return "done"

    with nullcontext() if error is None else pytest.raises(type(error)):
        run_sync(ledger.run(CALL, handler=charge))
    [(key, waiter)] = listening
    waiter.__exit__(None, None, None)

    told = [line for line in story.lines if not line.endswith(" signals")]  # evidence is looked for as well
    assert told[-3:] == [f"before {event}", f"after {event}", "ring"]
    assert story.lines.count("ring") == 1
    assert run_sync(ledger.effect(key)).state is state


def test_a_dead_workers_claim_ends_with_its_lease_and_not_before():
    clock, executed = FakeClock(), []
    store, settings = MemoryStore(clock=clock), Settings(lease=10.0)
    dead, living = (
        ledger_on(store, FakeRuntime(clock), owner=owner, settings=settings) for owner in ("dead", "living")
    )

    def die(amount: int) -> None:
        raise Crash

    def charge(amount: int, effect: Effect) -> int:
        executed.append(effect.attempt)
        return amount

    with pytest.raises(Crash):
        run_sync(dead.run(CALL, handler=die, safety="idempotent"))
    clock.advance(9.9)
    with pytest.raises(InProgress):
        run_sync(living.run(CALL, handler=charge, safety="idempotent", wait=0))
    assert executed == []
    clock.advance(0.2)

    assert run_sync(living.run(CALL, handler=charge, safety="idempotent", wait=0)) == 100
    assert executed == [2]
