"""Real processes, killed with SIGKILL between a question and its record: one execution at most, and none unapproved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast import SyncLedger

CLERK = Path(__file__).with_name("clerk.py")


class Street:
    """Where processes come and go."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.world = directory / "happened.txt"

    def clerk(self, does: str, die: str = "", wait: str | None = None) -> Any:
        """Run a process; return what it said, or ``killed``."""
        told = {"url": self.url, "does": does, "die": die, "wait": wait, "world": str(self.world)}
        ended = subprocess.run(
            [sys.executable, str(CLERK), json.dumps(told)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if ended.returncode == -signal.SIGKILL:
            return "killed"
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    @property
    def happened(self) -> list[str]:
        return self.world.read_text().splitlines() if self.world.exists() else []


@pytest.fixture(params=["sqlite", "postgres"])
def street(request: pytest.FixtureRequest, tmp_path: Path) -> Street:
    url = f"sqlite:///{tmp_path}/ledger.db"
    return Street(request.getfixturevalue("ledger_url") if request.param == "postgres" else url, tmp_path)


BEFORE_THE_WORLD = ["after ask", "before claim"]


@pytest.mark.parametrize("die", BEFORE_THE_WORLD)
def test_killed_before_its_claim_it_is_asked_about_once_and_executed_once(street: Street, die: str) -> None:
    """Attack 17, X7: nothing ran unapproved, and the word of people outlives the process."""
    if die == "before claim":
        assert street.clerk("call") == "ApprovalRequired"
        assert street.clerk("approve") == "approved"
        assert street.clerk("call", die) == "killed"
    else:
        assert street.clerk("call", die) == "killed"
        assert street.clerk("call") == "ApprovalRequired"
        assert street.clerk("approve") == "approved"
    assert street.happened == []

    assert street.clerk("call") == {"charged": 100}
    assert street.clerk("call") == {"charged": 100}
    assert street.happened == ["100"]


@pytest.mark.parametrize("die", ["before note", "after note"])
def test_killed_with_an_answer_in_hand_it_counts_wholly_or_not_at_all(street: Street, die: str) -> None:
    """I3: a vote and its audit entry are one."""
    street.clerk("call")
    assert street.clerk("approve", die) == "killed"
    said = street.clerk("call")

    if die == "before note":
        assert said == "ApprovalRequired"
        assert street.clerk("approve") == "approved"
        said = street.clerk("call")
    assert said == {"charged": 100}
    assert street.happened == ["100"]


@pytest.mark.parametrize("die", ["after claim", "after handler"])
def test_killed_after_its_claim_it_is_in_doubt_and_nothing_runs_again(street: Street, die: str) -> None:
    """Attacks 17 and 18, I2: a consumed approval is no leave to try again what may have happened."""
    street.clerk("call")
    street.clerk("approve")
    assert street.clerk("call", die) == "killed"
    happened = street.happened

    with SyncLedger(street.url) as ledger:
        [effect] = ledger.effects()
        [approval] = ledger.approvals(state=None)
    assert (str(effect.state), str(approval.state)) == ("pending", "consumed")
    assert street.clerk("call", wait="60s") == "OutcomeUnknown"
    assert street.happened == happened
    assert len(happened) == (die == "after handler")
