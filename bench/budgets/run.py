"""What a budget adds to a guarded call on PostgreSQL: ``python bench/budgets/run.py``.

Calls under three budgets and calls under none take turns in one process, on one server, so that whatever else the
machine does happens to both. Then as many processes as are asked for spend of one global cap, once with a row for
all of them and once with slices, beside as many that have no budget. Printed are medians, and what a budget adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import database

from holdfast import Budget, Ledger, ToolCall

MANY = 10**9
THREE = {
    "global": Budget(tool_calls=MANY),
    "tenant": Budget(tool_calls=MANY, per="day"),
    "workflow": Budget(tool_calls=MANY),
}
SHARED = {"global": Budget(tool_calls=MANY)}
SLICED = {"global": Budget(tool_calls=MANY, slices=16)}
KINDS: dict[str, dict[str, Budget]] = {"none": {}, "three": THREE, "one row": SHARED, "slices": SLICED}


async def act(n: int) -> int:
    """The tool: nothing but what the ledger does costs anything."""
    return n


async def timed(ledger: Ledger, name: str, many: int) -> list[float]:
    """Return how long each of so many calls took, in milliseconds."""
    took: list[float] = []
    for n in range(many):
        call = ToolCall(workflow_id=f"{name}", tool="act", args={"n": n}, key=f"{name}/{n}")
        begun = time.perf_counter()
        await ledger.run(call, act, safety="unsafe", retry=False)
        took.append((time.perf_counter() - begun) * 1000)
    return took


async def in_turns(url: str, rounds: int, many: int) -> dict[str, list[float]]:
    """Measure calls under no budget and under three, in turns."""
    async with Ledger(url, migrate=True) as plain, Ledger(url, budgets=THREE) as under:
        await timed(plain, "warm plain", 20)
        await timed(under, "warm under", 20)
        took: dict[str, list[float]] = {"none": [], "three": []}
        for number in range(rounds):
            took["none"] += await timed(plain, f"none {number}", many)
            took["three"] += await timed(under, f"three {number}", many)
    return took


async def spend(url: str, kind: str, name: str, many: int) -> None:
    """Be one process of a fleet: say when it is ready, wait, and tell how long calls took."""
    async with Ledger(url, budgets=KINDS[kind]) as ledger:
        await timed(ledger, f"{name} warm", 5)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        sys.stdout.write(json.dumps(await timed(ledger, name, many)) + "\n")


def fleet(url: str, kind: str, workers: int, many: int, round_: int) -> list[float]:
    """Let so many processes spend at once; return how long their calls took."""
    command = [sys.executable, __file__, "--url", url, "--many", str(many), "--spends", kind, "--name"]
    processes = [
        subprocess.Popen(
            [*command, f"{kind} {round_} {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(workers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [took for process in processes for took in json.loads(process.communicate()[0])]


def told(name: str, took: Sequence[float], beside: Sequence[float]) -> str:
    """Return one line: median and 95th of 100, and what is added to *beside*."""
    median, other = statistics.median(took), statistics.median(beside)
    p95 = statistics.quantiles(took, n=20)[-1]
    return (
        f"{name:28} p50 {median:7.2f} ms   p95 {p95:7.2f} ms   "
        f"added p50 {median - other:6.2f} ms = {(median - other) / other:5.2f} x"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--many", type=int, default=50)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--spends", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.spends:
        asyncio.run(spend(args.url, args.spends, args.name, args.many))
        return
    with database.server() as server:
        url = database.fresh_database(server, "bench_budgets")
        took = asyncio.run(in_turns(url, args.rounds, args.many))
        print(told("alone, no budget", took["none"], took["none"]))
        print(told("alone, three budgets", took["three"], took["none"]))
        fleets: dict[str, list[float]] = {"none": [], "one row": [], "slices": []}
        for round_ in range(3):
            for kind in fleets:
                fleets[kind] += fleet(url, kind, args.workers, args.many, round_)
        for kind, found in fleets.items():
            print(told(f"{args.workers} processes, {kind}", found, fleets["none"]))


if __name__ == "__main__":
    main()
