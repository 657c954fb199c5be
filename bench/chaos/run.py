"""Charges customers while everything breaks, and shows that each is charged once, or that doubt says so.

Usage: python bench/chaos/run.py [--charges 2000] [--seed 7] [--store postgres|sqlite] [--seconds N]

Workers are killed at random, PostgreSQL is crashed, the network breaks, webhooks come late, twice or never. Exit
code 1 if anything was charged twice, was lost, or is not what the ledger says. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charges import BARE, KEYED, SEARCHED, SETTINGS, TIMEOUT_S, by_hand, declare
from check import Findings, check, kinds
from fleet import Desk, Fleet
from world import Database, Letterbox, Provider, database, scratch

from holdfast import State, SyncLedger
from holdfast.errors import NotResolvable
from holdfast.ledger.views import EffectRecord

_ROUNDS = 12
_BETWEEN_KILLS_S = 2.0
"""So that on a slow machine somebody is left to work while others start."""
_MANY = 1_000_000


@dataclass(slots=True)
class Story:
    """What happened besides the charges."""

    swept: Counter[str] = field(default_factory=Counter)
    by_hand: Counter[str] = field(default_factory=Counter)
    renewals: Counter[str] = field(default_factory=Counter)
    rounds: int = 0


def main() -> int:
    options = _parser().parse_args()
    logging.getLogger("holdfast").setLevel(
        logging.CRITICAL
    )  # trouble is what this is about; the check will tell
    began = time.monotonic()
    with scratch() as directory, database(options.store, directory) as place:
        report = _run(options, directory, place)
    report["seconds"] = round(time.monotonic() - began, 1)
    _show(report)
    if options.report:
        Path(options.report).write_text(json.dumps(report, indent=2) + "\n")
    return 1 if report["violations"] else 0


def _run(options: argparse.Namespace, directory: Path, place: Database) -> dict[str, Any]:
    letterbox = Letterbox()
    cards = Provider(directory, "cards", seed=options.seed, knows_keys=True, hook=letterbox.url)
    bank = Provider(directory, "bank", seed=options.seed, knows_keys=False, hook=letterbox.url)
    urls = {KEYED: cards.url, SEARCHED: bank.url, BARE: bank.url}
    ledger = SyncLedger(place.url, settings=SETTINGS, migrate=True)
    close = declare(ledger, urls)
    ledger.effects()  # creates the tables before anybody else needs them
    letterbox.read_to(ledger)
    is_over = False
    with (
        closing(cards),
        closing(bank),
        closing(
            Fleet(place.url, urls, workers=options.workers, at_once=options.at_once, directory=directory)
        ) as fleet,
    ):
        try:
            dice = random.Random(options.seed)
            weather = _Weather(options, fleet, place, dice)
            desk = Desk(fleet, dice, weather)
            desk.serve(range(options.charges), until=weather.ends, twins=0.1)
            weather.clears_up()
            story = _settle(desk, ledger, urls, until=weather.ends)
            counts = [cards.stop(), bank.stop()]  # their late webhooks are on their way now
            is_over = True
        finally:
            letterbox.close(read_all=is_over)
        found = check(desk.intended, cards.charged + bank.charged, ledger, renewals=story.renewals)
        found.violations += fleet.deaths
        if found.not_done and not options.seconds:
            found.violations.append(
                f"{found.not_done.total()} charges were given up, although there was time"
            )
        close()
        ledger.close()
    return _report(options, desk, fleet, place, letterbox, story, found, counts)


class _Weather:
    """Kills a worker every so many answers, and crashes the database at even distances; shows how far it is.

    Attributes:
        ends: After this moment nothing new is handed out.
    """

    def __init__(
        self, options: argparse.Namespace, fleet: Fleet, place: Database, dice: random.Random
    ) -> None:
        self._options = options
        self._fleet = fleet
        self._place = place
        self._dice = dice
        self._began = self._shown = self._killed = time.monotonic()
        self._next_kill = 5
        self._is_clear = False
        self.ends = self._began + (options.seconds or float("inf"))

    def __call__(self, desk: Desk) -> None:
        options = self._options
        now = time.monotonic()
        is_due = desk.answers >= self._next_kill and now > self._killed + _BETWEEN_KILLS_S
        if is_due and not self._is_clear:
            self._killed = now
            self._next_kill = desk.answers + self._dice.randint(1, 2 * options.kill_every)
            self._fleet.kill(self._dice)
        progress = (len(desk.done) + len(desk.aside)) / options.charges
        progress = max(progress, (now - self._began) / (self.ends - self._began))
        due = (self._place.crashes + 0.5) / options.crashes if options.crashes else float("inf")
        if self._place.crashes < options.crashes and progress > due and not self._is_clear:
            self._place.crash()
        if now - self._shown > _SHOW_EVERY_S:
            self._shown = now
            _say(
                f"{now - self._began:4.0f} s  {len(desk.done):,} of {len(desk.intended):,} charges done, "
                f"{len(desk.aside)} aside, {self._fleet.kills} workers killed, {self._place.crashes} database crashes"
            )

    def clears_up(self) -> None:
        """Let nobody be killed any more, and the database be there."""
        self._is_clear = True
        self._place.wait()


def _settle(desk: Desk, ledger: SyncLedger, urls: dict[str, str], *, until: float) -> Story:
    """Sweep until quiet; settle by hand what is left; hand out again what did not happen; until all is settled."""
    story = Story()
    while True:
        story.rounds += 1
        _sweep(ledger, story)
        doubtful = ledger.effects(state="unknown", limit=_MANY)
        for effect in doubtful:
            try:
                after = ledger.reconcile(effect.key, by_hand(urls))
            except NotResolvable:  # a webhook was faster
                continue
            story.by_hand[after.state] += 1
        for effect in ledger.effects(state="retryable", limit=_MANY):
            if effect.spent:
                ledger.retry(effect.key, by="the operator", reason="the provider works again")
                story.renewals[effect.key] += 1
        left = desk.intended - _orders(ledger.effects(state="succeeded", limit=_MANY))
        if time.monotonic() > until:  # but what may have happened cannot be left as it is
            retryable = ledger.effects(state="retryable", limit=_MANY)
            left &= _orders(effect for effect in retryable if effect.uncertain)
        if not left or story.rounds == _ROUNDS:
            return story
        _say(f"round {story.rounds}: {len(left)} charges are handed out again")
        desk.done -= left
        desk.fresh(left)
        desk.serve(sorted(left))


def _sweep(ledger: SyncLedger, story: Story) -> None:
    """Let the leases of the dead and the last attempts of the lost run out; sweep until nothing moves."""
    quiet_s = TIMEOUT_S + SETTINGS.lease_s + SETTINGS.skew.total_seconds()
    if {State.PENDING, State.UNKNOWN} & ledger.counts().keys():
        _say(f"waiting {quiet_s:g} s until nobody can act any more, then sweeping")
        time.sleep(quiet_s)
    while True:
        swept = ledger.sweep(limit=_MANY)
        story.swept += Counter(buried=len(swept.buried), settled=len(swept.settled))
        if not swept.buried and not swept.settled:
            return


def _orders(effects: Iterable[EffectRecord]) -> set[int]:
    return {int((effect.args or {})["order"]) for effect in effects}


def _report(
    options: argparse.Namespace,
    desk: Desk,
    fleet: Fleet,
    place: Database,
    letterbox: Letterbox,
    story: Story,
    found: Findings,
    counts: Iterable[dict[str, Any]],
) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    for count in counts:
        outcomes.update(count["outcomes"])
    return {
        "command": shlex.join(["python", "bench/chaos/run.py", *sys.argv[1:]]),
        "seed": options.seed,
        "intended": len(desk.intended),
        "charged_once": dict(found.charged),
        "known_not_done": dict(found.not_done),
        "attempts": dict(found.attempts),
        "handed_to_two": desk.twins,
        "answers": desk.answers,
        "errors": dict(desk.errors.most_common()),
        "kills": fleet.kills,
        "crashes": place.crashes,
        "requests": outcomes.total(),
        "faults": dict(sorted(outcomes.items())),
        "webhooks": dict(letterbox.counts),
        "swept": dict(story.swept),
        "settled_by_hand": dict(story.by_hand),
        "retries_granted": sum(story.renewals.values()),
        "rounds": story.rounds,
        "violations": found.violations,
    }


def _show(report: dict[str, Any]) -> None:
    faults = report["requests"] - report["faults"].get("ok", 0)
    once = Counter(report["charged_once"])
    rows = [
        ("intended charges", f"{report['intended']:,}"),
        ("charged exactly once", f"{once.total():,}   ({kinds(once)})"),
        ("known not to have happened, when time was over", f"{Counter(report['known_not_done']).total():,}"),
        ("charged twice, lost, or not as the ledger says", f"{len(report['violations'])}"),
        (
            "handlers started",
            f"{Counter(report['attempts']).total():,}   ({kinds(Counter(report['attempts']))})",
        ),
        ("requests, and how many met a fault", f"{report['requests']:,}, {faults:,}"),
        ("workers killed, database crashes", f"{report['kills']}, {report['crashes']}"),
        ("charges handed to two workers at once", f"{report['handed_to_two']:,}"),
        (
            "webhooks taken: new, seen before",
            f"{report['webhooks'].get('new', 0):,}, {report['webhooks'].get('not new', 0):,}",
        ),
        (
            "claims of the dead ended, doubt settled by sweeping",
            f"{report['swept'].get('buried', 0)}, {report['swept'].get('settled', 0)}",
        ),
        (
            "doubt left to a person: done, not done",
            f"{report['settled_by_hand'].get('succeeded', 0)}, {report['settled_by_hand'].get('retryable', 0)}",
        ),
        ("seed, seconds", f"{report['seed']}, {report['seconds']:g}"),
    ]
    print(f"$ {report['command']}")
    for name, value in rows:
        print(f"  {name:<52}{value}")
    for violation in report["violations"][:50]:
        print(f"  VIOLATION  {violation}")


_IS_TERMINAL = sys.stderr.isatty()
_SHOW_EVERY_S = 0.5 if _IS_TERMINAL else 5.0


def _say(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}" if _IS_TERMINAL else f"{line}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--charges", type=int, default=2000, help="how many are intended")
    parser.add_argument(
        "--seed", type=int, default=7, help="of the faults, the kills and the order of things"
    )
    parser.add_argument("--store", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--workers", type=int, default=4, help="processes; every other one is async")
    parser.add_argument("--at-once", type=int, default=8, help="charges that each makes at the same time")
    parser.add_argument("--kill-every", type=int, default=60, help="answers between two kills, on average")
    parser.add_argument("--crashes", type=int, default=4, help="of PostgreSQL")
    parser.add_argument(
        "--seconds", type=float, default=0, help="charge for so long at most, then settle what is left"
    )
    parser.add_argument("--report", metavar="FILE", help="also write what came of it there, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
