"""A fleet whose workers were killed gets its seats back, without waiting for anybody to sweep."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from e2e.children import Scene
from e2e.test_budget_race import CAPS, spender, until_over
from holdfast import Budget, Settings, SyncLedger, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import BudgetExceeded
from holdfast.ports import AccountQuery, HoldQuery

SEATS = 3


def act(n: int) -> int:
    return n


def look(n: int) -> int:
    return n


@pytest.mark.parametrize("scene", ["sync-sqlite", "sync-postgres"], indirect=True)
def test_seats_of_killed_workers_are_free_once_their_claims_are_over(scene: Scene) -> None:
    """COS-14, COS-18: as long as they may live they keep them; what they may have spent counts as spent."""
    scene.lease_s, scene.renew_every_s = 2.0, 0.4
    settings = Settings(lease=scene.lease_s, renew_every=scene.renew_every_s)
    budgets = {"tenant": Budget(tool_calls=100, concurrency=SEATS)}
    with (
        scene.ledger() as tables,
        SyncLedger(scene.url, settings=settings, budgets=budgets) as ledger,
        ExitStack() as ending,
    ):
        tables.effects()
        caps = {**CAPS, "seats": SEATS}
        workers = [
            ending.enter_context(spender(scene, n, caps=caps, slices=0, holds_at=0)) for n in range(SEATS)
        ]
        for worker in workers:
            worker.at("ready")
            worker.go()
            worker.at("holding")
        with pytest.raises(BudgetExceeded, match="concurrency"):
            ledger.run(ToolCall(workflow_id="w", tool="act", args={"n": 0}), act, safety="unsafe")
        for worker in workers:
            worker.kill()
        until_over(scene)

        for n in range(5):
            call = ToolCall(workflow_id="w", tool="act", args={"n": n})
            assert ledger.run(call, act, safety="unsafe") == n
        budget_store = ledger._engine.parts.store.budgets
        levels = {
            level.unit: (level.spent, level.held)
            for level in run_sync(budget_store.levels(AccountQuery(owner="default", account="tenant")))
        }
        holds = run_sync(budget_store.holds(HoldQuery(tenant="default")))
        assert ledger.verify().ok

    assert levels == {"tool_calls": (SEATS + 5, 0), "concurrency": (0, 0)}
    assert sorted(hold.state for hold in holds) == ["assumed"] * SEATS + ["settled"] * 5
