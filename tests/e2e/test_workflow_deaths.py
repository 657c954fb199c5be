"""STA-01 in real processes: a workflow of twenty steps, killed by SIGKILL at forty points, ends as if undisturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from e2e.children import Scene

SCRIPT = Path(__file__).parent / "workflow_deaths.py"
POINTS = 40
STEPS = 20


def lives(scene: Scene) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What an undisturbed life tells, and what those tell that went on after a death each."""
    with scene.ledger() as ledger:
        ledger.effects()  # the tables are there before anybody dies
    told = {"url": scene.url, "directory": str(scene.directory), "points": POINTS, "at_once": 8}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    return whole, killed


@pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)
def test_a_workflow_killed_at_forty_points_does_everything_once_and_ends_alike(scene: Scene) -> None:
    """STA-01, DUR-02, DUR-10: effects once whatever was under way; steps once as soon as they are on record."""
    whole, killed = lives(scene)

    assert (len(whole["steps"]), whole["effects"], whole["states"]) == (STEPS, [1, 2, 3], ["succeeded"])
    assert len(killed) == POINTS
    assert all(life["died"] for life in killed), [life["name"] for life in killed if not life["died"]]
    for life in killed:
        name = life["name"]
        counts = Counter(what for _, what in life["world"])
        again = {what for when, what in life["world"] if when == "second"}
        assert life["output"] == whole["output"], name
        assert sorted(life["steps"]) == sorted(whole["steps"]), name
        assert (life["effects"], life["states"]) == (whole["effects"], ["succeeded"]), name
        assert {what: count for what, count in counts.items() if what.startswith("charge")} == {
            f"charge {part}": 1 for part in whole["effects"]
        }, name
        assert not again & set(life["recorded"]), name
        twice = [what for what, count in counts.items() if count > 1]
        assert all(counts[what] == 2 for what in twice), (name, counts)
        # Only what was under way is done again: one step, or those of the branches that run at once.
        assert len(twice) <= 1 or all(what.startswith("look") for what in twice), (name, twice)
    with scene.ledger() as ledger:
        assert ledger.verify().ok
