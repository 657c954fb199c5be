"""COS-08, OBS-25: whatever the moment of death, people hear of each mark that a budget has reached."""

from __future__ import annotations

from pathlib import Path

from holdfast import Alert, Budget, Ledger, ToolCall
from holdfast._core.budget_marks import USUAL, reached
from holdfast.ports import AccountQuery
from holdfast.testing import World
from holdfast.testing.places import places


def test_marks_whose_process_died_are_told_by_a_sweeper_under_the_same_names(
    store: str, tmp_path: Path
) -> None:
    """OBS-25: at least once, and again under the same id only where the telling itself was cut off."""
    alerts: list[Alert] = []

    async def spends(ledger: Ledger, world: World) -> None:
        ledger._engine.parts.alerts.listeners.append(alerts.append)
        with ledger.budget("night", Budget(tool_calls=2)):
            for n in range(2):
                call = ToolCall(workflow_id="w", tool="pay", args={"n": n})
                await ledger.run(call, world.tool("pay"), safety="idempotent", retry=False)

    async def sweeps(ledger: Ledger, world: World) -> None:
        del world
        ledger._engine.parts.alerts.listeners.append(alerts.append)
        await ledger.sweep()

    async def full(ledger: Ledger) -> set[str]:
        query = AccountQuery(owner=ledger._engine.tenant)
        levels = await ledger._engine.parts.store.budgets.levels(query)
        return {
            f"scope:night/tool_calls@{mark // 10}%"
            for level in levels
            for mark in reached(level, USUAL, is_refusal=False)
        }

    place = places(store, tmp_path)
    boundaries = World(place()).live(spends).boundaries
    twice = 0
    for n in range(len(boundaries)):
        alerts.clear()
        world = World(place())
        world.live(spends, die_at=n)
        world.recover()
        world.live(sweeps)
        told = [alert.subject for alert in alerts]

        assert set(told) == world.look(full), f"died {boundaries[n]}"
        assert len({alert.id for alert in alerts}) == len(set(told)) >= len(told) - 1
        twice += len(told) - len(set(told))
        assert world.verify().ok
        world.live(sweeps)
        assert len(alerts) == len(told), "nothing is told a second time"
        world.close()

    assert twice == 2 * 3, (
        "only what was told and not yet on record: after each telling, and before its record"
    )
