"""Sixteen processes spend of the same budgets, and four are killed while they hold some of them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.children import Child, Scene
from holdfast._runtime.drive import run_sync
from holdfast.ports import AccountQuery, HoldQuery

WORKER: Final = Path(__file__).parent / "budget_worker.py"
PROCESSES: Final = 16
KILLED: Final = 4
CALLS: Final = 16
CAPS: Final = {"global": 150, "tenant": 130, "workflow": 48}
LEVELS: Final = {
    "sqlite": "SELECT account, spent + held, cap + raised FROM holdfast_budget",
    "postgres": """
        SELECT account, sum(spent + held)::bigint, max(cap + raised) FILTER (WHERE slice = 0)
        FROM holdfast_budget GROUP BY owner, account, unit, per
    """,
}


def spender(scene: Scene, number: int, **told: Any) -> Child:
    known = {
        "url": scene.url,
        "number": number,
        "calls": CALLS,
        "holds_at": 3 + number if number < KILLED else None,
        "caps": CAPS,
        "slices": 4,
        "world": str(scene.directory / "world"),
        "lease": scene.lease_s,
        "renew_every": scene.renew_every_s,
    }
    return Child([sys.executable, "-W", "error", str(WORKER), json.dumps({**known, **told})])


@contextmanager
def sampled(scene: Scene, kind: str) -> Iterator[list[tuple[str, int, int]]]:
    """Look at the levels again and again, from outside of every process that spends."""
    seen: list[tuple[str, int, int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.extend((name, used, cap) for name, used, cap in scene.sql(LEVELS[kind]))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


@pytest.mark.parametrize("scene", ["sync-sqlite", "sync-postgres"], indirect=True)
def test_sixteen_processes_never_pass_a_cap_and_the_dead_hold_nothing(scene: Scene) -> None:
    """COS-02, COS-13, COS-14, I5: at each instant, on three levels; at the end all is spent and nothing held."""
    kind = "postgres" if scene.url.startswith("postgres") else "sqlite"
    scene.lease_s, scene.renew_every_s = 2.0, 0.4
    with scene.ledger() as ledger:
        ledger.effects()  # the tables are there
        with ExitStack() as ending:
            workers = [ending.enter_context(spender(scene, number)) for number in range(PROCESSES)]
            for worker in workers:
                worker.at("ready")
            with sampled(scene, kind) as seen:
                for worker in workers[:KILLED]:
                    worker.go()
                for worker in workers[:KILLED]:
                    worker.at("holding")  # before the others leave nothing to hold
                for worker in workers[KILLED:]:
                    worker.go()
                for worker in workers[:KILLED]:
                    worker.kill()
                told = [worker.heard() for worker in workers[KILLED:]]
                ends = [worker.ended() for worker in workers[KILLED:]]
        until_over(scene)
        ledger.sweep()
        budgets = ledger._engine.parts.store.budgets
        levels = {
            level.account: (level.spent, level.held)
            for owner in ("", "default")
            for level in run_sync(budgets.levels(AccountQuery(owner=owner)))
        }
        holds = run_sync(budgets.holds(HoldQuery(tenant="default", limit=1000)))
        verified = ledger.verify()

    assert ends == [(0, "")] * (PROCESSES - KILLED)
    assert {len(seen) > 100} | {used <= cap for _, used, cap in seen} == {True}
    assert levels.pop("global") == levels.pop("tenant") == (CAPS["tenant"], 0)
    assert sum(spent for spent, _ in levels.values()) == CAPS["tenant"]
    assert {held for _, held in levels.values()} == {0}
    assert max(spent for spent, _ in levels.values()) <= CAPS["workflow"]
    assert len(scene.happened) == len(holds) == CAPS["tenant"], "what was spent is what was done"
    assert sorted({hold.state for hold in holds}) == ["assumed", "settled"]
    assert sum(hold.state == "assumed" for hold in holds) == KILLED
    assert sum(one["made"] for one in told) + KILLED <= CAPS["tenant"]
    assert verified.ok


def until_over(scene: Scene) -> None:
    """Return once the claims of the dead have run out."""
    now = {"sqlite": "(julianday('now') - 2440587.5) * 86400e6 - 1000", "postgres": "now()"}
    kind = "postgres" if scene.url.startswith("postgres") else "sqlite"
    held = f"SELECT count(*) FROM holdfast_effect WHERE state = 'pending' AND lease_until >= {now[kind]}"
    while scene.sql(held) != [(0,)]:
        pass
