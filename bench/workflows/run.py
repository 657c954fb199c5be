"""Workflows, measured: what a worker gets done, what waiting costs, how soon a long workflow is where it was.

    .venv/bin/python bench/workflows/run.py [--quick] [--only NAME ...] [--parts rates waiting resuming] [--write-docs]

Sets up whatever is missing (an environment per participant, a PostgreSQL server of its own), prints the tables, and
writes everything it saw to ``bench/results/``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import database
import rates
import resuming
import tables
import waiting

BENCH = Path(__file__).parents[1]
PARTS = ("rates", "waiting", "resuming")
PAGE = """# Benchmarks of workflows

Workflows of ten steps that do nothing, worked off by holdfast, [DBOS](https://pypi.org/project/dbos/) and
[Absurd](https://pypi.org/project/absurd-sdk/) in turns, on one PostgreSQL server with stock settings (`fsync` and
`synchronous_commit` on). Each ratio is the median over the rounds of the ratio within a round, with the least and the
most that was seen. Absolute figures belong to the machine and the minute. *Workers* are processes, each at one workflow
at a time; *at once* are workflows of one process; *tasks call* means that no queue is between. The rules are in
`bench/workflows/README.md`; `python bench/workflows/run.py --write-docs` makes this page anew.

"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look: one round of little work")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--n", type=int, help="workflows per slice")
    parser.add_argument("--waiting", type=int, help="workflows that wait")
    parser.add_argument("--only", nargs="*", default=[], help="participants whose name contains one of these")
    parser.add_argument("--layouts", nargs="*", type=int, default=list(range(len(rates.LAYOUTS))))
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks-workflows.md")
    options = parser.parse_args()
    usual = (1, 30, 1_000) if options.quick else (5, 100, 10_000)
    options.rounds = options.rounds or usual[0]
    options.n = options.n or usual[1]
    options.waiting = options.waiting or usual[2]
    return options


def session(options: argparse.Namespace) -> tuple[list[tuple[str, str]], dict[str, object]]:
    """Measure; return the sections of the page, and all that was seen."""
    sections: list[tuple[str, str]] = []
    seen: dict[str, object] = {}
    with database.server() as url, database.scratch_dir("holdfast-bench-") as folder:
        conditions = {
            "date": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "cpus": str(os.cpu_count()),
            "load before": f"{os.getloadavg()[0]:.2f}",
            "rounds": str(options.rounds),
            "workflows per slice": str(options.n),
            **{f"PostgreSQL {key}": value for key, value in database.conditions(url).items()},
        }
        if "rates" in options.parts:
            layouts = [rates.LAYOUTS[at] for at in options.layouts]
            found = rates.measure(
                url,
                folder,
                rivals=rates.chosen(options.only),
                layouts=layouts,
                rounds=options.rounds,
                n=options.n,
            )
            seen["rates"] = [
                {"who": who, "how": how, "slices": {number: asdict(one) for number, one in made.items()}}
                for (who, how), made in found.items()
            ]
            sections += [
                ("Steps per second, as ratios", tables.ratios(found)),
                ("What each has on record", tables.durability()),
                ("In figures", tables.absolute(found)),
            ]
        if "waiting" in options.parts:
            waited = waiting.measure(url, n=options.waiting, signals=min(300, options.waiting))
            seen["waiting"] = asdict(waited)
            size = f"Each has {waited.bytes_each / 1024:.1f} KiB on disk, with its indexes."
            sections += [
                ("What waiting costs", f"{tables.held(waited)}\n\n{size}"),
                ("How soon a signal is heard", tables.woken(waited)),
            ]
        if "resuming" in options.parts:
            resumed = resuming.measure(url, folder, times=5 if options.quick else 20)
            seen["resuming"] = resumed
            sections.append(("A long workflow, resumed", tables.resumed(resumed)))
    conditions["load after"] = f"{os.getloadavg()[0]:.2f}"
    seen["conditions"] = conditions
    sections.append(
        ("Conditions", tables.table(["", "value"], [[key, value] for key, value in conditions.items()]))
    )
    return sections, seen


def main() -> None:
    options = arguments()
    sections, seen = session(options)
    folder = BENCH / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"workflows-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(seen, indent=1))
    text = "\n\n".join(f"## {title}\n\n{told}" for title, told in sections) + "\n"
    print(text)
    if options.write_docs:
        (BENCH.parent / "docs" / "benchmarks-workflows.md").write_text(PAGE + text)


if __name__ == "__main__":
    main()
