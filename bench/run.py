"""Every participant and the floor, interleaved in one session: ``make bench``.

    .venv/bin/python bench/run.py [--rounds 8] [--n 200] [--only NAME ...] [--write-docs]

Sets up whatever is missing (an environment per participant, a PostgreSQL server of its own), measures, prints the
tables, and writes everything it saw to ``bench/results/``. The rules are in PROTOCOL.md. It shows PER-01: what a guarded
call costs beyond its handler.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import database
import report
from environments import HERE, PARTICIPANTS, Participant, interpreter
from results import Results, Sample

FLOOR_FACTS = (("select1", 1), ("insert", 1), ("batch", 16), ("batch", 64))
CONCURRENT_SHARE = 4  # a concurrent slice has this many times the calls of a lone one


class Running:
    """A participant's process, which lives through all rounds."""

    def __init__(self, participant: Participant, dsn: str, python: Path, folder: Path) -> None:
        self.participant = participant
        self.errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the process
        command = [python, HERE / participant.script, *participant.options, "--dsn", dsn, "--serve"]
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def slice(self, **ask: object) -> Sample:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(ask) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            message = f"{self.participant.name} failed at {ask}:\n{self.errors.read()[-3000:]}"
            raise SystemExit(message)
        return Sample.of(**json.loads(answer))

    def stop(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(chosen: list[Participant], url: str, folder: Path) -> Iterator[dict[str, Running]]:
    """Start *chosen*, each on a database of its own."""
    pythons = {p.name: interpreter(p) for p in chosen}
    started: dict[str, Running] = {}
    try:
        for number, participant in enumerate(chosen):
            if participant.store == "SQLite":
                dsn = str(folder / f"{number}.db")
            else:
                dsn = database.fresh_database(url, f"bench_{number}")
            started[participant.name] = Running(participant, dsn, pythons[participant.name], folder)
        yield started
    finally:
        for one in started.values():
            one.stop()


def workers_of(mode: str) -> int:
    return int(mode.removeprefix("concurrent") or 1) if mode.startswith("concurrent") else 1


def measure_round(number: int, mode: str, processes: dict[str, Running], n: int, results: Results) -> None:
    """Every participant once, each next to a slice of its floor; the order turns from round to round."""
    workers = workers_of(mode)
    kind = "concurrent" if workers > 1 else mode
    ask: dict[str, object] = {
        "mode": kind,
        "number": number,
        "n": n * (CONCURRENT_SHARE if workers > 1 else 1),
    }
    ask["workers"] = workers
    members = [p for p in PARTICIPANTS if p.name in processes and mode in p.modes and not p.is_floor]
    members = members if number % 2 else members[::-1]
    turn = number % max(1, len(members))
    for at, participant in enumerate(members[turn:] + members[:turn]):
        floors = [participant.floor, *participant.beside]
        both = [("floor", f) for f in floors if f in processes]
        both.append(("own", participant.name))
        for role, name in both if (number + at) % 2 else both[::-1]:
            series = {"series": str(PARTICIPANTS.index(participant))} if role == "floor" else {}
            sample = processes[name].slice(**ask, **series)
            results.add(participant.name, mode, role if role == "own" else name, number, sample)


def measure_facts(number: int, processes: dict[str, Running], n: int, results: Results) -> None:
    for participant in PARTICIPANTS:
        if participant.is_floor and participant.name in processes:
            for kind, workers in FLOOR_FACTS:
                count = n * CONCURRENT_SHARE if kind == "batch" else n
                sample = processes[participant.name].slice(
                    mode=kind, number=number, n=count, workers=workers, series="facts"
                )
                results.add(
                    participant.name, kind if workers == 1 else f"{kind}{workers}", "own", number, sample
                )


def choose(only: list[str]) -> list[Participant]:
    if not only:
        return list(PARTICIPANTS)
    wanted = [p for p in PARTICIPANTS if any(word in p.name for word in only)]
    floors = {name for p in wanted for name in (p.floor, *p.beside)}
    return [p for p in PARTICIPANTS if p in wanted or p.name in floors]


def session(options: argparse.Namespace) -> Results:
    chosen = choose(options.only)
    with database.server() as url, database.scratch_dir("holdfast-bench-") as folder:
        with running(chosen, url, folder) as processes:
            results = Results(
                conditions={
                    "date": datetime.now(UTC).date().isoformat(),
                    "python": platform.python_version(),
                    "cpus": str(os.cpu_count()),
                    "load before": f"{os.getloadavg()[0]:.2f}",
                    "rounds": str(options.rounds),
                    "calls per slice": f"{options.n}, concurrent {options.n * CONCURRENT_SHARE}",
                    **{f"PostgreSQL {key}": value for key, value in database.conditions(url).items()},
                }
            )
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
                for mode in ("new", "replay", "concurrent16", "concurrent64"):
                    measure_round(number, mode, processes, options.n, results)
                measure_facts(number, processes, options.n, results)
        results.conditions["load after"] = f"{os.getloadavg()[0]:.2f}"
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--n", type=int, default=200, help="calls per slice")
    parser.add_argument(
        "--only", nargs="*", default=[], help="participants whose name contains one of these words"
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    results = session(options)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(results.as_json(), indent=1))
    print(report.text(results))
    if options.write_docs:
        page = HERE.parent / "docs" / "benchmarks.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(report.markdown(results))


if __name__ == "__main__":
    main()
