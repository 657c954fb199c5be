"""A minute of the soak run of bench/soak, and proof that its check sees what must not be."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from holdfast import SyncLedger
from holdfast.errors import WorkflowFailed

SOAK = Path(__file__).parents[2] / "bench" / "soak"
MODULES = ("terms", "outside", "flows", "plain_flows", "crowd", "witness", "verdict")
MINUTES = 1
"""For so long workflows are begun; the start, and what has to be waited for afterwards, come on top."""
BROKEN_S = 900
BY = {"by": "the crowd", "reason": "changed its mind"}


def test_nothing_is_lost_or_done_twice_while_workers_and_the_database_die(tmp_path: Path) -> None:
    """STA-01, STA-06, DUR-02, DUR-09, DUR-10, DUR-12, DUR-13, DUR-15, CMP-03: and the queue is empty soon after."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", str(SOAK / "run.py"), "--report", str(report)),
            *("--minutes", str(MINUTES), "--restarts", "1", "--workers", "3", "--drain", "300"),
        ],
        capture_output=True,
        text=True,
        timeout=BROKEN_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["violations"] == []
    assert (told["restarts"], told["kills"] > 0) == (1, True)
    assert told["workflows"] == sum(told["ended"].values()) > 0
    assert told["charges"] > 0


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules of the run, as it imports them itself."""
    monkeypatch.syspath_prepend(str(SOAK))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


class Shop:
    """The workflows of the run, gone through in this process, and what was asked for; what is told can be bent."""

    def __init__(self, soak: dict[str, ModuleType], directory: Path) -> None:
        self.soak = soak
        self.outside = soak["outside"].Outside(directory)
        self.ledger = SyncLedger(f"sqlite:///{directory}/ledger.db", settings=soak["terms"].SETTINGS)
        self.no_trouble = soak["terms"].Trouble(refused=0, lost=0)
        self.flows = soak["plain_flows"].declare(
            self.ledger, self.outside, self.no_trouble, has_timetable=False
        )
        self.begun: dict[str, Any] = {}
        self.tick("00")

    def begin(self, kind: str, **given: Any) -> str:
        workflow_id = f"{kind.replace(' ', '-')}-7"
        self.begun[workflow_id] = self.soak["crowd"].Begun(kind, 7, {"n": 7, **given})
        self.flows[kind.rpartition(" ")[-1]].enqueue(workflow_id, n=7, **given)
        return workflow_id

    def run(self, kind: str) -> str:
        workflow_id = self.begin(kind)
        self.ledger.drive(workflow_id)
        return workflow_id

    def tick(self, second: str) -> None:
        self.flows["tick"].run(f"tick@2026-01-01T00:00:{second}+00:00")

    def charge(self, what: str) -> None:
        [effect] = self.ledger.effects(workflow_id=what)
        self.outside.charge(effect.key.removeprefix("v1:"), what)

    def violations(self) -> list[str]:
        found = self.soak["verdict"].check(self.begun, self.outside, self.ledger, {})
        return list(found.violations)


def nothing_else(shop: Shop) -> None:
    for kind in ("order", "shaky", "narrow", "metered"):
        shop.run(kind)
    booking = shop.run("booking")
    shop.ledger.cancel(booking, **BY)
    shop.ledger.drive(booking)
    letter = shop.begin("letter", replies=2)
    for i in range(2):
        shop.ledger.signal(letter, "reply", {"i": i})
    shop.ledger.drive(letter)


def it_is_charged_again(shop: Shop) -> None:
    shop.charge(shop.run("order"))


def it_is_charged_without_the_ledger(shop: Shop) -> None:
    shop.outside.charge("somebody", "somebody-else")


def it_is_lost(shop: Shop) -> None:
    shop.run("order")
    shop.begun["order-8"] = shop.soak["crowd"].Begun("order", 8, {"n": 8})


def it_has_not_ended(shop: Shop) -> None:
    shop.begin("letter", replies=1)


def it_is_cancelled_unasked(shop: Shop) -> None:
    shop.ledger.cancel(shop.begin("letter", replies=1), **BY)


def it_ends_although_it_was_cancelled(shop: Shop) -> None:
    letter = shop.begin("lost letter", replies=1)
    shop.ledger.signal(letter, "reply", {"i": 0})
    shop.ledger.drive(letter)


def it_hears_replies_in_another_order(shop: Shop) -> None:
    letter = shop.begin("letter", replies=2)
    for i in (1, 0):
        shop.ledger.signal(letter, "reply", {"i": i})
    shop.ledger.drive(letter)


def somebody_else_begins_one(shop: Shop) -> None:
    shop.flows["metered"].run("metered-9", n=9)


def a_step_is_called_again(shop: Shop) -> None:
    shop.outside.begin(shop.run("metered"), "price")


def a_time_is_missed(shop: Shop) -> None:
    shop.tick("10")


def a_tick_fails(shop: Shop) -> None:
    def fails(ctx: Any) -> None:
        raise ValueError("no")

    with pytest.raises(WorkflowFailed):
        shop.ledger.workflow(name="tick", version="2")(fails).run("tick@2026-01-01T00:00:05+00:00")


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (nothing_else, []),
        (it_is_charged_again, ["charged 2 times, refunded 0 times", "was made 2 times"]),
        (it_is_charged_without_the_ledger, ["1 charges without an effect"]),
        (it_is_lost, ["order-8: it was begun, and is not on record"]),
        (it_has_not_ended, ["letter-7: it is queued"]),
        (it_is_cancelled_unasked, ["letter-7: it is cancelled"]),
        (it_ends_although_it_was_cancelled, ["lost-letter-7: it is succeeded"]),
        (it_hears_replies_in_another_order, ["letter-7: it says"]),
        (somebody_else_begins_one, ["metered-9: nobody began it"]),
        (a_step_is_called_again, ["metered-7: step price was called 2 times, not 1"]),
        (a_time_is_missed, ["the timetable has nothing between 00:00:00 and 00:00:10"]),
        (a_tick_fails, ["it failed"]),
    ],
)
def test_the_check_of_the_soak_run_sees_what_must_not_be(
    soak: dict[str, ModuleType], tmp_path: Path, happens: Callable[[Shop], None], expected: list[str]
) -> None:
    """DUR-10: a check that finds nothing is worth what it would have found."""
    shop = Shop(soak, tmp_path)
    happens(shop)
    violations = shop.violations()
    shop.ledger.close(drain=0)

    assert len(violations) == len(expected), violations
    assert all(what in said for what, said in zip(expected, violations, strict=True)), violations


def test_the_witness_of_the_soak_run_counts_what_runs_beside_what(
    soak: dict[str, ModuleType], tmp_path: Path, postgres_url: str
) -> None:
    """DUR-13: limits are judged by each taking, not by samples."""
    with SyncLedger(postgres_url, settings=soak["terms"].SETTINGS, migrate=True) as ledger:
        outside = soak["outside"].Outside(tmp_path)
        trouble = soak["terms"].Trouble(refused=0, lost=0)
        flows = soak["plain_flows"].declare(ledger, outside, trouble, has_timetable=False)
        for n in range(4):
            flows["narrow"].enqueue(f"narrow-{n}", n=0)
            flows["metered"].enqueue(f"metered-{n}", n=n)
        witness = soak["witness"].Witness(postgres_url)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for n in range(4):
                connection.execute(
                    "UPDATE holdfast_execution SET status = 'running', epoch = 1, started_at = now() "
                    "WHERE workflow_id = ANY (%s)",
                    ([f"narrow-{n}", f"metered-{n}"],),
                )
        seen = witness.seen()

    assert (seen.taken, seen.from_dead) == (8, 0)
    assert seen.violations == [
        "4 running in 'narrow', and 3 are allowed",
        "4 running of one key, and 1 are allowed",
        "4 started within a second in 'metered', and 3 are allowed",
    ]
