"""Workflows between real processes: frozen past the lease, killed, both at once; one effect, one outcome."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.children import Child, Scene
from holdfast import State

SCRIPT = Path(__file__).parent / "workflow_worker.py"
RESULT = {"result": ["first", {"charged": 5, "by": "charge"}, "last"]}
STORES = pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(autouse=True)
def slow_heartbeat(scene: Scene) -> None:
    """No process is frozen in the middle of a renewal, with a lock of SQLite in its hand."""
    scene.lease_s, scene.renew_every_s = 1.0, 0.5
    with scene.ledger() as ledger:
        ledger.effects()  # the tables are there


def process(scene: Scene, *stops: str, mode: str = "run") -> Child:
    told = {
        "url": scene.url,
        "world": str(scene.directory / "world"),
        "stops": stops,
        "mode": mode,
        "lease": scene.lease_s,
        "renew_every": scene.renew_every_s,
    }
    return Child([sys.executable, "-W", "error", str(SCRIPT), json.dumps(told)])


def world(scene: Scene) -> list[tuple[str, int]]:
    """What happened, and in which process."""
    return [(name, int(pid)) for name, pid in (line.split() for line in scene.happened)]


def until(scene: Scene, condition: Any) -> None:
    """Wait until that holds of the workflow's execution."""
    with scene.ledger() as ledger:
        for _ in range(600):
            if condition(ledger.execution("order-1")):
                return
            time.sleep(0.1)
    raise AssertionError("it never came to that")


@STORES
def test_a_worker_frozen_in_an_unsafe_effect_and_its_successor_make_one_effect_with_one_outcome(
    scene: Scene,
) -> None:
    """STA-18, X3, IDE-19: the successor repeats nothing and waits; the frozen one's late word settles it."""
    with process(scene, "charge-end") as frozen, process(scene, "ready") as second:
        frozen.at("charge-end")
        frozen.freeze()
        second.at("ready")
        second.go()
        until(scene, lambda execution: execution.status == "needs_review")
        frozen.thaw()
        frozen.go()
        told = frozen.heard(), second.heard()

    with scene.ledger() as ledger:
        [effect] = ledger.effects()
        trail = ledger.audit(effect.key)
        execution = ledger.execution("order-1")
        assert ledger.verify().ok
    assert told == (RESULT, RESULT)
    assert [name for name, _ in world(scene)] == ["first", "charge", "last"]
    assert [entry.event for entry in trail] == ["claim", "doubt", "resolve_done"]
    assert trail[-1].details["late"] == "succeed"
    assert (effect.state, effect.attempt) == (State.SUCCEEDED, 1)
    assert (execution.status, execution.pause) == ("succeeded", "")


@STORES
def test_of_two_processes_that_resume_one_run_one_goes_on_and_the_other_is_told_its_end(scene: Scene) -> None:
    """STA-18: one owner; a lease and a fence see to it."""
    with process(scene, "last-start") as dead:
        dead.at("last-start")
        dead.kill()
    with process(scene, "ready") as one, process(scene, "ready") as two:
        for child in (one, two):
            child.at("ready")
        for child in (one, two):
            child.go()
        told = one.heard(), two.heard()
        ends = one.ended(), two.ended()

    names = [name for name, _ in world(scene)]
    assert told == (RESULT, RESULT)
    assert ends == ((0, ""), (0, ""))
    assert names == ["first", "charge", "last"]
    assert world(scene)[-1][1] in {one.process.pid, two.process.pid}


@STORES
def test_another_worker_takes_over_from_one_that_was_killed(scene: Scene) -> None:
    """DUR-13, DUR-10, STA-01: after the lease; what is on record is not done again, and it counts as a crash."""
    with scene.ledger() as ledger:
        order = ledger.workflow(name="order")(lambda ctx: None)
        order.enqueue("order-1")
    with process(scene, "last-start", mode="work") as dead:
        dead.at("last-start")
        dead.kill()
    with process(scene, mode="work") as heir:
        told = heir.heard()
        end = heir.ended()

    with scene.ledger() as ledger:
        execution = ledger.execution("order-1")
        assert ledger.verify().ok
    assert (told, end) == (RESULT, (0, ""))
    assert [name for name, _ in world(scene)] == ["first", "charge", "last"]
    assert world(scene)[-1][1] == heir.process.pid != os.getpid()
    assert execution.epoch == 2
