"""TST-11: a user's own scenario under crashes, timeouts, duplicates and other orders; what repeats is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from holdfast import Ledger, ToolCall
from holdfast.testing.chaos import AttackReport, attack

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_guarded_scenario_repeats_nothing_whatever_is_done_to_it(store: str) -> None:
    """TST-11."""
    charges: list[int] = []

    def charge(amount: int) -> int:
        charges.append(amount)
        return len(charges)

    async def scenario(ledger: Ledger) -> None:
        await ledger.run(CALL, handler=charge)

    def at_most_one() -> None:
        assert len(charges) <= 1

    report = attack(scenario, store=store, prepare=charges.clear, check=at_most_one)

    assert report.ok, report
    assert len(report.histories) > 10


def test_an_identity_that_changes_is_reported(holdfast_attack: Callable[..., AttackReport]) -> None:
    """TST-11: the commonest mistake, a counter in the key, is found and named."""
    attempts = itertools.count()

    def charge(amount: int) -> int:
        return amount

    async def careless(ledger: Ledger) -> None:
        call = ToolCall(workflow_id=f"order-{next(attempts)}", tool="charge", args={"amount": 100})
        await ledger.run(call, handler=charge)

    report = attack(careless)

    assert not report.ok
    assert {found.tool for found in report.repeated} == {"charge"}
    assert "its identity changes" in str(report)


def test_an_unguarded_repeat_is_reported() -> None:
    """TST-11: a tool that says it may be repeated, and is, is no finding; an unsafe one under a new key is."""

    def note(text: str) -> str:
        return text

    async def idempotent(ledger: Ledger) -> None:
        call = ToolCall(workflow_id="order-1", tool="note", args={"text": "hello"})
        await ledger.run(call, handler=note, safety="idempotent")

    report = attack(idempotent)

    assert report.ok, report
