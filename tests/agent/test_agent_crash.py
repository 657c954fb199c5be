"""A real process with an agent, killed by SIGKILL: every charge is made once, and nothing recorded is asked again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from agent.clerk import ANSWER, SETTINGS, World, declared
from e2e.children import Child
from holdfast import SyncLedger

CLERK = Path(__file__).parent / "clerk.py"
IN_A_TURN = ("charged-1", "charged-2", "charged-3", "charged-4")
AT_A_QUESTION = ("asked-0", "asked-3", "asked-4")
AT_A_RECORD = tuple(f"{side}-{n}" for n in (3, 5, 8, 12) for side in ("before", "after"))


def killed_at(place: str, url: str, face: str, world: World) -> None:
    """Let a process work until it stands at *place*, and kill it there."""
    told = {"url": url, "face": face, "stop": place, "world": str(world.directory)}
    with Child([sys.executable, str(CLERK), json.dumps(told)]) as child:
        child.at(place)
        child.kill()


def goes_on(url: str, world: World) -> None:
    """Go on in this process: what is on record is neither done nor asked again, and the rest is, once."""
    with SyncLedger(url, settings=SETTINGS) as ledger:
        clerk = declared(ledger, world)
        recorded = {event.name for event in ledger.events("order-1", follow=False)}
        before = Counter(world.lines("asked"))

        answer = clerk.run("order-1", task="charge")

        asked = Counter(world.lines("asked"))
        questions = {"think 1": "0", "think 2": "3", "think 3": "4"}
        assert answer == ANSWER
        assert sorted(line.split()[1] for line in world.lines("charges")) == ["1", "2", "3", "4"]
        assert all(asked[told] == before[told] for name, told in questions.items() if name in recorded)
        assert all(asked[told] <= 2 for told in questions.values())
        assert sum(asked.values()) <= 4  # the one question that was under way may be repeated
        assert {effect.state for effect in ledger.effects(workflow_id="order-1")} == {"succeeded"}
        assert ledger.verify().ok
        assert clerk.run("order-1", task="charge") == ANSWER
        assert Counter(world.lines("asked")) == asked


@pytest.mark.parametrize("face", ["async", "sync"])
@pytest.mark.parametrize("place", [*IN_A_TURN, *AT_A_QUESTION])
def test_an_agent_that_is_killed_in_a_turn_or_at_a_question_goes_on(
    place: str, face: str, tmp_path: Path
) -> None:
    """PLN-01, DUR-16, STA-01: between a charge and its record, and with the model's answer in hand."""
    world, url = World(tmp_path), f"sqlite:///{tmp_path}/ledger.db"

    killed_at(place, url, face, world)
    goes_on(url, world)


@pytest.mark.parametrize("place", AT_A_RECORD)
def test_an_agent_that_is_killed_at_a_record_goes_on(place: str, tmp_path: Path) -> None:
    """PLN-01, DUR-16, STA-01: before and after steps are put on record; at the last one it is finished."""
    world, url = World(tmp_path), f"sqlite:///{tmp_path}/ledger.db"

    killed_at(place, url, "sync", world)
    goes_on(url, world)


@pytest.mark.parametrize("face", ["async", "sync"])
def test_an_agent_on_postgresql_that_is_killed_in_a_turn_goes_on(
    face: str, tmp_path: Path, ledger_url: str
) -> None:
    """PLN-01, STA-05."""
    world = World(tmp_path)

    killed_at("charged-2", ledger_url, face, world)
    goes_on(ledger_url, world)
