"""Runs workflows for minutes while their workers and their database die, and shows that none is lost or done twice.

Usage: python bench/soak/run.py [--minutes 10] [--seed 7] [--workers 4] [--restarts 2] [--kill-every 5]

Real ``holdfast worker`` processes are killed and frozen, PostgreSQL is crashed. Exit code 1 if anything was lost,
done twice, or has not ended soon after. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shlex
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # for its PostgreSQL

import plain_flows
from crowd import Crowd
from fleet import Fleet
from outside import Outside
from terms import SETTINGS, Trouble
from verdict import check
from witness import Witness

from holdfast import State, SyncLedger
from pg_server import PostgresServer

_DOWN_S = (0.2, 2.0)
_SHOWN = 50
_SWEEPING_S = 30.0
_MANY = 1_000_000


class Weather:
    """Kills, freezes and restarts, when it is time."""

    def __init__(
        self, options: argparse.Namespace, fleet: Fleet, server: PostgresServer, dice: random.Random
    ) -> None:
        self.restarts = 0
        self._options, self._fleet, self._server, self._dice = options, fleet, server, dice
        self._began = self._killed = self._frozen = time.monotonic()
        self._crash: threading.Thread | None = None

    def __call__(self, now: float) -> None:
        options = self._options
        self._fleet.tend()
        if now - self._killed >= options.kill_every and self._fleet.kill():
            self._killed = now
        if now - self._frozen >= options.freeze_every:
            self._frozen = now
            self._fleet.freeze()
        due = (self.restarts + 0.5) / options.restarts if options.restarts else 2.0
        if (now - self._began) / (options.minutes * 60) >= due:
            self.restarts += 1
            self.wait()
            self._crash = threading.Thread(target=self._restart, args=(self._dice.uniform(*_DOWN_S),))
            self._crash.start()

    def _restart(self, down_s: float) -> None:
        """Stop the server as a power cut does; it recovers from its log."""
        self._server.stop_immediate()
        time.sleep(down_s)
        self._server.start()

    def wait(self) -> None:
        """Return once the server is there."""
        if self._crash is not None:
            self._crash.join()


def main() -> int:
    options = _parser().parse_args()
    logging.getLogger("holdfast").setLevel(logging.CRITICAL)  # the check will tell
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-soak-") as scratch, PostgresServer() as server:
        report = _run(options, Path(options.keep or scratch), server)
    report["seconds"] = round(time.monotonic() - began, 1)
    _show(report)
    if options.report:
        Path(options.report).write_text(json.dumps(report, indent=2) + "\n")
    return 1 if report["violations"] else 0


def _run(options: argparse.Namespace, directory: Path, server: PostgresServer) -> dict[str, Any]:
    outside = Outside(directory)
    with SyncLedger(server.url, settings=SETTINGS, migrate=True) as ledger:
        ledger.effects()  # creates the tables before anybody else needs them
        plain_flows.declare(ledger, outside, Trouble(), has_timetable=False)
        witness = Witness(server.url)
        dice = random.Random(options.seed)
        crowd = Crowd(
            server.url, outside, random.Random(f"crowd {options.seed}"), options.rate, witness.backlog
        )
        fleet = Fleet(server.url, directory, workers=options.workers, dice=dice)
        with closing(fleet):
            weather = Weather(options, fleet, server, dice)
            _storm(options, crowd, fleet, weather, witness)
            over = time.monotonic()
            fleet.roll_out()
            drained_s = _drained(over, options.drain, fleet, witness)
            fleet.end()
        swept = _swept(ledger)
        left = witness.open_ones()
        seen = witness.seen()
        found = check(crowd.begun, outside, ledger, seen.deaths)
        found.steps = witness.steps()
    found.violations += crowd.violations + fleet.deaths + seen.violations
    found.violations += [f"it has not ended: {' | '.join(map(str, row))}" for row in left]
    return {
        "command": shlex.join(["python", "bench/soak/run.py", *sys.argv[1:]]),
        "seed": options.seed,
        "workflows": found.ended.total(),
        "ended": dict(sorted(found.ended.items())),
        "steps": found.steps,
        "called": found.called,
        "charges": found.charges,
        "refunds": found.refunds,
        "signals": crowd.signals,
        "again": dict(crowd.again),
        "kills": fleet.kills,
        "stops": fleet.stops,
        "stillborn": fleet.stillborn,
        "restarts": weather.restarts,
        "taken": seen.taken,
        "taken_from_dead": seen.from_dead,
        "drained_s": drained_s,
        "swept": swept,
        "late_s": seen.late_s,
        "late_after_death_s": seen.late_after_death_s,
        "most": seen.most,
        "violations": found.violations,
    }


def _storm(
    options: argparse.Namespace, crowd: Crowd, fleet: Fleet, weather: Weather, witness: Witness
) -> None:
    """Let the crowd begin workflows until the time is over, in bad weather."""
    began = shown = time.monotonic()
    producing = threading.Thread(target=crowd.produce, args=(began + options.minutes * 60,))
    producing.start()
    while producing.is_alive():
        now = time.monotonic()
        weather(now)
        if now - shown >= 5:
            shown = now
            _say(
                f"{now - began:4.0f} s  {len(crowd.begun):,} workflows begun, {crowd.signals:,} signals, "
                f"{fleet.kills} workers killed, {fleet.stops} frozen, {weather.restarts} restarts"
            )
        producing.join(0.1)
    weather.wait()


def _drained(began: float, patience_s: float, fleet: Fleet, witness: Witness) -> float:
    """Wait until nothing is left to do; return how long that took since nothing was begun any more."""
    shown = time.monotonic()
    while True:
        now = time.monotonic()
        known, left = witness.counts()
        if left == 0 or now - began > patience_s:
            return round(now - began, 1)
        if now - shown >= 5:
            shown = now
            _say(f"{now - began:4.0f} s  draining: {left} of {known:,} workflows have not ended")
        fleet.tend()
        time.sleep(0.2)


def _swept(ledger: SyncLedger) -> int:
    """Let doubt be settled that nobody calls for: of workflows that were cancelled while it was fresh."""
    swept, until = 0, time.monotonic() + _SWEEPING_S
    while {State.PENDING, State.UNKNOWN} & ledger.counts().keys() and time.monotonic() < until:
        report = ledger.sweep(limit=_MANY)
        swept += len(report.settled)
        time.sleep(1)
    return swept


def _show(report: dict[str, Any]) -> None:
    def three(seconds: tuple[float, ...]) -> str:
        return ", ".join(f"{each:.2f}" for each in seconds)

    rows = [
        ("workflows that ended", f"{report['workflows']:,}"),
        ("steps on record, calls of their functions", f"{report['steps']:,}, {report['called']:,}"),
        ("charges, of which refunds", f"{report['charges']:,}, {report['refunds']:,}"),
        ("signals", f"{report['signals']:,}"),
        (
            "workers killed, frozen; database crashes",
            f"{report['kills']}, {report['stops']}; {report['restarts']}",
        ),
        (
            "workflows taken, of which from dead workers",
            f"{report['taken']:,}, {report['taken_from_dead']:,}",
        ),
        ("due until taken, s: median, p99, worst", three(report["late_s"])),
        ("dead worker's lease until taken, s: the same", three(report["late_after_death_s"])),
        ("doubt that was left to the sweeper", f"{report['swept']:,}"),
        ("seconds until all had ended", f"{report['drained_s']:g}"),
        ("lost, twice, too late, or not as the ledger says", f"{len(report['violations'])}"),
        ("seed, seconds", f"{report['seed']}, {report['seconds']:g}"),
    ]
    print(f"$ {report['command']}")
    for name, value in rows:
        print(f"  {name:<52}{value}")
    for violation in report["violations"][:_SHOWN]:
        print(f"  VIOLATION  {violation}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="begin workflows for so long")
    parser.add_argument("--seed", type=int, default=7, help="of what is begun, and of who is killed")
    parser.add_argument("--workers", type=int, default=4, help="processes; every other one is async")
    parser.add_argument("--rate", type=float, default=3, help="workflows that are begun each second")
    parser.add_argument("--kill-every", type=float, default=5, help="seconds between two SIGKILLs")
    parser.add_argument("--freeze-every", type=float, default=17, help="seconds between two SIGSTOPs")
    parser.add_argument("--restarts", type=int, default=2, help="of PostgreSQL, as after a power cut")
    parser.add_argument("--drain", type=float, default=120, help="seconds in which all must have ended then")
    parser.add_argument("--report", metavar="FILE", help="also write what came of it there, as JSON")
    parser.add_argument("--keep", metavar="DIR", help="leave the workers' logs there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
