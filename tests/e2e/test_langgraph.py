"""STA-14: LangGraph's PostgresSaver and the ledger in one database; killed between a tool and its checkpoint."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.children import Scene
from holdfast import State

SCRIPT = Path(__file__).parent / "langgraph_deaths.py"
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "langgraph" / "refund_graph.py"
PAGE = ROOT / "docs" / "how-to" / "with-langgraph.md"

FACES = ("sync", "async")
WINDOWS = [
    *((durability, "handler-end") for durability in ("sync", "async", "exit")),
    *((durability, "recorded") for durability in ("sync", "async", "exit")),
    *((durability, "before-writes") for durability in ("sync", "async")),  # "exit" makes none
    *((durability, "before-checkpoint") for durability in ("sync", "async", "exit")),
]


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Scene:
    """A database for checkpoints and effects alike, and a world."""
    scene = Scene(postgres_url, tmp_path)
    with scene.ledger() as ledger:
        ledger.effects()  # the tables are there before anybody dies
    return scene


def gone_through(scene: Scene, cases: list[tuple[str, str, str, bool]]) -> list[dict[str, Any]]:
    """What became of each case."""
    told = {"url": scene.url, "directory": str(scene.directory), "at_once": 4, "cases": cases}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["case"] for line in lines) == sorted(map(list, cases)), done.stderr
    return lines


def test_a_graph_killed_between_its_tool_and_its_checkpoint_goes_on_and_repeats_nothing(scene: Scene) -> None:
    """STA-14, IDE-22: in every durability of LangGraph, on both faces; whichever call id the model asks under."""
    cases = [(face, *window, True) for face in FACES for window in WINDOWS]

    for life in gone_through(scene, cases):
        assert life["ends"] == [-signal.SIGKILL, 0], life
        assert life["world"] == ["charge 100"], life
        [[answer]] = life["answers"]
        assert (answer["status"], answer["result"]) == ("succeeded", {"charged": 100}), life

    with scene.ledger() as ledger:
        effects = ledger.effects()
        assert sorted((effect.workflow_id, effect.tool, effect.state) for effect in effects) == sorted(
            (f"thread-{number}", "charge", State.SUCCEEDED) for number in range(len(cases))
        )
        assert ledger.verify().ok


def test_without_the_ledger_the_same_deaths_repeat_the_effect(scene: Scene) -> None:
    """STA-14: the control, and the page's middle column: what is shown above is the ledger's doing."""
    windows = [window for window in WINDOWS if window[1] != "before-checkpoint"]
    cases = [("sync", *window, False) for window in [*windows, ("sync", "together")]]

    for life in gone_through(scene, cases):
        assert life["world"] == ["charge 100"] * 2, life


def test_two_processes_that_go_on_with_one_thread_make_one_effect(scene: Scene) -> None:
    """STA-14: LangGraph knows no owner of a thread; the ledger knows one of an effect."""
    [life] = gone_through(scene, [("sync", "sync", "together", True)])

    assert life["ends"] == [0, 0]
    assert life["world"] == ["charge 100"]
    assert sorted(answer["replayed"] for [answer] in life["answers"]) == [False, True]


def run(scene: Scene, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the example as the docs say."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), *args],
        cwd=scene.directory,
        env={**os.environ, "DATABASE_URL": scene.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_example_of_the_docs_is_killed_and_goes_on_as_shown(scene: Scene) -> None:
    """STA-14, DOC-03: and without any checkpoint left, the record still answers."""
    shown = re.compile(
        r"^\$ python examples/langgraph/refund_graph.py (.+)\n((?:(?!\$ |```).+\n)+)", re.MULTILINE
    )
    steps = shown.findall(PAGE.read_text(encoding="utf-8"))

    assert len(steps) == 2
    for command, output in steps:
        done = run(scene, *command.split())
        assert done.returncode == (-signal.SIGKILL if "--die" in command else 0), done.stderr
        # How often the model is asked is LangGraph's: its checkpoint may or may not have come before the death.
        assert set(done.stdout.splitlines()) == set(output.splitlines())

    tables = scene.sql("SELECT tablename FROM pg_tables WHERE schemaname = current_schema")
    for (table,) in tables:
        if table.startswith("checkpoint"):
            scene.sql(f"DROP TABLE {table}")
    assert "refunds at the bank: 1" in run(scene, "thread-7").stdout.splitlines()


def test_what_the_page_shows_of_the_example_is_in_it() -> None:
    """DOC-03: word by word."""
    blocks = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    example = EXAMPLE.read_text(encoding="utf-8")

    assert blocks
    assert [block for block in blocks if block not in example] == []
