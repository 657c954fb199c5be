"""Sub-agents in processes of their own spend of the budgets of who began them, whom these processes do not know."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.children import Child, Scene
from holdfast._core.budget import Level

SCRIPT: Final = Path(__file__).parent / "lineage_worker.py"
CAP, TENANT_CAP = 10, 15
WORKERS: Final = 3


def process(scene: Scene, mode: str, **told: Any) -> Child:
    known = {
        "url": scene.url,
        "mode": mode,
        "world": str(scene.directory / "world"),
        "cap": CAP,
        "tenant_cap": TENANT_CAP,
        "lease": scene.lease_s,
        "renew_every": scene.renew_every_s,
    }
    return Child([sys.executable, "-W", "error", str(SCRIPT), json.dumps({**known, **told})])


@pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)
def test_sub_agents_in_several_processes_never_pass_a_cap_together(scene: Scene) -> None:
    """COS-13: of one run, and of all runs of a tenant; exactly what there is room for is done."""
    scene.lease_s, scene.renew_every_s = 20.0, 5.0
    with scene.ledger() as ledger, ExitStack() as ending:
        ledger.effects()  # the tables are there
        workers = [ending.enter_context(process(scene, "sub")) for _ in range(WORKERS)]
        lead = ending.enter_context(process(scene, "lead", runs=["first", "second"]))
        for worker in workers:
            worker.at("paying")
        for worker in workers:
            worker.go()
        first, second = lead.heard()["said"], lead.heard()["said"]
        assert lead.ended() == (0, "")
        for worker in workers:
            worker.go()
            worker.at("end")
            assert worker.ended() == (0, "")
        levels: dict[str, Level] = {level.account: level for level in ledger.budgets()}
        verified = ledger.verify()

    assert sum(made for made, _ in first) == CAP
    assert {full for made, full in first if made < 3} == {"workflow:first"}
    assert sum(made for made, _ in second) == TENANT_CAP - CAP
    assert {full for made, full in second if made < 3} == {"tenant"}
    assert len(scene.happened) == TENANT_CAP
    assert len({line.split()[1] for line in scene.happened[:CAP]}) == WORKERS
    spent = {"tenant": TENANT_CAP, "workflow:first": CAP, "workflow:second": TENANT_CAP - CAP}
    assert {name: (level.spent, level.held) for name, level in levels.items()} == {
        name: (amount, 0) for name, amount in spent.items()
    }
    assert verified.ok
