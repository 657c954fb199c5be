"""TST-11: what an attack does to a scenario, and what its report makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Done, Effect, Ledger, NotDone, ToolCall
from holdfast.errors import InvalidCall
from holdfast.testing.chaos import AttackReport, attack

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


class Shop:
    """A user's own tools, with a world that counts for itself."""

    def __init__(self) -> None:
        self.charged: list[int] = []
        self.mailed: list[str] = []

    def clear(self) -> None:
        self.charged.clear()
        self.mailed.clear()

    async def charge(self, amount: int) -> Any:
        await asyncio.sleep(0)
        self.charged.append(amount)
        return {"id": f"ch_{amount}"}

    def mail(self, to: str, effect: Effect) -> str:
        self.mailed.append(effect.idem_key)
        return f"sent to {to}"

    async def scenario(self, ledger: Ledger) -> None:
        """Two charges at once, then a mail that may be sent again under its key, and a row of our own."""
        await asyncio.gather(*(self._charge(ledger, amount) for amount in (1, 2)))
        mail = ToolCall(workflow_id="o-1", tool="mail", args={"to": "ops"})
        await ledger.run(mail, self.mail, safety="idempotent", timeout=30)
        await ledger.run(ToolCall(workflow_id="o-1", tool="row"), self.row, safety="local")
        await ledger.run(ToolCall(workflow_id="o-1", tool="look"), lambda: "seen", safety="read")

    async def _charge(self, ledger: Ledger, amount: int) -> Any:
        call = ToolCall(workflow_id="o-1", tool="charge", args={"amount": amount})
        return await ledger.run(call, self.charge)

    @staticmethod
    def row(effect: Effect) -> None:
        if not isinstance(effect.tx, dict):
            return
        effect.tx["row"] = effect.tx.get("row", 0) + 1


@pytest.mark.parametrize("store", ["memory", "sqlite", "postgres"])
def test_tst_11_a_guarded_shop_survives_every_attack(store: str, request: pytest.FixtureRequest) -> None:
    """TST-11: crashes, frozen workers, lost and late answers, duplicates; concurrent and plain tools."""
    shop = Shop()
    if store == "postgres":
        store = f"{request.getfixturevalue('postgres_url')}%20-csynchronous_commit%3Doff"

    def check() -> None:
        assert len(shop.charged) == len(set(shop.charged))
        assert len(set(shop.mailed)) <= 1

    report = attack(shop.scenario, store=store, prepare=shop.clear, check=check)

    assert report.ok, f"\n{report}"
    kinds = {name.partition(" at ")[0].partition(" of ")[0] for name in report.histories}
    assert kinds == {"plain retry", "crash", "freeze", "lost answer", "late answer", "duplicate calls"}
    assert report.doubts["charge"] > 0
    assert "No effect was repeated." in str(report)


def test_tst_11_a_reconciler_that_is_right_leaves_no_doubt() -> None:
    """What a frozen worker may still do is told, not hidden: only its idempotency key can stop it."""
    charged: list[int] = []

    def charge(amount: int) -> Any:
        charged.append(amount)
        return {"id": "ch_1"}

    def look(effect: Effect) -> Any:
        return Done({"id": "ch_1"}) if charged else NotDone()

    async def scenario(ledger: Ledger) -> None:
        await ledger.run(CALL, charge, reconcile=look)

    report = attack(scenario, prepare=charged.clear)

    assert report.ok, f"\n{report}"
    assert report.doubts == {}
    assert all(found.after.startswith("freeze") for found in report.on_evidence)


def test_tst_11_a_declined_charge_may_be_tried_again() -> None:
    """A handler's own "nothing happened" is no repetition."""

    def declined(amount: int) -> Any:
        raise NotDone("declined")

    async def scenario(ledger: Ledger) -> None:
        await ledger.run(CALL, declined)

    assert attack(scenario).ok


def test_tst_11_a_tool_that_lies_about_its_safety_is_found_by_your_own_check() -> None:
    charged: list[int] = []

    def charge(amount: int) -> Any:
        charged.append(amount)

    async def scenario(ledger: Ledger) -> None:
        await ledger.run(CALL, charge, safety="idempotent")

    def check() -> None:
        assert len(charged) <= 1

    with pytest.raises(AssertionError) as caught:
        attack(scenario, prepare=charged.clear, check=check)

    assert caught.value.__notes__ == ["after: crash at after handler"]


async def test_tst_11_an_attack_needs_a_thread_without_a_loop(
    holdfast_attack: Callable[..., AttackReport],
) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.run(CALL, lambda amount: None)

    with pytest.raises(InvalidCall, match="to_thread"):
        attack(scenario)

    assert (await asyncio.to_thread(holdfast_attack, scenario)).ok
