"""The sweeper comes to everything that it can do something about, however much lies in its way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from desk import Desk
from holdfast import Done, Ledger, Settings, State, StillUnknown, ToolCall
from holdfast._runtime.drive import run_sync
from retry.world import CALL, Service, ask, end_of, lost

FOUND = {"id": "ch_9"}


def call_of(n: int, tool: str) -> ToolCall:
    return ToolCall(workflow_id=f"order-{n}", tool=tool, args={"amount": 1})


def in_doubt(desk: Desk, n: int, tool: str) -> None:
    end_of(desk, Service(desk, lost()), call_of(n, tool), dependency=False)
    desk.clock.advance(1)


def sweeper_of(desk: Desk, tool: str, source: Any) -> Any:
    ledger = desk.ledger()
    ledger.tool(tool, reconcile=source)(lambda amount: None)
    return ledger


@pytest.mark.parametrize("count", [3, 9])
def test_effects_that_wait_for_a_person_hide_none_that_can_be_asked_about(desk: Desk, count: int) -> None:
    """IDE-15: those without a source of evidence do not count towards the limit, on whichever side they are."""
    for n in range(count):
        in_doubt(desk, n, "sms")
    in_doubt(desk, 100, "pay")
    for n in range(count):
        in_doubt(desk, n + 200, "sms")

    report = run_sync(sweeper_of(desk, "pay", lambda effect: Done(FOUND)).sweep(limit=2))

    assert list(report.settled.values()) == [State.SUCCEEDED]
    assert len(report.unattended) == 2 * count
    assert report.standing == ()


def test_what_has_waited_longest_is_looked_at_first(desk: Desk) -> None:
    """IDE-15: with more in doubt than one pass looks at, everything has its turn before anything has a second."""
    for n in range(5):
        in_doubt(desk, n, "pay")
    asked: list[str] = []

    def look(effect: Any) -> StillUnknown:
        asked.append(effect.workflow_id)
        return StillUnknown()

    ledger = sweeper_of(desk, "pay", look)
    for _ in range(3):
        report = run_sync(ledger.sweep(limit=2))
        assert len(report.standing) <= 2
        desk.clock.advance(60)

    assert asked[:5] == [f"order-{n}" for n in range(5)]
    assert set(asked[5:]) < {"order-0", "order-1"}


def test_living_claims_hide_no_dead_one(desk: Desk) -> None:
    """I2: the limit counts claims whose lease is over, oldest first."""
    desk.die_holding(call_of(0, "pay"), Service(desk))
    desk.clock.advance(9)
    for n in range(3):
        desk.begin(call_of(n + 1, "pay"))
    desk.clock.advance(5)

    report = ask(desk, lambda ledger: ledger.sweep(limit=2))

    assert len(report.buried) == 1


def test_a_dead_workers_effect_that_the_outside_told_is_done_is_done(desk: Desk) -> None:
    """IDE-27: although its tool may be sent again, nobody has to call for it once more."""
    service = Service(desk)
    desk.die_holding(CALL, service, safety="idempotent")
    ask(desk, lambda ledger: ledger.observe(desk.effect.key, Done(FOUND), signal_id="evt_1"))
    desk.clock.advance(600)

    report = ask(desk, lambda ledger: ledger.sweep())

    assert list(report.settled.values()) == [State.SUCCEEDED]
    assert desk.run(CALL, service, safety="idempotent") == FOUND
    assert service.at == []


class Hostile(BaseException):
    """What only stops are told by."""


@pytest.mark.parametrize("kind", [GeneratorExit, asyncio.CancelledError, Hostile])
def test_a_reconciler_that_ends_like_a_stop_keeps_nobody_behind_it_waiting(desk: Desk, kind: Any) -> None:
    """IDE-15: it has found nothing, and the next effect is looked at."""

    def source(effect: Any) -> Done:
        if effect.workflow_id == "order-0":
            raise kind
        return Done(FOUND)

    for n in range(2):
        in_doubt(desk, n, "pay")

    report = run_sync(sweeper_of(desk, "pay", source).sweep())

    assert list(report.settled.values()) == [State.SUCCEEDED]
    assert len(report.standing) == 1


def test_a_plain_reconciler_that_exits_in_its_thread_stops_nobody(tmp_path: Path) -> None:
    """IDE-15: under asyncio it is asked in a thread of its own, and the loop goes on."""

    def source(effect: Any) -> Done:
        if effect.workflow_id == "order-0":
            raise SystemExit(3)
        return Done(FOUND)

    def broken(amount: int) -> None:
        raise ConnectionResetError

    async def main() -> Any:
        async with Ledger(
            f"sqlite:///{tmp_path / 'ledger.db'}", settings=Settings(reconcile_skew=1e-6)
        ) as ledger:
            for n in range(2):
                with suppress(ConnectionResetError):
                    await ledger.run(call_of(n, "pay"), broken, retry=False)
            ledger.tool("pay", reconcile=source)(broken)
            return await ledger.sweep()

    report = asyncio.run(main())

    assert list(report.settled.values()) == [State.SUCCEEDED]
    assert len(report.standing) == 1
