"""CMP-04 to CMP-07: the worked examples undo what cannot vanish, once, also when they die at the worst moment.

Each runs as a reader runs it, in a process of its own, against a server or a tool that speaks the real protocol.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest

from holdfast import SyncLedger

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "compensate"
PATIENCE_S = 120

SHOWN = {
    "follow_up_message.py": """
        the order failed after its confirmation was sent
        warehouse.ship: never_happened
        mail.confirm: undone
        mails in the inbox: 2
        Re: Order 123 is confirmed - a reply to the first: True
    """,
    "close_and_label_ticket.py": """
        it was a false alarm, after a ticket was opened
        pager.call: never_happened
        tracker.open: undone
        ticket #1 is still there: closed, opened-by-mistake
        on record: tracker.open #1 is compensated, by tracker.close
        and the other way round: True
    """,
    "revert_commit.py": """
        the check failed, after the page was published
        site.check: never_happened
        site.publish: undone
        the page is there: False
        the history, oldest first:
        Begin
        Publish index.html
        Revert ...: index.html
    """,
    "operator_review.py": """
        the parcel was sent; the bank's answer was lost
        alert: compensation_failed
        bank.charge: unknown - nobody knows whether it happened
        courier.send: failed - courier.send:compensate is failed (Permanent)
        to be reviewed: order-123 could not be undone wholly: bank.charge unknown, courier.send failed
        on record: bank.charge {'amount': 100}
        claim
        doubt  error_type: ConnectionResetError; fault: ambiguous
        note  reconciled: still_unknown; why: no statement yet that would show 100 cents
        note  why: being undone: the customer changed her mind
        note  reconciled: still_unknown; why: no statement yet that would show 100 cents
        note  why: could not be undone wholly: bank.charge unknown, courier.send failed
        a person reads the statement: charged
        alert: compensation_failed
        bank.charge: undone
        courier.send: failed - courier.send:compensate is failed (Permanent)
        a person lets it go on: the customer keeps the parcel
        left to be reviewed: 0
    """,
}


def run(example: str, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run an example as somebody who has just installed the library."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *words],
        cwd=home,
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def as_pattern(shown: str) -> str:
    """The lines that an example shows; three dots stand for anything within a line."""
    lines = [line.strip() for line in shown.strip().splitlines()]
    return r"\n *".join(".+".join(re.escape(part) for part in line.split("...")) for line in lines)


@pytest.mark.parametrize(("example", "shown"), SHOWN.items(), ids=SHOWN.keys())
def test_an_example_undoes_what_cannot_vanish_and_says_so(example: str, shown: str, tmp_path: Path) -> None:
    """CMP-04, CMP-05, CMP-06, CMP-07: as shown, and it leaves nothing behind."""
    done = run(example, tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(as_pattern(shown), done.stdout.strip()), done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def mails(home: Path) -> list[str]:
    """The mails in the inbox: their Message-IDs, and whose reply the last one is."""
    found = [message_from_bytes(file.read_bytes()) for file in sorted(home.glob("inbox/*.eml"))]
    assert found[-1]["In-Reply-To"] == found[-1]["References"] == found[0]["Message-ID"]
    return [mail["Message-ID"] for mail in found]


def tickets(home: Path) -> list[str]:
    """The tickets that the tracker knows."""
    known = json.loads((home / "issues.json").read_text())
    return [f"{issue['title']}: {issue['state']} {issue['labels']}" for issue in known]


def commits(home: Path) -> list[str]:
    """The history of the repository, newest first."""
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=home / "site", capture_output=True, text=True, check=True
    )
    return log.stdout.splitlines()


WORST = {
    "follow_up_message.py": (mails, 2),
    "close_and_label_ticket.py": (tickets, 1),
    "revert_commit.py": (commits, 3),
}


@pytest.mark.parametrize(
    ("example", "look", "count"), [(name, *rest) for name, rest in WORST.items()], ids=WORST
)
def test_an_example_that_is_killed_when_it_has_undone_it_goes_on_and_undoes_it_no_second_time(
    example: str, look: Callable[[Path], list[str]], count: int, tmp_path: Path
) -> None:
    """CMP-03, CMP-04, CMP-05, CMP-06: a real SIGKILL between the world's change and the ledger's record."""
    home = tmp_path / "shop"

    killed = run(example, tmp_path, "shop", "--die")
    in_the_world = look(home)
    again = [run(example, tmp_path, "shop") for _ in range(2)]

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.strip().endswith("the ledger does not know it; now kill -9")
    assert len(in_the_world) == count
    for done in again:
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(as_pattern(SHOWN[example]), done.stdout.strip()), done.stdout
    assert look(home) == in_the_world
    with SyncLedger(f"sqlite:///{home}/ledger.db") as ledger:
        assert ledger.verify().ok
        [undone] = ledger.effects(state="compensated")
        [undoing] = [effect for effect in ledger.effects() if effect.undoes == undone.key]
        assert undoing.state == "succeeded"


def test_what_waits_for_a_person_waits_through_a_kill(tmp_path: Path) -> None:
    """CMP-07: with the reason and the extract, for whoever looks; and her word ends it."""
    killed = run("operator_review.py", tmp_path, "shop", "--die")
    with SyncLedger(f"sqlite:///{tmp_path}/shop/ledger.db") as ledger:
        [queued] = ledger.workflows(status="needs_review")
        [doubt] = ledger.effects(workflow_id=queued.workflow_id, state="unknown")

        done = run("operator_review.py", tmp_path, "shop")

        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert queued.stopped == "could not be undone wholly: bank.charge unknown, courier.send failed"
        assert (doubt.tool, doubt.args) == ("bank.charge", {"amount": 100})
        assert done.stdout.strip().endswith("left to be reviewed: 0"), done.stderr
        assert ledger.effect(doubt.key).state == "compensated"
        assert ledger.workflows(status="needs_review") == []


def test_every_example_is_shown_and_listed_with_its_file() -> None:
    """DOC-03: the list of them is whole, and its links lead somewhere."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    programs = {path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("_")}
    links = re.findall(r"\]\(([^)]+)\)", readme)

    assert programs == set(SHOWN) == {link for link in links if link.endswith(".py")}
    assert [link for link in links if not (EXAMPLES / link).exists()] == []


def test_the_readme_shows_what_its_examples_print(tmp_path: Path) -> None:
    """DOC-03: the commands in their order, the killed one too."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\$ python examples/compensate/(.+)\n((?:(?!\$ |```).+\n)+)", readme, re.MULTILINE)

    assert len(steps) == 3
    for command, output in steps:
        done = run(*command.split()[:1], tmp_path, *command.split()[1:])
        shown = re.sub(r"Revert [0-9a-f]{7}", "Revert ...", output)
        assert re.fullmatch(as_pattern(shown), done.stdout.strip()), done.stdout
