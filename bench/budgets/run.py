"""What budgets cost a guarded call, and whether they hold:

    python bench/budgets/run.py [--quick] [--rounds 5] [--parts alone meeting sqlite fleet race] [--write-docs]

Prints the tables; keeps all figures in bench/results; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import database
import environments
import race
import spending

BENCH = Path(__file__).parents[1]
PARTS = ("alone", "meeting", "sqlite", "fleet", "race")
HARNESS = environments.Participant(
    name="pydantic-ai-harness",
    script="budgets/harness_race.py",
    floor="",
    requires=("pydantic-ai-harness==0.62.0",),
)
CAPS = {"global": 150, "tenant": 130, "workflow": 48}
PROCESSES, TASKS, KILLED = 4, 4, 4
PAGE = """# Benchmarks of budgets

What [budgets](how-to/budgets.md) cost a guarded call, and whether they hold when many spend at once; on PostgreSQL where nothing else
is said. The tool does nothing, so a call is what the ledger does: two commits, with or without budgets. Layouts take turns within a round, in
an order that shifts. Ratios are medians over the rounds of the ratio within a round, with the least and the most that
was seen; absolute figures belong to the machine and the minute. `python bench/budgets/run.py --write-docs` makes this
page anew.

The aim is to add at most 0.30 of the call for one caller, and at most 5 ms to the median of 16 workers with one cap for all.
The tables say how far that is reached. The load in the conditions says who else used the machine: the more, the wider the spread.

"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], form: str) -> str:
    """Return the median of *values*, with the least and the most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def turns(seen: Mapping[str, Sequence[spending.Seen]]) -> str:
    """Return how layouts compare that took turns in one process."""
    plain = seen["no budget"]
    parts: tuple[Callable[[spending.Seen], float], ...] = (
        lambda one: statistics.median(one.ms),
        lambda one: one.client_ms,
        lambda one: one.server_ms,
    )
    rows: list[list[str]] = []
    for name, rounds in seen.items():
        row = [name, f"{statistics.median(statistics.median(one.ms) for one in rounds):.2f}"]
        for part in parts:
            if name == "no budget" or not all(map(part, plain)):
                row.append("")
            else:
                over = [part(one) / part(beside) - 1 for one, beside in zip(rounds, plain, strict=True)]
                row.append(spread(over, "+.2f"))
        rows.append(row)
    head = ("", "p50, ms", "added, as a share of the call", "client's processor", "server's processor")
    return table(head, rows)


def fleets(seen: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return how layouts compare that fleets spent under."""
    plain = [statistics.median(took) for took in seen["no budget"]]
    rows: list[list[str]] = []
    for name, rounds in seen.items():
        medians = [statistics.median(took) for took in rounds]
        p95 = statistics.median(statistics.quantiles(took, n=20)[-1] for took in rounds)
        added = [one - beside for one, beside in zip(medians, plain, strict=True)]
        told = "" if name == "no budget" else spread(added, "+.2f")
        rows.append([name, f"{statistics.median(medians):.2f}", f"{p95:.2f}", told])
    return table(("", "p50, ms", "p95, ms", "added to p50, ms"), rows)


def harness() -> race.Raced:
    """Let the other library race, in an environment of its own."""
    python = environments.interpreter(HARNESS)
    word = [python, "-W", "ignore", BENCH / HARNESS.script, "--runs", "20", "--usd", "0.25", "--cap", "1.00"]
    told = json.loads(
        subprocess.run(word, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )
    return race.Raced(
        cap=100, done=round(float(told["spent"]) * 100), spent=None, held=None, refused=told["refused"]
    )


def races(seen: Mapping[str, race.Raced]) -> str:
    """Return how the races ended."""
    rows = [
        [
            name,
            _usd(one.cap),
            f"{_usd(one.done)} = {one.done / one.cap:.2f} x",
            "" if one.spent is None else _usd(one.spent),
            "" if one.held is None else _usd(one.held),
            str(one.refused),
            f"{one.violations} of {one.looks}" if one.looks else "",
        ]
        for name, one in seen.items()
    ]
    head = (
        "",
        "cap",
        "done",
        "spent, on record",
        "held at the end",
        "refused",
        "looks that saw a cap passed",
    )
    return table(head, rows)


def _usd(cents: int) -> str:
    return f"${cents / 100:.2f}"


def raced(server: str) -> dict[str, race.Raced]:
    """Let both race in one session: the other's race, and one of sixteen processes that lose four."""
    small, url = (
        {"global": 4, "tenant": 100, "workflow": 100},
        database.fresh_database(server, "bench_small_race"),
    )
    found = {
        "pydantic-ai-harness 0.62.0, 20 runs at once": harness(),
        "holdfast, 20 processes of one call": race.ours(url, 20, 0, 1, small, 0),
    }
    for slices, how in ((0, "one row"), (16, "16 slices")):
        url = database.fresh_database(server, f"bench_race_{slices}")
        name = f"holdfast, 16 processes of 16 calls, 4 killed, three levels, {how}"
        found[name] = race.ours(url, 16, KILLED, 16, CAPS, slices)
    return found


def session(options: argparse.Namespace) -> tuple[list[tuple[str, str]], dict[str, object]]:
    """Measure; return the sections of the page, and all that was seen."""
    sections: list[tuple[str, str]] = []
    seen: dict[str, object] = {}
    with database.server() as server:
        conditions = {
            "date": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "cpus": str(os.cpu_count()),
            "load before": f"{os.getloadavg()[0]:.2f}",
            "rounds": str(options.rounds),
            **{f"PostgreSQL {key}": value for key, value in database.conditions(server).items()},
        }
        for part, title, tasks in (
            ("alone", "Calls one after another", 1),
            ("meeting", "16 calls at once, in one process", 16),
        ):
            if part in options.parts:
                url = database.fresh_database(server, f"bench_{part}")
                found = asyncio.run(spending.in_turns(url, options.rounds, options.n, tasks))
                seen[part] = {name: [asdict(one) for one in rounds] for name, rounds in found.items()}
                sections.append((title, turns(found)))
        if "sqlite" in options.parts:
            with database.scratch_dir("holdfast-bench-budgets-") as home:
                one_by_one = spending.in_turns(
                    f"sqlite:///{home}/ledger.db", options.rounds, options.n, 1, spending.ON_SQLITE
                )
                found = asyncio.run(one_by_one)
            seen["sqlite"] = {name: [asdict(one) for one in rounds] for name, rounds in found.items()}
            sections.append(("Calls one after another on SQLite", turns(found)))
        if "fleet" in options.parts:
            url = database.fresh_database(server, "bench_fleet")
            asyncio.run(spending.in_turns(url, 1, 16, 1))  # makes the tables
            made = spending.in_fleets(url, options.rounds, PROCESSES, TASKS, options.n)
            seen["fleet"] = made
            sections.append((f"{PROCESSES} processes of {TASKS} tasks, and one cap for all", fleets(made)))
        if "race" in options.parts:
            ended = raced(server)
            seen["race"] = {name: asdict(one) for name, one in ended.items()}
            sections.append(("The race", f"{RACE}\n\n{races(ended)}"))
    conditions["load after"] = f"{os.getloadavg()[0]:.2f}"
    seen["conditions"] = conditions
    sections.append(("Conditions", table(("", "value"), [list(each) for each in conditions.items()])))
    return sections, seen


RACE = """A call stands for $0.25. The other library looks before a call and writes after it, as its own documentation says; its model
answers after 50 ms. holdfast counts such calls (`Budget(tool_calls=4)` for $1.00). *Done* is what the calls did, told by
themselves outside of the ledger. Somebody else's connection adds up all budgets all the time."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look: two rounds of little work")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--n", type=int, help="calls per slice")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks-budgets.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 7)
    options.n = options.n or (64 if options.quick else 160)
    sections, seen = session(options)
    folder = BENCH / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"budgets-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(seen, indent=1))
    text = "\n\n".join(f"## {title}\n\n{told}" for title, told in sections) + "\n"
    print(text)
    if options.write_docs:
        (BENCH.parent / "docs" / "benchmarks-budgets.md").write_text(PAGE + text)


if __name__ == "__main__":
    main()
