"""C9 to C11: a second caller of the same effect joins the first one, and never executes in its wake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast import State, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import InProgress, OutcomeUnknown

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


def forbidden(amount: int) -> Any:
    raise AssertionError


@pytest.mark.parametrize("wait", [0, 2, 7.5])
def test_c11_a_joiner_waits_no_longer_than_it_wants_to(desk: Any, wait: float) -> None:
    """C11: a typed error that says until when the other one's lease lasts; nothing ran here."""
    desk.begin(CALL)
    before = desk.clock()

    with pytest.raises(InProgress) as waiting:
        desk.run(CALL, forbidden, wait=wait)

    assert waiting.value.until == desk.effect.lease_until
    assert desk.clock() - before == pytest.approx(timedelta(seconds=wait), abs=timedelta(milliseconds=5))
    assert (desk.effect.state, desk.events) == (State.PENDING, ["claim"])


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_joining_oneself_is_in_progress_at_once(desk: Any, safety: str) -> None:
    """A handler that calls itself again would wait for itself for ever."""
    ledger = desk.ledger()
    seen: list[Any] = []

    def charge(amount: int) -> Any:
        with pytest.raises(InProgress):
            run_sync(ledger.run(CALL, forbidden, safety=safety))
        seen.append(desk.clock.monotonic())
        return "done"

    assert run_sync(ledger.run(CALL, charge, safety=safety)) == "done"
    assert seen == [0.0]


def test_joining_ones_own_begin_on_one_thread_is_in_progress_at_once(desk: Any) -> None:
    """SyncLedger on its own thread: nobody else could ever finish the claim."""
    ledger = desk.ledger(blocking=True)
    begun = desk.begin(CALL, ledger=ledger)

    with pytest.raises(InProgress):
        desk.run(CALL, forbidden, ledger=ledger)

    assert desk.clock.monotonic() == 0.0
    begun.succeed("done")
    assert run_sync(ledger.run(CALL, forbidden)) == "done"


def test_a_begin_that_is_left_without_an_outcome_is_doubt(desk: Any) -> None:
    """I2, INT-07."""

    async def leave() -> None:
        async with desk.ledger().begin(CALL):
            pass

    run_sync(leave())

    with pytest.raises(OutcomeUnknown):
        desk.run(CALL, forbidden)
    assert desk.events == ["claim", "doubt"]


def test_a_joiner_of_a_dead_worker_gets_the_verdict_when_the_lease_ends(desk: Any) -> None:
    """X1: for what may be repeated the verdict is to do it."""
    desk.begin(CALL, safety="idempotent")

    assert desk.run(CALL, lambda amount: "done", safety="idempotent") == "done"

    assert 10 <= desk.clock.monotonic() < 11.1
    assert desk.events == ["claim", "take_over", "succeed"]


def test_a_joiner_waits_on_while_the_worker_lives(desk: Any) -> None:
    """X3: each look finds the lease renewed."""
    owner = desk.begin(CALL)
    heartbeat, renewer = owner.ledger._engine.parts.heartbeat, owner.ledger._engine.parts.store.renewer()
    advance = desk.clock.advance

    def live_on(by: Any) -> None:
        """Whenever the joiner lets time pass, the owner renews its lease; after a while it is done."""
        advance(by)
        if desk.clock.monotonic() < 35:
            heartbeat.beat(renewer)
        elif desk.effect.state is State.PENDING:
            owner.succeed("done")

    desk.clock.advance = live_on

    assert desk.run(CALL, forbidden) == "done"

    assert desk.clock.monotonic() > 35
    assert desk.events == ["claim", "succeed"]
    renewer.close()
