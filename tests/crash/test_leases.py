"""I3: leases and fences. The living are never taken over, the dead are, and zombies overwrite nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast import Done, NotDone, State, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import InProgress, LeaseLost, OutcomeUnknown
from holdfast.testing import FaultyStore

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


def charge(amount: int) -> Any:
    return {"id": "ch_1"}


def forbidden(amount: int) -> Any:
    raise AssertionError


def die_holding(desk: Any, **options: Any) -> None:
    """Claim the effect in a process that is never heard of again."""
    desk.die_holding(CALL, forbidden, **options)


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "local"])
def test_x3_a_living_slow_handler_is_never_taken_over(desk: Any, safety: str) -> None:
    """X3, IDE-18: a handler that takes six leases is executed once; others are told to wait."""
    ledger = desk.ledger()
    heartbeat, renewer = ledger._engine.parts.heartbeat, ledger._engine.parts.store.renewer()
    told: list[Any] = []

    def slow(amount: int) -> Any:
        for _ in range(20):
            desk.clock.advance(3)
            if safety != "local":  # its transaction is open, and SQLite's heartbeat would wait for it
                heartbeat.beat(renewer)
                with pytest.raises(InProgress) as waiting:
                    desk.run(CALL, forbidden, safety=safety, wait=0)
                told.append(waiting.value.until - desk.clock())
        return {"id": "ch_1"}

    assert run_sync(ledger.run(CALL, slow, safety=safety)) == {"id": "ch_1"}

    assert set(told) <= {timedelta(seconds=10)}
    assert desk.events == ["claim", "succeed"]
    renewer.close()


def test_x3_a_heartbeat_renews_no_claim_that_has_its_outcome(desk: Any) -> None:
    ledger = desk.ledger()
    heartbeat, renewer = ledger._engine.parts.heartbeat, ledger._engine.parts.store.renewer()
    run_sync(ledger.run(CALL, charge))
    before = desk.effect

    desk.clock.advance(5)
    heartbeat.beat(renewer)

    assert desk.effect == before
    renewer.close()


def test_x3_a_heartbeat_does_not_bring_back_a_claim_that_was_taken_over(desk: Any) -> None:
    zombie = desk.begin(CALL, safety="idempotent").ledger
    heartbeat, renewer = zombie._engine.parts.heartbeat, zombie._engine.parts.store.renewer()
    desk.clock.advance(11)
    desk.begin(CALL, safety="idempotent")
    before = desk.effect

    desk.clock.advance(5)
    heartbeat.beat(renewer)
    heartbeat.beat(renewer)

    assert desk.effect == before
    renewer.close()


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "local"])
def test_x4_retries_never_extend_a_dead_claim(desk: Any, safety: str) -> None:
    """X4: eight impatient callers, and the lease still ends when it was to end."""
    die_holding(desk, safety=safety)
    ends = desk.effect.lease_until

    for _ in range(8):
        desk.clock.advance(1.2)
        with pytest.raises(InProgress) as waiting:
            desk.run(CALL, forbidden, safety=safety, wait=0)
        assert waiting.value.until == desk.effect.lease_until == ends

    desk.clock.advance(0.4)
    assert desk.clock() == ends
    if safety == "unsafe":
        with pytest.raises(OutcomeUnknown):
            desk.run(CALL, forbidden, wait=0)
    else:
        assert desk.run(CALL, charge, safety=safety, wait=0) == {"id": "ch_1"}


def test_x4_nor_do_joiners_that_wait(desk: Any) -> None:
    """C11, X1: a joiner waits until the lease ends, not a moment longer, and gets the verdict at once."""
    die_holding(desk)
    ends = desk.effect.lease_until

    with pytest.raises(OutcomeUnknown):
        desk.run(CALL, forbidden)

    assert timedelta() <= desk.clock() - ends < timedelta(seconds=1.1)
    assert desk.effect.lease_until == ends


def test_x1_doubt_is_told_at_once_without_waiting(desk: Any) -> None:
    die_holding(desk)
    desk.clock.advance(11)
    before = desk.clock()

    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            desk.run(CALL, forbidden)

    assert desk.clock() == before
    assert desk.events == ["claim", "doubt"]


@pytest.mark.parametrize(
    ("recorded", "declared", "taken_over"),
    [
        ("unsafe", "unsafe", False),
        ("unsafe", "idempotent", False),
        ("idempotent", "unsafe", False),
        ("idempotent", "idempotent", True),
        ("local", "unsafe", True),
        ("local", "local", True),
        ("unsafe", "local", False),
    ],
)
def test_only_what_may_be_repeated_is_taken_over(
    desk: Any, recorded: str, declared: str, taken_over: bool
) -> None:
    """IDE-19: what the dead worker ran counts, not only what is declared now."""
    die_holding(desk, safety=recorded)
    desk.clock.advance(11)

    if taken_over:
        assert desk.run(CALL, charge, safety=declared) == {"id": "ch_1"}
        assert desk.events == ["claim", "take_over", "succeed"]
    else:
        with pytest.raises(OutcomeUnknown):
            desk.run(CALL, forbidden, safety=declared)
        assert desk.events == ["claim", "doubt"]


def test_i3_a_zombie_cannot_record_over_its_successor(desk: Any) -> None:
    """X3, IDE-19: the fence refuses it; what it brings is kept as evidence."""

    def stalls(amount: int) -> Any:
        desk.clock.advance(11)
        assert desk.run(CALL, lambda amount: "new", safety="idempotent") == "new"
        return "old"

    with pytest.raises(LeaseLost):
        desk.run(CALL, stalls, safety="idempotent")

    assert desk.effect.result == "new"
    assert desk.events == ["claim", "take_over", "succeed", "note"]
    assert desk.story[-1].details == {"late": "succeed", "late_result": "old"}


def test_i3_nor_while_its_successor_is_still_at_work(desk: Any) -> None:
    successors: list[Any] = []

    def stalls(amount: int) -> Any:
        desk.clock.advance(11)
        successors.append(desk.begin(CALL, safety="idempotent"))
        return "old"

    with pytest.raises(LeaseLost) as lost:
        desk.run(CALL, stalls, safety="idempotent")

    assert lost.value.state == "pending"
    successors[0].succeed("new")
    assert desk.effect.result == "new"
    assert desk.events == ["claim", "take_over", "note", "succeed"]


@pytest.mark.parametrize("ends", ["result", "not-done", "odd"])
def test_i3_a_zombie_of_an_unsafe_effect_brings_the_evidence(desk: Any, ends: str) -> None:
    """I2: nobody executed in its wake, so what it brings settles the doubt."""

    def stalls(amount: int) -> Any:
        desk.clock.advance(11)
        with pytest.raises(OutcomeUnknown):
            desk.run(CALL, forbidden)
        if ends == "result":
            return {"id": "ch_1"}
        raise NotDone("declined") if ends == "not-done" else RuntimeError("odd")

    if ends == "result":
        assert desk.run(CALL, stalls) == {"id": "ch_1"}
        assert desk.effect.state is State.SUCCEEDED
        assert desk.events == ["claim", "doubt", "resolve_done"]
    elif ends == "not-done":
        with pytest.raises(NotDone):
            desk.run(CALL, stalls)
        assert desk.effect.state is State.RETRYABLE
        assert desk.events == ["claim", "doubt", "resolve_not_done"]
    else:
        with pytest.raises((LeaseLost, RuntimeError)):
            desk.run(CALL, stalls)
        assert desk.effect.state is State.UNKNOWN
        assert desk.events[:2] == ["claim", "doubt"]


@pytest.mark.parametrize("ends", ["result", "error"])
def test_i3_a_zombie_of_a_local_effect_leaves_no_rows(desk: Any, ends: str) -> None:
    """IDE-30: its transaction is refused as a whole; it had not begun to write when it was taken over."""
    zombie = desk.ledger(lambda store: FaultyStore(store, _Overtaken(desk)))

    def book(amount: int) -> Any:
        if ends == "error":
            raise RuntimeError("odd")
        return "old"

    with pytest.raises(LeaseLost):
        desk.run(CALL, book, ledger=zombie, safety="local")

    assert desk.effect.result == "new"
    assert desk.events[:3] == ["claim", "take_over", "succeed"]


class _Overtaken:
    """Stands still past its lease before it begins its transaction; a successor does all of it meanwhile."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    async def reach(self, name: str) -> None:
        if name == "before local":
            self._desk.clock.advance(11)
            assert self._desk.run(CALL, lambda amount: "new", safety="local") == "new"


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_reconcilers_not_done_counts_only_when_the_attempt_can_no_longer_act(
    desk: Any, timeout: int | None
) -> None:
    """IDE-15, X2: a request that is still on its way would make it a lie."""
    options: dict[str, Any] = {"reconcile": lambda effect: NotDone(), "timeout": timeout}
    die_holding(desk, timeout=timeout)
    quiet_s = (timeout or 10) + 5

    desk.clock.advance(11)
    with pytest.raises(OutcomeUnknown):
        desk.run(CALL, forbidden, **options)
    desk.clock.advance(quiet_s - 11 - 0.001)
    with pytest.raises(OutcomeUnknown):
        desk.run(CALL, forbidden, **options)
    assert desk.events == ["claim", "doubt", "note", "note"]

    desk.clock.advance(0.001)
    assert desk.run(CALL, charge, **options) == {"id": "ch_1"}
    assert desk.events[4:] == ["resolve_not_done", "claim", "succeed"]


def test_a_reconcilers_done_counts_at_once(desk: Any) -> None:
    die_holding(desk, timeout=60)
    desk.clock.advance(11)

    assert desk.run(CALL, forbidden, reconcile=lambda effect: Done("found")) == "found"
